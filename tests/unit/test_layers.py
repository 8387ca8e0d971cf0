"""Which room may know which: the arrows of docs/architecture.md, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import composir

ROOT = Path(composir.__file__).parent
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "limits", "names", "telemetry"}),
    frozenset({"crop", "data", "lazy", "references"}),
    frozenset({"types"}),
    frozenset({"documents", "images"}),
    frozenset({"model"}),
    frozenset({"compose", "encode"}),
    frozenset({"gallery"}),
    frozenset({"device", "explain", "foundation"}),
    frozenset({"bench", "scale", "serve", "triplets"}),
    frozenset({"pages", "train"}),
    frozenset({"cli"}),
    frozenset({"__init__", "__main__"}),
)
"""Rooms from the ground up: each may know those below, and none beside or above."""
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
NOT_BELOW = {"serve": {"encode", "foundation"}, "bench": {"gallery"}, "explain": {"encode"}}
"""What lies below a room and is still none of its business."""
UPWARD = {
    ("model/joint/local.py", "foundation"),  # the torch side of a local joint encoder, lazily
}
"""Arrows that point up all the same, each with its reason."""


def known_rooms(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("composir."))


def room_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def arrows() -> frozenset[tuple[str, str, str]]:
    """Room, file and the other room that it knows."""
    files = sorted(ROOT.rglob("*.py"))
    return frozenset(
        (room_of(file), file.relative_to(ROOT).as_posix(), to)
        for file in files
        for to in known_rooms(file)
        if to != room_of(file)
    )


def test_every_room_has_its_floor() -> None:
    assert {room_of(file) for file in ROOT.rglob("*.py")} <= set(FLOOR)


def test_no_arrow_points_up_or_to_the_side() -> None:
    """So there is no circle of rooms either."""
    wrong = {(file, to) for room, file, to in arrows() if FLOOR[to] >= FLOOR[room]}
    assert wrong == UPWARD


@pytest.mark.parametrize("room", NOT_BELOW)
def test_a_room_minds_its_own_business(room: str) -> None:
    assert not [(file, to) for at, file, to in arrows() if at == room and to in NOT_BELOW[room]]


def test_the_reader_of_imports_finds_them_all(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import composir.bench.run\ndef f():\n    from composir.data import files\n")
    assert list(known_rooms(file)) == ["bench", "data"]
