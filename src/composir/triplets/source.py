"""Reading pictures together with what is known about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from composir.data.captions import (
    CAPTION_COLUMNS,
    CaptionRow,
    match_captions,
    read_captions,
    texts_of,
)
from composir.data.datasets import GALLERY, DatasetFolder, DatasetImage, no_split, splits_of
from composir.data.fields import FileRow, Name
from composir.data.problems import Problem, summarised
from composir.data.schema import as_row
from composir.data.untrusted_json import JsonFaultError, decode_json, read_lines
from composir.errors import DatasetError
from composir.images.scan import scan
from composir.triplets.records import ImageSet, SourceImage
from composir.types import Failure

_NO_ATTRIBUTE = frozenset({"id", "file", "path", "split", "url", "licence", "license"})
_NAMED = 10


def read_captioned(
    images: Path, captions: Path, *, columns: Sequence[str] = (), only: Path | None = None
) -> ImageSet:
    """Read a folder of pictures and a table of captions.

    Args:
        images: Searched through with all folders below; ids are paths relative to it.
        captions: CSV, JSONL or Parquet with a column that names pictures (relative path, name, or
            name without ending), captions, and any other columns as attributes; several rows may
            speak of one picture.
        columns: Names of the caption columns; none for `CAPTION_COLUMNS`.
        only: File of ids to keep.

    Returns:
        The pictures that something is known about.

    Raises:
        DatasetError: If the table does not speak of any picture of the folder.
    """
    root = images.expanduser().absolute()
    scanned = list(scan([root]))
    files = [item.path for item in scanned if not isinstance(item, Failure)]
    if not files:
        raise DatasetError(f"no pictures below {images}: name the folder that holds them")
    rows = read_captions(captions, columns or CAPTION_COLUMNS)
    places = {file: file.relative_to(root) for file in files}
    named = ((file, place, (place.as_posix(), str(file))) for file, place in places.items())
    found, unknown = match_captions(rows, named)
    known = [_captioned(root, file, found[file]) for file in files if file in found]
    if not known:
        raise DatasetError(
            f"{captions} speaks of {len(rows):,} pictures ({_some(unknown)}), but of none below "
            f"{images}; are its names relative to that folder?"
        )
    notices = [
        _counted(len(unknown), "captions without a picture", unknown),
        _counted(len(files) - len(known), "pictures without a caption are left out"),
        *summarised(
            Problem(str(item.path), item.reason) for item in scanned if isinstance(item, Failure)
        ),
    ]
    chosen = _only(known, only, f"below {images}")
    return _source(root.name, chosen, "not stated", notices)


def read_data_set(
    folder: Path, *, columns: Sequence[str] = (), only: Path | None = None, split: str | None = None
) -> ImageSet:
    """Read a data set folder: `gallery.jsonl` with `id`, `file` and any metadata.

    Args:
        folder: The data set.
        columns: Names of the caption columns; none for `CAPTION_COLUMNS`. Text columns that are
            no captions are attributes.
        only: File of ids to keep.
        split: Keep rows whose column `split` says so.

    Returns:
        The pictures whose files are there.

    Raises:
        DatasetError: If files are missing or malformed, or nothing is left.
    """
    found = DatasetFolder(folder.expanduser().absolute())
    images = found.images().values()
    kept = [image for image in images if split is None or image.split == split]
    if not kept and split is not None:
        raise no_split(found.root / GALLERY, "rows", split, sorted(splits_of(images)))
    read = [_image(image, tuple(columns or CAPTION_COLUMNS)) for image in kept]
    chosen = _only(read, only, f"in {folder}")
    there = [image for image in chosen if image.file.is_file()]
    lost = [image.id for image in chosen if not image.file.is_file()]
    if not there:
        raise DatasetError(f"{folder}: none of its {len(lost):,} pictures is there: {_some(lost)}")
    notices = [_counted(len(lost), "pictures whose file is missing are left out", lost)]
    return _source(found.root.name, there, _licence(found), notices)


def _captioned(root: Path, file: Path, row: CaptionRow) -> SourceImage:
    facts = {"captions": list(row.captions), **row.attributes}
    name = file.relative_to(root).as_posix()
    return SourceImage(name, file, row.captions, row.attributes, facts)


def _image(image: DatasetImage, columns: tuple[str, ...]) -> SourceImage:
    captions = [text for name in columns for text in texts_of(image.metadata.get(name))]
    attributes = {
        name: value.strip()
        for name, value in image.metadata.items()
        if isinstance(value, str) and value.strip() and name not in _NO_ATTRIBUTE | set(columns)
    }
    return SourceImage(image.id, image.file, tuple(captions), attributes, image.metadata)


def _only(images: Sequence[SourceImage], only: Path | None, where: str) -> list[SourceImage]:
    if only is None:
        return list(images)
    wanted = _ids(only)
    if not wanted:
        raise DatasetError(f"{only}: it names no pictures; write one id a line")
    chosen = [image for image in images if image.id in wanted]
    lost = sorted(wanted - {image.id for image in chosen})
    if lost:
        raise DatasetError(f"{only}: {len(lost):,} of its ids are not {where}: {_some(lost)}")
    return chosen


class _Id(FileRow):
    """A row of which the id alone is asked."""

    id: Name


def _ids(path: Path) -> set[str]:
    """Ids of a file: one per line, plain or as JSON objects with `id`."""
    ids = set()
    for where, line in read_lines(path, DatasetError):
        if not line.lstrip().startswith("{"):
            ids.add(line.strip())
            continue
        try:
            ids.add(as_row(where, decode_json(line), _Id, DatasetError).id)
        except (JsonFaultError, DatasetError) as error:
            raise DatasetError(f"{where} is neither an id nor JSON with 'id': {error}") from error
    return ids


def _licence(folder: DatasetFolder) -> str:
    try:
        return folder.card().licence or "not stated"
    except DatasetError:
        return "not stated"


def _source(
    name: str, images: Sequence[SourceImage], licence: str, notices: Sequence[str]
) -> ImageSet:
    if len(images) < 2:
        raise DatasetError(f"{name}: a pair needs two pictures, and there is {len(images)} to use")
    digest = hashlib.sha256()
    for image in images:
        facts = [image.id, image.captions, sorted(image.attributes.items())]
        digest.update(json.dumps(facts).encode())
    told = tuple(notice for notice in notices if notice)
    return ImageSet(name, tuple(images), licence, digest.hexdigest(), told)


def _counted(count: int, what: str, names: Sequence[str] = ()) -> str:
    if not count:
        return ""
    return f"{count:,} {what}" + (f": {_some(names)}" if names else "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
