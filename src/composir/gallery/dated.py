"""Hits in the order of time: only what is relevant, newest or oldest first.

An image was made when its EXIF says, else when its file was last changed. EXIF times have no time
zone; they are the wall clock of who took the picture, so the file's time is read on this machine's.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from composir.types import SortOrder

if TYPE_CHECKING:
    from composir.gallery.ranking import Candidate

MOST_DATED = 5_000  # of the best relevant images: more would cost seconds and pass by chance


def by_date(candidates: list[Candidate], sort: SortOrder) -> list[Candidate]:
    """Sort images by when they were made; those of one time by their score."""
    if sort == "score":
        return candidates
    return sorted(candidates, key=_made_at, reverse=sort == "date")


def _made_at(candidate: Candidate) -> datetime:
    taken: datetime | None = candidate.metadata.get("taken_at")
    if taken is not None:
        return taken
    modified: datetime = candidate.metadata["modified"]
    return _on_the_wall(modified)


def _on_the_wall(moment: datetime) -> datetime:
    """A time in UTC without a zone, on this machine's clock."""
    try:
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
    except (OverflowError, OSError, ValueError):  # years that the system's clock does not know
        return moment
