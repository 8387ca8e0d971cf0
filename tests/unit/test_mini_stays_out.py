"""Only the catalogue, its bundle and the command line's defaults name the packaged model."""

from __future__ import annotations

import re
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "src" / "composir"
WORD = re.compile(r"\bmini\b")


def test_the_library_does_not_know_mini() -> None:
    named = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if WORD.search(path.read_text(encoding="utf-8"))
    }
    assert "model/catalogue.py" in named
    assert {name for name in named if not name.startswith("cli/")} == {"model/catalogue.py"}
