"""What a server is told when it starts."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from composir.errors import ComposirError

PORT = 8732
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
MOST_HITS = 1000
MOST_QUERIES = 64


class ServeError(ComposirError):
    """A server cannot start as asked."""

    code = "serve"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one client, and all together, may ask for.

    Attributes:
        body: Bytes of one request.
        held: Bytes of all requests that are being read or answered.
        image: Bytes of one picture.
        seconds: For one answer, from when the request has arrived.
        rerank_seconds: For one that a joint encoder has a part in.
        body_seconds: For a request's body to arrive.
        header_seconds: For a request's head to arrive.
        waiting: Requests for the model that wait or are answered; more are told to come back.
        requests: Requests of any kind at once.
        workers: Threads that answer; None for a few a core.
        batch: Most queries of one run of the model.
    """

    body: int = 64 << 20
    held: int = 512 << 20
    image: int = 32 << 20
    seconds: float = 30.0
    rerank_seconds: float = 600.0
    body_seconds: float = 20.0
    header_seconds: float = 10.0
    waiting: int = 64
    requests: int = 512
    workers: int | None = None
    batch: int = 16


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """How to serve a gallery.

    Attributes:
        host: Address to listen at.
        port: Likewise; 0 for any that is free.
        api_key: What clients have to know; empty for nobody is asked.
        local_key: Known to programs of the same user only, who find it in the user data folder.
        without_key: Whether other machines may ask without a key.
        names: Host names that clients may use beside addresses and `localhost`.
        originals: Whether files are given out, not only their thumbnails.
        uploads: Folder in which pictures are kept that clients add; None to take none.
        url_hosts: Hosts that references may be fetched from.
        composers: Folders of trained composers beside the model's own, by name.
        limits: Of requests.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    api_key: str = field(default="", repr=False)
    local_key: str = field(default="", repr=False)
    without_key: bool = False
    names: frozenset[str] = frozenset()
    originals: bool = False
    uploads: Path | None = None
    url_hosts: frozenset[str] = frozenset()
    composers: Mapping[str, Path] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """Refuse to be open to other machines by accident."""
        if not (self.is_local or self.api_key or self.without_key):
            raise ServeError(
                f"{self.host} can be reached from other machines: give a key with --api-key-file "
                "FILE, or say --without-key to let everybody search these pictures"
            )

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can connect."""
        return self.host in LOCAL_NAMES or is_address(self.host, loopback=True)


def is_address(host: str, *, loopback: bool = False) -> bool:
    """Whether a host is written as a number, e.g. `192.168.0.3` or `::1`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or not loopback


def read_key(path: Path) -> str:
    """Read an API key: the first line of a file."""
    from composir.data.files import read_regular

    try:
        text = read_regular(path, limit=4096).decode("ascii")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII text"
        raise ServeError(f"the API key file {path} cannot be read: {reason}") from error
    key = text.strip()
    if len(key) < 16 or not key.isprintable() or " " in key:
        raise ServeError(
            f"the API key file {path} holds no key: write one line of 16 characters or more into "
            'it, e.g. python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return key
