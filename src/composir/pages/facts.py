"""Which facts about a hit are worth a reader's look, and how they are written."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from composir.gallery.ranking import MOST_DATED
from composir.types import Hit, SearchResult

_FROM_FILE = ("taken_at", "camera", "folder")
_FOR_MACHINES = frozenset({"content_hash", "size", "modified", "meta_id"})


def telling_facts(hit: Hit) -> dict[str, str]:
    """Facts of a hit for people: those of the sidecar first, then the file's own."""
    own = [name for name in hit.metadata if name not in _FROM_FILE and name not in _FOR_MACHINES]
    known = {name: _text(hit.metadata.get(name)) for name in (*own, *_FROM_FILE)}
    return {name.replace("_", " "): text for name, text in known.items() if text}


def link_to(path: Path) -> str:
    """The address of a picture; of one in a tar or a table, that of the file that it lies in."""
    place = path.absolute()
    files = (one for one in (place, *place.parents) if one.is_file())
    return next(files, place).as_uri()


def in_order_of_date(result: SearchResult) -> str:
    """How many pictures passed for relevant and in which order they come; empty if by score."""
    if result.relevant is None:
        return ""
    first = "oldest" if result.sort == "date:oldest" else "newest"
    at_least = "at least " if result.relevant >= MOST_DATED else ""
    return f"{at_least}{result.relevant:,} relevant, {first} first"


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(" ", "minutes")
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
