"""Whose row the picture at a new path takes over, when its content is known.

Vectors are the same whichever is taken; metadata are not. Of several rows with the same content,
the one that moved here is the best guess: its file is gone, and it lay in the same folder below its
root under the same name. What has moved once moves no second time while there are others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from composir.gallery.rows import Place, image_id


@dataclass(frozen=True, slots=True)
class CopySource:
    """A row that has some content.

    Attributes:
        id: The row's.
        content_hash: Of the file.
        path: Of the file.
        folder: Relative to the root, with `/`.
        position: Of the row in the store.
    """

    id: str
    content_hash: str
    path: Path
    folder: str
    position: int


@dataclass(slots=True)
class _Group:
    """The rows of one content, in order, and those of them whose files are gone, by name."""

    rows: dict[str, CopySource] = field(default_factory=dict)
    moved: dict[str, list[CopySource]] = field(default_factory=dict)


class MovedFiles:
    """Assigns rows to new places; remembers over a whole run which ones have moved already."""

    def __init__(self, was_not_found: Callable[[str], bool]) -> None:
        """Assign rows; `was_not_found` says of an id that its file was not met in this run."""
        self._was_not_found = was_not_found
        self._taken: set[str] = set()

    def assign(
        self, copies: Sequence[tuple[Place, str]], rows: Iterable[CopySource]
    ) -> list[CopySource | None]:
        """Give each new place the row that it takes over.

        Returns:
            A row for each place; None where no row has its content.
        """
        groups = self._grouped(rows)
        given: list[CopySource | None] = [None] * len(copies)
        # The surest first, so that none is taken from under the hands of a better match.
        for match in (_same_path, _same_place, _same_name, _any_moved, _any_row):
            for index, (place, content) in enumerate(copies):
                group = groups.get(content)
                if given[index] is None and group is not None:
                    given[index] = match(group, place)
                    self._take(group, given[index])
        return given

    def _grouped(self, rows: Iterable[CopySource]) -> dict[str, _Group]:
        groups: dict[str, _Group] = {}
        for row in rows:
            group = groups.setdefault(row.content_hash, _Group())
            group.rows[row.id] = row
            if self._has_moved(row):
                group.moved.setdefault(row.path.name, []).append(row)
        return groups

    def _has_moved(self, row: CopySource) -> bool:
        return (
            row.id not in self._taken
            and self._was_not_found(row.id)
            and not os.path.lexists(row.path)  # rows of other folders are not met at all
        )

    def _take(self, group: _Group, row: CopySource | None) -> None:
        """Let a row move once, unless it is the last that is left."""
        if row is None:
            return
        named = group.moved.get(row.path.name, [])
        if row in named and (len(group.moved) > 1 or len(named) > 1):
            self._taken.add(row.id)
            named.remove(row)
            if not named:
                del group.moved[row.path.name]


def _same_path(group: _Group, place: Place) -> CopySource | None:
    return group.rows.get(image_id(place.path))


def _same_place(group: _Group, place: Place) -> CopySource | None:
    named = group.moved.get(place.path.name, [])
    return next((row for row in named if row.folder == place.folder), None)


def _same_name(group: _Group, place: Place) -> CopySource | None:
    return next(iter(group.moved.get(place.path.name, [])), None)


def _any_moved(group: _Group, _place: Place) -> CopySource | None:
    return next((row for rows in group.moved.values() for row in rows), None)


def _any_row(group: _Group, _place: Place) -> CopySource | None:
    return next(iter(group.rows.values()), None)
