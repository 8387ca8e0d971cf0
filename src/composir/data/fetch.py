"""Fetch one picture over https, because a person named it and allowed it (`search --allow-url`).

It is never called on the way to anything else. What is fetched must lie on the public internet: an
address of this machine or of a private network is refused, at every redirect anew, and it is the
address that the connection ends at which is looked at, so a name that changes its address meanwhile
gains nothing. Proxies of the environment are not used.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from composir.data.streams import read_at_most, too_large, within
from composir.errors import ComposirError

MOST_REDIRECTS = 5
_HTTPS_PORT = 443
_MOVED = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class FetchError(ComposirError):
    """Something was not fetched; the message is the reason alone, without the address."""

    code = "fetch"


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much and how long.

    Attributes:
        size: Most bytes.
        seconds: For all of it, from the first look-up to the last byte.
        hosts: The only hosts that may be asked, at redirects too; None for any.
    """

    size: int = 64 * 2**20
    seconds: float = 30.0
    hosts: frozenset[str] | None = None


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def secured(plain: socket.socket, host: str) -> socket.socket:
    """Speak TLS on a connection, with the host's certificate checked."""
    import ssl

    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet.

    Args:
        address: IPv4 or IPv6; one that stands for another (mapped, translated or tunnelled) counts
            as that.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return False
    return all(_is_open(one) for one in (known, *_meant(known)))


@dataclass(frozen=True, slots=True)
class Network:
    """How the outside world is reached; tests, and nobody else, bring another one.

    Attributes:
        resolve: Gives the addresses of a host and a port.
        connect: Opens a connection to an address and a port, within seconds.
        secure: Speaks TLS on a connection to a host.
        is_allowed: Whether an address may be spoken to.
    """

    resolve: Callable[[str, int], Sequence[str]] = resolved
    connect: Callable[[tuple[str, int], float], socket.socket] = socket.create_connection
    secure: Callable[[socket.socket, str], socket.socket] = secured
    is_allowed: Callable[[str], bool] = is_public


def fetch(url: str, limits: FetchLimits | None = None, network: Network | None = None) -> bytes:
    """Fetch what is at an https address."""
    limits, network = limits or FetchLimits(), network or Network()
    try:
        return within(limits.seconds, lambda: _followed(url, limits, network))
    except FetchError:
        raise
    except ComposirError as error:
        raise FetchError(str(error)) from error
    except (OSError, HTTPException, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise FetchError(f"it cannot be fetched: {reason}") from error


def _followed(url: str, limits: FetchLimits, network: Network) -> bytes:
    for _ in range(MOST_REDIRECTS + 1):
        parts = _checked(url)
        if limits.hosts is not None and str(parts.hostname) not in limits.hosts:
            raise FetchError(f"it leads to {parts.hostname}, which is not allowed")
        found = _asked(parts, limits, network)
        if isinstance(found, bytes):
            return found
        url = urljoin(url, found)
    raise FetchError(f"it leads on and on: more than {MOST_REDIRECTS} redirects")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise FetchError(f"that is no address: {error}") from error
    if parts.scheme.lower() != "https":
        raise FetchError(
            f"it leads to {parts.scheme or 'no scheme'}: pictures come over https only"
        )
    if parts.username is not None or parts.password is not None:
        raise FetchError("addresses with a user name are refused")
    if not host:
        raise FetchError("that is no address: it names no host")
    return parts


def _asked(parts: SplitResult, limits: FetchLimits, network: Network) -> bytes | str:
    """Ask once: the content, or where it has moved to."""
    host, port = str(parts.hostname), parts.port or _HTTPS_PORT
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    target += f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
    name = host if ":" in host else host.encode("idna").decode("ascii")
    connection = HTTPConnection(name, port, timeout=limits.seconds)
    with _connected(name, port, limits, network) as plain, network.secure(plain, name) as speaking:
        connection.sock = speaking
        connection.request("GET", target, headers={"Host": _host_header(name, port), **_HEADERS})
        with connection.getresponse() as response:
            return _content(response, limits)


_HEADERS = {
    "User-Agent": "composir",
    "Accept": "image/*",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


def _host_header(name: str, port: int) -> str:
    shown = f"[{name}]" if ":" in name else name
    return shown if port == _HTTPS_PORT else f"{shown}:{port}"


def _connected(host: str, port: int, limits: FetchLimits, network: Network) -> socket.socket:
    addresses = network.resolve(host, port)
    for address in addresses:
        _check_allowed(host, address, network)
    problem: OSError | None = None
    for address in addresses:
        try:
            opened = network.connect((address, port), limits.seconds)
        except OSError as error:
            problem = error
            continue
        try:
            _check_allowed(host, str(opened.getpeername()[0]), network)
        except BaseException:
            opened.close()
            raise
        return opened
    raise problem or FetchError(f"{host} has no address")


def _check_allowed(host: str, address: str, network: Network) -> None:
    if not network.is_allowed(address):
        raise FetchError(f"{host} is {address}, which is not on the public internet: refused")


def _content(response: HTTPResponse, limits: FetchLimits) -> bytes | str:
    if response.status in _MOVED and (place := response.getheader("Location")):
        return place
    if response.status != 200:
        raise FetchError(f"the server says {response.status} {response.reason}")
    if (coding := response.getheader("Content-Encoding", "identity")).lower() != "identity":
        raise FetchError(f"the server packed it ({coding}), unasked")
    if response.length is not None and response.length > limits.size:
        raise FetchError(too_large(limits.size))
    return read_at_most(response, limits.size)


def _is_open(address: _Address) -> bool:
    special = (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or (isinstance(address, ipaddress.IPv6Address) and address.is_site_local)
    )
    # IPv6 reserves what is not handed out, and more: translated addresses lie there too.
    if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
        return True
    return address.is_global and not special


def _meant(address: _Address) -> list[_Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]
