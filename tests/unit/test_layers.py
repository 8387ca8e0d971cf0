"""Which room may know which: the arrows of docs/architecture.md, read from the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import composir

ROOT = Path(composir.__file__).parent
LOW = {"data", "errors", "images", "limits", "names", "types"}
MAY_KNOW = {
    "encode": LOW | {"encode", "model"},
    "bench": LOW | {"bench", "compose", "encode", "model", "pages"},
    "triplets": LOW | {"encode", "gallery", "model", "pages", "sheet", "triplets"},
}
"""Rooms of which every arrow is told; others are free to know these."""
NEVER = {
    "data": {"bench", "compose", "encode", "gallery", "model", "train", "triplets"},
    "images": {"bench", "compose", "encode", "gallery", "model", "train", "triplets"},
    "model": {"bench", "compose", "encode", "gallery", "train", "triplets"},
    "compose": {"bench", "encode", "gallery", "train", "triplets"},
    "gallery": {"bench", "train", "triplets"},
}
"""What rooms must not know."""


def known_rooms(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("composir."))


def arrows(room: str) -> set[tuple[str, str]]:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    return {(file.relative_to(ROOT).as_posix(), to) for file in files for to in known_rooms(file)}


@pytest.mark.parametrize("room", MAY_KNOW)
def test_a_room_knows_these_alone(room: str) -> None:
    assert not [arrow for arrow in sorted(arrows(room)) if arrow[1] not in MAY_KNOW[room]]


@pytest.mark.parametrize("room", NEVER)
def test_a_room_never_looks_up(room: str) -> None:
    assert not [arrow for arrow in sorted(arrows(room)) if arrow[1] in NEVER[room]]


def test_the_reader_of_imports_finds_them_all(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text("import composir.bench.run\ndef f():\n    from composir.data import files\n")
    assert list(known_rooms(file)) == ["bench", "data"]
