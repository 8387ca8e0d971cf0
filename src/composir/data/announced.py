"""How programs of the same user find a running server of a gallery, and know that it is one.

A small file in the user data folder, readable for its owner alone, tells the port and a key. Before
anything is sent there, the server has to prove that it knows the key as well: another program may
have got the port since.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from secrets import token_hex, token_urlsafe

from composir.data.files import absolute, read_regular
from composir.data.places import user_folder, writable_user_folder

NONCE_HEADER = "X-Composir-Nonce"
PROOF_HEADER = "X-Composir-Proof"
LOOPBACK = "127.0.0.1"
_SECONDS = 0.5
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server of this machine.

    Attributes:
        port: At the loopback address.
        key: That it accepts.
    """

    port: int
    key: str


def new_key() -> str:
    """A key for programs of this user, new at every start of a server."""
    return token_urlsafe(32)


def proof(key: str, nonce: str) -> str:
    """What only those who know a key can make of a nonce."""
    return hmac.new(key.encode(), nonce.encode(), sha256).hexdigest()


@contextmanager
def announced(gallery: Path, server: RunningServer) -> Iterator[None]:
    """Tell programs of this user of a server, as long as it runs."""
    writable_user_folder()
    place = _place(gallery)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    content = json.dumps({"port": server.port, "key": server.key})
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(content)
    try:
        yield
    finally:
        with suppress(OSError):
            if place.read_text(encoding="utf-8") == content:  # no later server's
                place.unlink()


def running_server(gallery: Path) -> RunningServer | None:
    """The running server of a gallery; None where there is none, or another has its port."""
    found = _read(gallery)
    return found if found is not None and _answers(found) else None


def _place(gallery: Path) -> Path:
    name = blake2b(os.fsencode(absolute(gallery).resolve()), digest_size=12).hexdigest()
    return user_folder() / "servers" / f"{name}.json"


def _read(gallery: Path) -> RunningServer | None:
    try:
        content = json.loads(read_regular(_place(gallery), limit=_MOST_BYTES, follow=False))
        server = RunningServer(content["port"], content["key"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    is_whole = isinstance(server.port, int) and isinstance(server.key, str)
    return server if is_whole and 0 < server.port < 65536 else None


def _answers(server: RunningServer) -> bool:
    from http.client import HTTPConnection, HTTPException

    nonce = token_hex(16)
    connection = HTTPConnection(LOOPBACK, server.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthz", headers={NONCE_HEADER: nonce})
        given = connection.getresponse().getheader(PROOF_HEADER, "")
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    return hmac.compare_digest(given.encode("utf-8", "replace"), proof(server.key, nonce).encode())
