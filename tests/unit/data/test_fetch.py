"""Fetching over https from a server on the loopback, through a network of the test's own."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from composir.data.fetch import (
    FetchError,
    FetchLimits,
    Network,
    fetch,
    is_public,
    resolved,
    secured,
)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]
        getattr(self, f"give_{self.path.strip('/').split('/')[0]}", self.give_nothing)()

    def give_nothing(self) -> None:
        self.send_error(404, "Not here")

    def give_file(self) -> None:
        self._send(b"x" * 100)

    def give_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        for _ in range(1000):
            self.wfile.write(b"x" * 1000)

    def give_slow(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.server.slow.wait(30)  # type: ignore[attr-defined]

    def give_packed(self) -> None:
        self._send(b"x", ("Content-Encoding", "gzip"))

    def give_to(self) -> None:
        """`/to/3` leads to `/to/2` and so on; `/to/0` is the file."""
        left = int(self.path.rpartition("/")[2])
        self._send(b"", ("Location", f"/to/{left - 1}" if left else "/file"), status=302)

    def give_away(self) -> None:
        self._send(b"", ("Location", "http://other.test/file"), status=301)

    def give_inside(self) -> None:
        self._send(b"", ("Location", "https://inside.test/file"), status=307)

    def _send(self, data: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


class World:
    """A server on the loopback that plays two hosts, one of them on a private network."""

    def __init__(self) -> None:
        self.addresses = {"site.test": ["93.184.216.34"], "inside.test": ["10.0.0.7"]}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.asked = []  # type: ignore[attr-defined]
        self.server.slow = threading.Event()  # type: ignore[attr-defined]
        self.connected: list[str] = []
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.network = Network(
            resolve=lambda host, _port: self.addresses[host],
            connect=self._connect,
            secure=lambda plain, _host: plain,
            is_allowed=lambda address: address == "127.0.0.1" or is_public(address),
        )

    @property
    def asked(self) -> list[tuple[str, str]]:
        asked: list[tuple[str, str]] = self.server.asked  # type: ignore[attr-defined]
        return asked

    def _connect(self, place: tuple[str, int], seconds: float) -> socket.socket:
        self.connected.append(place[0])
        return socket.create_connection(self.server.server_address[:2], seconds)  # type: ignore[arg-type]

    def fetch(self, url: str, size: int = 1000, seconds: float = 20.0) -> bytes:
        return fetch(url, FetchLimits(size, seconds), self.network)

    def close(self) -> None:
        self.server.slow.set()  # type: ignore[attr-defined]
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_a_file_is_fetched_under_its_own_name(world: World) -> None:
    assert world.fetch("https://site.test/file/ä b?c=d e") == b"x" * 100
    assert world.asked == [("/file/%C3%A4%20b?c=d%20e", "site.test")]
    assert world.connected == ["93.184.216.34"]


def test_five_redirects_are_followed_and_no_more(world: World) -> None:
    assert world.fetch("https://site.test/to/4") == b"x" * 100
    with pytest.raises(FetchError, match="more than 5 redirects"):
        world.fetch("https://site.test/to/5")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("away", "https only"),
        ("inside", r"inside.test is 10\.0\.0\.7, which is not on the public internet"),
        ("missing", "404 Not here"),
        ("packed", "gzip"),
        ("endless", "over 1000 bytes"),
    ],
)
def test_what_is_no_file_is_refused(world: World, path: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        world.fetch(f"https://site.test/{path}")


def test_a_file_that_says_it_is_too_large_is_not_read(world: World) -> None:
    with pytest.raises(FetchError, match="over 99 bytes"):
        world.fetch("https://site.test/file", size=99)


def test_a_slow_server_is_given_up(world: World) -> None:
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"0\.2 seconds|timed out"):
        world.fetch("https://site.test/slow", seconds=0.2)
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize(
    "url",
    [
        *("http://site.test/file", "ftp://site.test/", "file:///etc/passwd", "https://"),
        *("site.test/a", "https://me:secret@site.test/file", "https://site.test:x/"),
        "https://[::1/",
    ],
)
def test_what_is_no_plain_https_address_is_refused_before_anybody_is_asked(
    world: World, url: str
) -> None:
    with pytest.raises(FetchError):
        world.fetch(url)
    assert world.connected == []


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
        *("100.64.0.1", "0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", "192.0.2.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "2001:db8::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1"),
        *("64:ff9b::10.0.0.1", "2002:7f00:1::", "2002:a00:1::", "no address", ""),
    ],
)
def test_addresses_of_this_machine_and_of_private_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::8.8.8.8"]
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


def test_a_host_with_one_private_address_is_refused_whole(world: World) -> None:
    world.addresses = {"site.test": ["93.184.216.34", "127.0.0.1"]}
    world.network = Network(resolve=world.network.resolve, connect=world.network.connect)
    with pytest.raises(FetchError, match=r"site\.test is 127\.0\.0\.1"):
        world.fetch("https://site.test/file")
    assert world.connected == []


def test_the_address_that_was_connected_to_is_looked_at(world: World) -> None:
    """A public address that leads to this machine after all: rebinding, a redirecting router."""
    network = world.network
    world.network = Network(network.resolve, network.connect, network.secure)
    with pytest.raises(FetchError, match=r"site\.test is 127\.0\.0\.1"):
        world.fetch("https://site.test/file")
    assert world.connected == ["93.184.216.34"]
    assert world.asked == []


def test_tls_is_spoken_and_checked(world: World) -> None:
    network = world.network
    world.network = Network(network.resolve, network.connect, secured, network.is_allowed)
    with pytest.raises(FetchError, match="cannot be fetched"):
        world.fetch("https://site.test/file", seconds=10)
    assert world.asked == []


def test_names_are_resolved_by_the_system() -> None:
    assert resolved("127.0.0.1", 443) == ["127.0.0.1"]
