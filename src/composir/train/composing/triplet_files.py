"""Triplets from files of one's own: read, checked row by row, rows of one question together.

Three forms, told apart by what is there:

- a data set folder (`gallery.jsonl`, `queries.jsonl`), as `composir triplets make` writes it;
- JSONL or CSV with `reference`, `text` and `target` or `targets`;
- click logs, JSONL or CSV with `reference`, `text`, `clicked` and `shown`: what was clicked is a
  target, what was shown beside it and not clicked is a hard negative.

Several files in one CSV field are separated by `|`. Paths are relative to the file's own folder
unless an image folder is named.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from composir.data.datasets import QUERIES, DatasetFolder
from composir.data.problems import Problem, summarised
from composir.data.row_examples import TRIPLET_ROW
from composir.data.untrusted_json import JsonFaultError, decode_json, read_lines, read_text
from composir.errors import DatasetError
from composir.triplets.text_triplets import FILE

TARGET_KEYS = ("targets", "target", "clicked")
SEPARATOR = "|"
LOST = "a lost picture"
"""The kind of problem that all rows share whose pictures are not there."""
Row = TypeVar("Row")


class LostPictureError(ValueError):
    """A name that leads to no file."""


class PictureNames:
    """Names relative to a folder; ids of a data set's gallery, where there is one.

    Attributes:
        by_id: Pictures of the data set by id; empty for plain files of rows.
        way_out: What helps where pictures are looked for in the wrong folder.
    """

    def __init__(self, folder: Path, images: Path | None) -> None:
        self._folder, self._root = folder, images or folder
        self.by_id: dict[str, Path] = {}
        self._exists: dict[Path, bool] = {}
        self.way_out = (
            f"names are relative to {self._root}; where the pictures are elsewhere, name their "
            "folder: --set images=FOLDER"
        )

    @classmethod
    def of_data_set(cls, folder: Path, images: Path | None) -> PictureNames:
        """Ids of a data set folder's gallery, and names relative to it."""
        names = cls(folder, images)
        found = DatasetFolder(folder).images().values()
        names.by_id = {image.id: names._place(image.name) for image in found}
        return names

    def __call__(self, name: object) -> Path:
        """The file that a name means."""
        path = self.by_id.get(str(name)) or self._root / str(name)
        if path not in self._exists:
            self._exists[path] = _is_file(path)
        if not self._exists[path]:
            raise LostPictureError(f"no image {str(name)!r} (looked for {path})")
        return path

    @property
    def gallery(self) -> tuple[Path, ...]:
        """All pictures of the data set."""
        return tuple(self.by_id.values())

    def name_of(self, path: Path) -> str:
        """The file relative to its folder, so that splits do not depend on the machine."""
        roots = (root for root in (self._root, self._folder) if path.is_relative_to(root))
        return next((path.relative_to(root).as_posix() for root in roots), path.name)

    def _place(self, name: str) -> Path:
        """A data set's own picture, else one of the folder that is named for other rows too."""
        own = self._folder / name
        is_elsewhere = self._root != self._folder and not os.path.isfile(own)  # noqa: PTH113 -- any name
        return self._root / name if is_elsewhere else own


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:  # e.g. a name that is too long; in whole it would bury the message
        raise ValueError(f"no image {path.name[:40]!r}... ({error.strerror})") from error


@dataclass(frozen=True, slots=True)
class TrainingTriplet:
    """One example of composing.

    Attributes:
        reference: File of the reference image.
        text: The modification text.
        targets: Files that answer it.
        shown: Files that were shown for it and not chosen.
        group: Rows of one group are never split between training and held-out parts; the
            reference's name where the data say nothing else.
        where: File and line, for messages.
        kept_back: Targets that are not trained on, because held-out rows know the same two images;
            they are no negatives either.
    """

    reference: Path
    text: str
    targets: tuple[Path, ...]
    shown: tuple[Path, ...]
    group: str
    where: str
    kept_back: tuple[Path, ...] = ()

    @property
    def images(self) -> tuple[Path, ...]:
        """All files that the triplet names."""
        return (self.reference, *self.targets, *self.shown, *self.kept_back)


@dataclass(frozen=True, slots=True)
class TripletData:
    """What was read, and what of it is left out or repeated.

    Of the good rows those with the same reference and text are one triplet; the gallery is all of a
    folder, or all that rows name.
    """

    triplets: tuple[TrainingTriplet, ...]
    problems: tuple[Problem, ...]
    repeats: int
    gallery: tuple[Path, ...]

    def summary(self) -> str:
        """One line for people, and one for each kind of problem."""
        head = (
            f"{len(self.triplets):,} triplets over {len(self.gallery):,} images; "
            f"{self.repeats:,} repeated rows, {len(self.problems):,} rows left out"
        )
        return "\n".join([head, *(f"  {line}" for line in summarised(self.problems))])


def read_triplets(source: Path, images: Path | None = None, max_bad: float = 0.1) -> TripletData:
    """Read triplets in any of the forms.

    File names are relative to `images`, or to the source's own folder; at most a share of `max_bad`
    rows may be unusable.
    """
    file, resolve = _opened(source, images)
    outcomes = (_outcome(where, row, resolve) for where, row in _rows(file))
    good, problems = usable(file, outcomes, max_bad, TRIPLET_ROW, resolve.way_out)
    merged = _merged(good)
    gallery = resolve.gallery or _unique(file for t in merged for file in t.images)
    repeats = len(good) - len(merged)
    return TripletData(tuple(merged), tuple(problems), repeats, tuple(gallery))


