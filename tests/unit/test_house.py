"""How large the house is: figures that may only fall. `pytest -s tests/unit/test_house.py` prints.

The aim (issue 17): 26,000 lines, no function beyond 60 lines, no file beyond 350, every name once.
Who makes a figure smaller lowers its ceiling here.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median

import composir

ROOT = Path(composir.__file__).parent
CEILINGS = {
    "lines": 63_930,
    "lines of the median function": 7,
    "functions beyond 60 lines": 0,
    "files beyond 350 lines": 0,
    "classes whose name is taken": 0,
    "modules whose name is taken": 4,
}
VERBS = {"cli", "routes"}
"""Rooms with one file a verb or endpoint: these are called as what they serve."""
FUNCTION, FILE = 60, 350


@cache
def sources() -> dict[str, str]:
    files = sorted(ROOT.rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


@cache
def nodes() -> tuple[tuple[str, ast.AST], ...]:
    trees = {name: ast.parse(text) for name, text in sources().items()}
    return tuple((name, node) for name, tree in trees.items() for node in ast.walk(tree))


def functions() -> Iterator[tuple[str, int]]:
    for name, node in nodes():
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


def taken(names: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    """Names that stand for several things, and where."""
    places: dict[str, list[str]] = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def classes() -> Iterator[tuple[str, str]]:
    return ((node.name, name) for name, node in nodes() if isinstance(node, ast.ClassDef))


def modules() -> Iterator[tuple[str, str]]:
    for name in sources():
        path = Path(name)
        if not (path.stem.startswith("__") or path.parent.name in VERBS):
            yield path.stem, name


def test_the_house_does_not_grow() -> None:
    lengths = dict(functions())
    lines = {name: text.count("\n") for name, text in sources().items()}
    found: dict[str, tuple[float, object]] = {
        "lines": (sum(lines.values()), _by_room(lines)),
        "lines of the median function": (median(lengths.values()), ""),
        "functions beyond 60 lines": _beyond(lengths, FUNCTION),
        "files beyond 350 lines": _beyond(lines, FILE),
        "classes whose name is taken": _counted(taken(classes())),
        "modules whose name is taken": _counted(taken(modules())),
    }
    for what, (number, which) in found.items():
        sys.stdout.write(f"\n{what}: {number:g} (at most {CEILINGS[what]:,}) {which}\n")
    assert [what for what, (number, _) in found.items() if number > CEILINGS[what]] == []


def _by_room(lines: dict[str, int]) -> dict[str, int]:
    rooms: dict[str, int] = defaultdict(int)
    for name, number in lines.items():
        rooms[Path(name).parts[0]] += number
    return dict(sorted(rooms.items(), key=lambda room: -room[1]))


def _beyond(sizes: dict[str, int], limit: int) -> tuple[int, object]:
    large = {name: size for name, size in sizes.items() if size > limit}
    return len(large), large


def _counted(names: dict[str, list[str]]) -> tuple[int, object]:
    return len(names), names
