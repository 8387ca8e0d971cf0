"""Data set folders, `dataset.json`, `gallery.jsonl`, `queries.jsonl` and pictures: the one reader.

docs/bench.md describes the format. Ids may be written as whole numbers, null is as good as left
out, and what else a row of the gallery says is its metadata.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool

from composir.data.fields import FileRow, Name, Text, Told
from composir.data.row_examples import GALLERY_ROW
from composir.data.schema import as_row, read_rows
from composir.data.untrusted_json import MANIFEST_LIMIT, read_json
from composir.errors import DatasetError

CARD, GALLERY, QUERIES = "dataset.json", "gallery.jsonl", "queries.jsonl"


class DatasetCard(BaseModel):
    """What `dataset.json` says; `metrics` and `headline` are checked by who computes them.

    `group` names columns of the gallery: what a query's reference says there is its group.
    """

    model_config = ConfigDict(frozen=True)

    name: Text
    exclude_reference: StrictBool = True
    metrics: tuple[Text, ...] | None = None
    headline: Text | None = None
    group: tuple[Text, ...] = ()
    reference: Told | None = None
    source: Told | None = None
    licence: Told | None = None
    description: Told | None = None
    images_from: Told | None = None


class GalleryRow(FileRow):
    """One image; what else the row says is in `model_extra`."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: Name
    file: Text
    split: Name | None = None


class QueryRow(FileRow):
    """One query, or one triplet."""

    id: Name
    reference: Name | None = None
    text: Text = ""
    targets: tuple[Name, ...] = ()
    subset: tuple[Name, ...] = ()
    aspects: tuple[Name, ...] | None = None
    type: Name | None = None
    group: Name | None = None
    split: Name | None = None
    provenance: Any = None


@dataclass(frozen=True, slots=True)
class DatasetImage:
    """An image of a data set's gallery.

    Attributes:
        id: Unique in the gallery.
        file: Where it lies, if it does.
        name: Its file as the row says, relative to the data set.
        split: The part of the set that it belongs to; None where none is named.
        metadata: What else the row says.
        where: File and line, for messages.
    """

    id: str
    file: Path
    name: str
    split: str | None
    metadata: dict[str, Any]
    where: str


@dataclass(frozen=True, slots=True)
class DatasetFolder:
    """A folder in the format.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of annotations."""
        return tuple(self.root / name for name in (CARD, GALLERY, QUERIES))

    def card(self) -> DatasetCard:
        """Read `dataset.json`."""
        path = self.root / CARD
        missing = "this annotation file is missing"
        limit = MANIFEST_LIMIT
        value = read_json(path, DatasetError, dict, limit=limit, missing=missing, halves=False)
        return as_row(str(path), value, DatasetCard, DatasetError)

    def images(self, *, halves: bool = True) -> dict[str, DatasetImage]:
        """Read `gallery.jsonl`."""
        images: dict[str, DatasetImage] = {}
        for where, row in read_rows(self.root / GALLERY, GalleryRow, DatasetError, halves=halves):
            if row.id in images:
                raise DatasetError(f"{where}: the gallery id {row.id!r} comes twice")
            said = dict(row.model_extra or {}) | ({"split": row.split} if row.split else {})
            file = self.root / row.file
            images[row.id] = DatasetImage(row.id, file, row.file, row.split, said, where)
        if not images:
            raise DatasetError(f"{self.root / GALLERY}: the gallery is empty; {GALLERY_ROW}")
        return images

    def queries(self, *, halves: bool = True) -> list[tuple[str, QueryRow]]:
        """Read `queries.jsonl`; where each query is, and the query."""
        return list(read_rows(self.root / QUERIES, QueryRow, DatasetError, halves=halves))


def splits_of(rows: Iterable[DatasetImage | QueryRow]) -> tuple[str, ...]:
    """The splits that rows name, in order of first use."""
    return tuple(dict.fromkeys(row.split for row in rows if row.split is not None))


def no_split(path: Path, what: str, split: str, there: Sequence[str]) -> DatasetError:
    """What to raise where no row belongs to a split."""
    named = ", ".join(map(repr, there))
    told = f"it has {named}" if named else "none of them names a split"
    return DatasetError(f"{path}: no {what} of split {split!r}; {told}")
