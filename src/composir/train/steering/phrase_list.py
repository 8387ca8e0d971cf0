"""Neutral phrases: what people might ask to be changed, without looking at any data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from composir.data.untrusted_json import read_lines
from composir.errors import TrainingError

ALONE = -1


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases in order, each once.

    Attributes:
        texts: The phrases.
        groups: Of each, the number of its group; `ALONE` for none. Of the phrases of a group a
            picture fits one or so, and asking for another replaces that one.
    """

    texts: tuple[str, ...]
    groups: tuple[int, ...]


def read_phrases(file: Path) -> Phrases:
    """Read phrases."""
    path = Path(__file__).with_name("phrases.txt") if file == Path() else file
    found: dict[str, int] = {}
    group = ALONE
    for line in (line.strip() for _, line in read_lines(path, TrainingError)):
        if line.startswith("[") and line.endswith("]"):
            group += 1
        elif line and not line.startswith("#"):
            found.setdefault(line, group)
    if len(found) < 2:
        raise TrainingError(f"phrases: {path} holds {len(found)}; write one per line, two or more")
    return Phrases(tuple(found), tuple(found.values()))