def read_all(sources: Sequence[Path], images: Path | None, max_bad: float) -> TripletData:
    """Read several sources as one; see `read_triplets`."""
    read = [read_triplets(source, images, max_bad) for source in sources]
    return TripletData(
        triplets=tuple(triplet for data in read for triplet in data.triplets),
        problems=tuple(problem for data in read for problem in data.problems),
        repeats=sum(data.repeats for data in read),
        gallery=_unique(file for data in read for file in data.gallery),
    )


def _opened(source: Path, images: Path | None) -> tuple[Path, PictureNames]:
    """The file of rows, and what names in it mean."""
    if not source.exists():
        raise DatasetError(f"{source}: no such file or folder of triplets")
    if not source.is_dir():
        return source, PictureNames(source.parent, images)
    if (source / FILE).is_file():
        raise DatasetError(f"{source} holds triplets of texts: name it with --text-triplets")
    return source / QUERIES, PictureNames.of_data_set(source, images)


def _rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each row is, and the row, or in words why it is none."""
    kinds = {".jsonl": json_rows, ".ndjson": json_rows, ".csv": _csv_rows}
    if path.suffix.lower() not in kinds:
        raise DatasetError(
            f"{path}: triplets come as a data set folder, .jsonl or .csv, not {path.suffix!r}"
        )
    return kinds[path.suffix.lower()](path)


def json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Where each line is, and its object, or in words why it is none."""
    for where, line in read_lines(path, DatasetError):
        try:
            row = decode_json(line)
        except JsonFaultError as fault:
            yield where, fault.reason
            continue
        yield where, row if isinstance(row, dict) else "not a JSON object"


def _csv_rows(path: Path) -> Iterator[tuple[str, Any]]:
    reader = csv.DictReader(io.StringIO(read_text(path, DatasetError), newline=""))
    _check_columns(path, reader)
    while True:
        try:
            row: Any = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = f"not CSV ({error})"
        yield f"{path}, line {reader.reader.line_num}", row


def _check_columns(path: Path, reader: csv.DictReader[str]) -> None:
    try:
        columns = set(reader.fieldnames or ())
    except csv.Error as error:
        raise DatasetError(f"{path}, line 1: the columns cannot be read ({error})") from error
    if not {"reference", "text"} <= columns or not columns & set(TARGET_KEYS):
        raise DatasetError(
            f"{path}, line 1: the columns are {', '.join(sorted(columns)) or 'none'}; needed are "
            "reference, text and targets (or clicked, shown)"
        )


def _outcome(where: str, row: object, resolve: PictureNames) -> TrainingTriplet | Problem:
    """A row's triplet, or what is wrong with it."""
    if not isinstance(row, Mapping):
        return Problem(where, str(row))
    try:
        return _triplet(where, row, resolve)
    except LostPictureError as error:
        if "edit" in row:
            return Problem(where, "a triplet of texts: such files go to --text-triplets")
        return Problem(where, str(error), LOST)
    except ValueError as error:
        return Problem(where, str(error))


def _triplet(where: str, row: Mapping[str, Any], resolve: PictureNames) -> TrainingTriplet:
    """A row's triplet; a ValueError says what is wrong with it."""
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError("the text is empty")
    if not row.get("reference"):
        raise ValueError("no reference")
    reference = resolve(row["reference"])
    targets = _unique(resolve(n) for key in TARGET_KEYS for n in _names(row.get(key)))
    shown = _unique(resolve(name) for name in _names(row.get("shown")))
    if not targets:
        raise ValueError("no target")
    if reference in targets:
        raise ValueError(f"the target is the reference itself ({reference.name})")
    others = tuple(file for file in shown if file not in targets and file != reference)
    group = str(row.get("group") or resolve.name_of(reference))
    return TrainingTriplet(reference, text.strip(), targets, others, group, where)


def _names(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [str(name) for name in value]
    return [name.strip() for name in str(value).split(SEPARATOR) if name.strip()]


def _merged(triplets: Sequence[TrainingTriplet]) -> list[TrainingTriplet]:
    """One triplet for each reference and text: their targets are answers to the same question."""
    found: dict[tuple[Path, str], TrainingTriplet] = {}
    for new in triplets:
        key = (new.reference, new.text.casefold())
        old = found.get(key, new)
        targets = _unique([*old.targets, *new.targets])
        shown = tuple(f for f in _unique([*old.shown, *new.shown]) if f not in targets)
        found[key] = replace(old, targets=targets, shown=shown)
    return list(found.values())


def usable(
    file: Path,
    outcomes: Iterable[Row | Problem],
    max_bad: float,
    example: str,
    way_out: str = "",
) -> tuple[list[Row], list[Problem]]:
    """Rows that can be used, and the others; a file with more than `max_bad` of those is refused.

    The refusal tells an example of a row, and a way out where most of the rest lost their pictures.
    """
    good: list[Row] = []
    problems: list[Problem] = []
    for outcome in outcomes:
        if isinstance(outcome, Problem):
            problems.append(outcome)
        else:
            good.append(outcome)
    total = len(good) + len(problems)
    if not total:
        raise DatasetError(f"{file}: it has no triplets; {example}")
    if good and len(problems) <= max_bad * total:
        return good, problems
    kinds = "".join(f"\n  {line}" for line in summarised(problems))
    lost = sum(problem.kind == LOST for problem in problems)
    hint = f"\n{way_out}" if way_out and 2 * lost >= len(problems) else ""
    if not good:
        raise DatasetError(f"{file}: none of {total:,} rows can be used:{kinds}{hint}")
    raise DatasetError(
        f"{file}: {len(problems):,} of {total:,} rows cannot be used, more than {max_bad:.0%} "
        f"(mend them, or allow it with --set max_bad=0.5):{kinds}{hint}"
    )


def _unique(items: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(items))
