"""Contact sheets: searches and their hits on one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from composir.data.outputs import PAGE, write_file
from composir.pages.facts import in_order_of_date, link_to, telling_facts
from composir.pages.rendering import render
from composir.types import Hit, Query, SearchResult

_THUMBNAIL_SIDE = 256


@dataclass(frozen=True, slots=True)
class SheetSearch:
    """One search with the pictures that its part of the page shows.

    Attributes:
        result: The answer.
        where: The filter that was used, if any.
        references: JPEG and name of each reference image of the query.
        thumbnails: JPEG of each hit, by the gallery's id.
        note: A line on why one would ask this, for pages that explain.
    """

    result: SearchResult
    where: str | None = None
    references: tuple[tuple[bytes, str], ...] = ()
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    note: str = ""


class ThumbnailSource(Protocol):
    """Whatever keeps small JPEGs of its images: a gallery."""

    def thumbnails(self, image_ids: Sequence[str], /) -> Mapping[str, bytes]:
        """JPEGs of images by id; of those that there are."""


def gather(
    result: SearchResult, gallery: ThumbnailSource, *, where: str | None = None, note: str = ""
) -> SheetSearch:
    """Collect what a page needs to show one answer."""
    return SheetSearch(
        result=result,
        where=where,
        note=note,
        references=_references(result.query),
        thumbnails=gallery.thumbnails([hit.id for hit in result.hits]),
    )


def _references(query: Query) -> tuple[tuple[bytes, str], ...]:
    from composir.gallery.reader import make_thumbnail
    from composir.gallery.reference import open_references

    opened = open_references(query, min_side=_THUMBNAIL_SIDE)
    return tuple((make_thumbnail(one.rgb, _THUMBNAIL_SIDE), one.name) for one in opened)


def contact_sheet(searches: Sequence[SheetSearch], *, title: str, intro: str = "") -> str:
    """Lay out a page."""
    return render(
        "contact_sheet.html",
        title=title,
        intro=intro,
        searches=searches,
        describe=_describe,
        details=_details,
        in_order_of_date=in_order_of_date,
        link_to=link_to,
    )


def write_contact_sheet(
    destination: Path,
    searches: Sequence[SheetSearch],
    *,
    title: str,
    intro: str = "",
    option: str = "",
) -> Path:
    """Write a page in one go: a reader sees the old page or the new one, never half."""
    return write_file(destination, contact_sheet(searches, title=title, intro=intro), PAGE, option)


def _describe(query: Query) -> str:
    count = len(query.images)
    parts = ["an image" if count == 1 else f"{count} images"] if count else []
    parts += [query.text] if query.text.strip() else []
    return " and ".join(parts)


def _details(hit: Hit) -> dict[str, str]:
    return {**telling_facts(hit), "size": f"{hit.width} × {hit.height}"}
