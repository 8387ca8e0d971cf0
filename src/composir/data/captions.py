"""Tables of captions, one or several rows a picture, and the pictures that they speak of."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TypeVar

from composir.data.row_examples import CAPTION_ROW
from composir.data.tables import KEY_COLUMNS, Table, key_column, read_table
from composir.errors import DatasetError

CAPTION_COLUMNS = ("captions", "caption", "description", "sentence", "text")
"""Columns of descriptions, unless others are named."""

_Picture = TypeVar("_Picture", bound=Hashable)


@dataclass(frozen=True, slots=True)
class CaptionRow:
    """What a table says about one picture: captions in its order, and other text columns."""

    captions: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_captions(path: Path, columns: Sequence[str]) -> dict[str, CaptionRow]:
    """Read a table of captions."""
    table = read_table(path)
    key = key_column(list(table.columns))
    if key is None:
        raise DatasetError(
            f"{path}: no column names the pictures; call it 'file' (or one of "
            f"{', '.join(KEY_COLUMNS[:6])}, ...)"
        )
    if not table.lines:
        raise DatasetError(f"{path}: it has no rows; {CAPTION_ROW}")
    rows: dict[str, CaptionRow] = {}
    for place, name in enumerate(table.columns[key]):
        if name is None or not str(name).strip():
            raise DatasetError(f"{path}:{table.lines[place]}: the column {key!r} is empty")
        row = _row(table, place, key, columns)
        rows[str(name)] = _merged(rows.get(str(name), CaptionRow()), row)
    return rows


def match_captions(
    rows: Mapping[str, CaptionRow], called: Iterable[tuple[_Picture, PurePath, Sequence[str]]]
) -> tuple[dict[_Picture, CaptionRow], list[str]]:
    """Find the pictures that rows speak of."""
    shared: dict[str, _Picture | None] = {}
    own: dict[str, _Picture | None] = {}
    for picture, place, names in called:
        bare = place.with_suffix("")
        for name in {place.as_posix(), bare.as_posix(), place.name, place.stem}:
            shared[name] = None if name in shared else picture
        own |= dict.fromkeys(names, picture)
    every = shared | own
    found: dict[_Picture, CaptionRow] = {}
    strangers = []
    for name, row in rows.items():
        known = every.get(name) or every.get(name.removeprefix("./"))
        if known is None:
            strangers.append(name)
        else:
            found[known] = _merged(found.get(known, CaptionRow()), row)
    return found, strangers


def _merged(known: CaptionRow, more: CaptionRow) -> CaptionRow:
    """Two rows on one picture; what the first says about an attribute holds."""
    captions = dict.fromkeys((*known.captions, *more.captions))
    return CaptionRow(tuple(captions), {**more.attributes, **known.attributes})


def _row(table: Table, place: int, key: str, columns: Sequence[str]) -> CaptionRow:
    cells = {name: values[place] for name, values in table.columns.items() if name != key}
    captions = tuple(text for name in columns for text in texts_of(cells.get(name)))
    attributes = {
        name: value.strip()
        for name, value in cells.items()
        if name not in columns and isinstance(value, str) and value.strip()
    }
    return CaptionRow(captions, attributes)


def texts_of(cell: object) -> Iterator[str]:
    """Texts of a cell that holds one, a list of them, or something else."""
    if isinstance(cell, str) and cell.strip():
        yield cell.strip()
    elif isinstance(cell, list | tuple):
        yield from (text.strip() for text in cell if isinstance(text, str) and text.strip())
