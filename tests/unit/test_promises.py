"""Every test that docs/promises.md names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")


def cited() -> list[tuple[str, str]]:
    """Files and, where one is named, tests in them; `::name` alone is of the file before."""
    found: list[tuple[str, str]] = []
    for text in re.findall(r"`((?:tests/[\w/]+\.py)?(?:::\w+)*)`", PAGE):
        file, _, test = text.partition("::")
        found.append((file or found[-1][0], test.rpartition("::")[2]))
    return [item for item in found if item[0]]


def test_every_promise_has_its_test() -> None:
    names = cited()
    assert len(names) > 20
    missing = [
        (file, test)
        for file, test in names
        if not (ROOT / file).is_file()
        or (test and f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_no_promise_stands_without_a_test() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    assert [row for row in rows if "tests/" not in row and row != "| what | test |"] == []
