"""Text triplets from files: read line by line, and split so that nothing leaks.

JSONL with `reference`, `text`, `target` and perhaps `edit`, as `composir triplets texts` writes it:
a caption, what is to change in it, the changed caption, and what changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from composir.data.problems import Problem, summarised
from composir.errors import DatasetError
from composir.images.formats import PICTURE_SUFFIXES
from composir.train.composing.triplet_files import json_rows, usable
from composir.train.composing.triplet_split import order_key
from composir.triplets.caption_edits import TextTriplet
from composir.triplets.text_triplets import FILE

LINE = (
    'a line is, e.g., {"reference": "a dog on the grass", "text": "in the snow", '
    '"target": "a dog in the snow", "edit": "place: on the grass > in the snow"} '
    "(composir triplets texts writes such)"
)
SUFFIXES = (".jsonl", ".ndjson")
_NEEDED = ("reference", "text", "target")


@dataclass(frozen=True, slots=True)
class TextTripletData:
    """The good lines, each once; those left out; and how many say again what another said."""

    triplets: tuple[TextTriplet, ...]
    problems: tuple[Problem, ...]
    repeats: int

    def summary(self) -> str:
        """One line for people, and one for each kind of problem."""
        head = (
            f"{len(self.triplets):,} text triplets; {self.repeats:,} repeated lines, "
            f"{len(self.problems):,} lines left out"
        )
        return "\n".join([head, *(f"  {line}" for line in summarised(self.problems))])


@dataclass(frozen=True, slots=True)
class TextSplit:
    """Text triplets to train on, to choose by and for the table; no two parts share a reference.

    Training leaves out what leads between the same two texts as a triplet of the other parts.
    """

    train: tuple[TextTriplet, ...]
    dev: tuple[TextTriplet, ...]
    held_out: tuple[TextTriplet, ...]


def read_text_triplets(sources: Sequence[Path], max_bad: float) -> TextTripletData:
    """Read `.jsonl` files, or folders that `composir triplets texts` wrote.

    Of a file at most a share of `max_bad` lines may be unusable.
    """
    good: list[TextTriplet] = []
    problems: list[Problem] = []
    for source in sources:
        file = _opened(source)
        outcomes = (_outcome(where, row) for where, row in json_rows(file))
        lines, bad = usable(file, outcomes, max_bad, LINE)
        good += lines
        problems += bad
    unique = tuple(dict.fromkeys(good))
    return TextTripletData(unique, tuple(problems), len(good) - len(unique))


def text_subset(triplets: Sequence[TextTriplet], count: int) -> tuple[TextTriplet, ...]:
    """At most `count`, whole references where that is possible; all where it is negative.

    References are taken in an order that depends on them alone, so that smaller subsets are part of
    larger ones.
    """
    if count < 0:
        return tuple(triplets)
    keys = {t.reference: order_key(t.reference) for t in triplets}
    return tuple(sorted(triplets, key=lambda t: keys[t.reference])[:count])


def split_texts(
    triplets: Sequence[TextTriplet], shares: tuple[float, float], most: int
) -> TextSplit:
    """Split by reference, the same way every time.

    `shares` are of the triplets, for choices and for the table; of both `most` at most.
    """
    keys = {t.reference: order_key(t.reference) for t in triplets}
    ordered = sorted(triplets, key=lambda t: keys[t.reference])
    counts = [min(most, max(1, round(share * len(ordered)))) * (share > 0) for share in shares]
    dev, held_out, rest = _cut(ordered, counts)
    for name, share, part in zip(("dev", "held_out"), shares, (dev, held_out), strict=True):
        if share and not part:
            raise DatasetError(
                f"{len(triplets):,} text triplets of {len(keys):,} references are too few for a "
                f"part {name}={share:g}: bring more, or set it higher"
            )
    known = {frozenset((t.reference, t.target)) for t in (*dev, *held_out)}
    train = tuple(t for t in rest if frozenset((t.reference, t.target)) not in known)
    return TextSplit(train, tuple(dev), tuple(held_out))


def _cut(
    ordered: Sequence[TextTriplet], counts: Sequence[int]
) -> tuple[Sequence[TextTriplet], ...]:
    """The first of so many triplets each, and what is left; no reference is divided."""
    parts, begin = [], 0
    for count in counts:
        end = begin + count
        while begin < end < len(ordered) and ordered[end - 1].reference == ordered[end].reference:
            end += 1
        parts.append(ordered[begin:end])
        begin = end
    return *parts, ordered[begin:]


def _opened(source: Path) -> Path:
    file = source / FILE if source.is_dir() else source
    if not file.exists():
        raise DatasetError(f"{file}: no such file of text triplets")
    if file.suffix.lower() not in SUFFIXES:
        raise DatasetError(
            f"{file}: text triplets come as {' or '.join(SUFFIXES)}, not {file.suffix!r}; {LINE}"
        )
    return file


def _outcome(where: str, row: Any) -> TextTriplet | Problem:
    """A line's triplet, or what is wrong with it."""
    wrong = _wrong(row) if isinstance(row, dict) else str(row)
    if wrong:
        return Problem(where, wrong)
    reference, text, target = (row[name].strip() for name in _NEEDED)
    return TextTriplet(reference, text, target, row.get("edit", ""))


def _wrong(row: dict[str, Any]) -> str:
    for name in _NEEDED:
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            return f"no {name}" if value in (None, "") else f"{name} is no text"
    for name in ("reference", "target"):
        if PurePath(row[name]).suffix.lower() in PICTURE_SUFFIXES:
            return f"{name} names a picture: triplets of pictures go to --triplets"
    if row["reference"].strip() == row["target"].strip():
        return "the target is the reference itself"
    return "" if isinstance(row.get("edit", ""), str) else "edit is no text"
