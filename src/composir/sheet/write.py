"""From a gallery's answer to a page on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from composir.errors import ComposirError
from composir.sheet.page import SheetSearch, contact_sheet
from composir.types import Query, SearchResult

_THUMBNAIL_SIDE = 256
_READABLE = 0o644


class ThumbnailSource(Protocol):
    """Whatever keeps small JPEGs of its images: a gallery."""

    def thumbnails(self, image_ids: Sequence[str], /) -> Mapping[str, bytes]:
        """JPEGs of images by id; of those that there are."""


def gather(
    result: SearchResult, gallery: ThumbnailSource, *, where: str | None = None, note: str = ""
) -> SheetSearch:
    """Collect what a page needs to show one answer.

    Args:
        result: The answer.
        gallery: The gallery that gave it.
        where: The filter that was used.
        note: A line on why one would ask this.

    Raises:
        QueryError: If a reference cannot be read any more.
    """
    return SheetSearch(
        result=result,
        where=where,
        note=note,
        references=_references(result.query),
        thumbnails=gallery.thumbnails([hit.id for hit in result.hits]),
    )


def _references(query: Query) -> tuple[tuple[bytes, str], ...]:
    from composir.gallery.reference import open_references
    from composir.gallery.thumbnails import make_thumbnail

    opened = open_references(query, min_side=_THUMBNAIL_SIDE)
    return tuple((make_thumbnail(one.rgb, _THUMBNAIL_SIDE), one.name) for one in opened)


def write_contact_sheet(
    destination: Path, searches: Sequence[SheetSearch], *, title: str, intro: str = ""
) -> Path:
    """Write a page in one go: a reader sees the old page or the new one, never half.

    Args:
        destination: The HTML file; its folder is made where it is missing.
        searches: Shown one below the other.
        title: Heading of the page.
        intro: A sentence below it.

    Returns:
        The page's absolute path.

    Raises:
        ComposirError: If the file cannot be written.
    """
    return write_page(destination, contact_sheet(searches, title=title, intro=intro))


def write_page(destination: Path, page: str) -> Path:
    """Write any page in one go.

    Args:
        destination: The HTML file; its folder is made where it is missing.
        page: The whole document.

    Returns:
        The page's absolute path.

    Raises:
        ComposirError: If the file cannot be written.
    """
    from composir.data.files import replaced_atomically

    destination = destination.expanduser().absolute()
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(destination) as file:
            file.write(page.encode("utf-8"))
        destination.chmod(_READABLE)  # a temporary file is its owner's alone
    except OSError as error:
        reason = error.strerror or str(error)
        raise ComposirError(
            f"cannot write {destination}: {reason}; name another file with --html"
        ) from error
    return destination
