"""Neutral phrases: what people might ask to be changed, without looking at any data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from composir.data.untrusted_json import read_lines
from composir.errors import TrainingError

ALONE = -1
_LIST = re.compile(r"([a-z_]+) = (.+)")
_NAMED = re.compile(r"\{([a-z_]+)\}")


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
    """Read phrases, as `phrases.txt` says how they are written; that is what an empty path reads.

    Raises:
        TrainingError: No UTF-8 text, a form with an unknown list, or fewer than two phrases.
    """
    path = Path(__file__).with_name("phrases.txt") if file == Path() else file
    found: dict[str, int] = {}
    lists: dict[str, Sequence[str]] = {}
    group = ALONE
    for number, text in read_lines(path, TrainingError):
        line = text.strip()
        if line.startswith("[") and line.endswith("]"):
            group += 1
        elif listed := _LIST.fullmatch(line):
            lists[listed[1]] = [word.strip() for word in listed[2].split(",")]
        elif line and not line.startswith("#"):
            try:
                found |= {one: found.get(one, group) for one in _filled(line, lists)}
            except KeyError as error:
                raise TrainingError(f"phrases: {path}, line {number}: no list {error}") from error
    if len(found) < 2:
        raise TrainingError(f"phrases: {path} holds {len(found)}; write one per line, two or more")
    return Phrases(tuple(found), tuple(found.values()))


def _filled(form: str, lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A form with every word of its lists, `{name}`, in their places; a plain phrase as it is."""
    parts = _NAMED.split(form)
    words = [lists[name] for name in parts[1::2]]
    for chosen in product(*words):
        yield "".join(a + b for a, b in zip(parts[::2], [*chosen, ""], strict=True))
