"""What an object store holds of a gallery: `composir-published.json`, written last, read first.

It names every file of one edition. Lance gives most files of a table names that come once, so they
lie under these; others change, and lie under a name with a digest, or in the record itself if they
are small. So one edition is whole as soon as its record is there, and the edition before stays
whole until the next one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Literal

from composir.data.fields import Text, Whole
from composir.data.object_writes import store_bytes, stored_bytes
from composir.data.remote_paths import RemotePath
from composir.data.schema import fitting
from composir.data.untrusted_json import JSON_LIMIT, parse_json
from composir.errors import GalleryError

PUBLISHED_NAME = "composir-published.json"
_VERSION = 1
_AT_A_TIME = 1 << 20  # bytes
_SMALL = 1 << 16  # bytes of a file that is kept in the record itself
_KIND = "the record of a published gallery"
_OF_A_GALLERY = re.compile(
    r"images(-[0-9a-f]{8})?\.lance/.+"
    r"|((cache|beside)/.+|composir-[a-z-]+\.json|failures\.jsonl)\.[0-9a-f]{32}",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of a gallery's folder.

    Attributes:
        path: Below the folder, with `/`.
        size: Bytes.
        object: Where it lies below the gallery's address; empty where `text` is it.
        text: The content of a small one.
    """

    path: Text
    size: Whole
    object: Text = ""
    text: Text | None = None

    def is_at(self, folder: Path) -> bool:
        """Whether a folder has this very file."""
        local = folder / self.path
        if not local.is_file() or local.stat().st_size != self.size:
            return False
        return self.object == self.path or published_file(folder, self.path) == self


def published_file(folder: Path, path: str) -> PublishedFile:
    """How a file of a folder is published."""
    local, size = folder / path, (folder / path).stat().st_size
    if _is_named_once(path):
        return PublishedFile(path, size, path)
    if size <= _SMALL and (content := local.read_bytes()).isascii():
        return PublishedFile(path, len(content), text=content.decode("ascii"))
    size, digest = _seen_through(local)
    return PublishedFile(path, size, f"{path}.{digest}")


def _seen_through(local: Path) -> tuple[int, str]:
    """Bytes and digest of a file, which may be larger than the memory."""
    size, digest = 0, blake2b(digest_size=16)
    with local.open("rb") as file:
        while part := file.read(_AT_A_TIME):
            size += len(part)
            digest.update(part)
    return size, digest.hexdigest()


def _is_named_once(path: str) -> bool:
    folders = PurePosixPath(path).parts[:-1]
    return any(part.endswith(".lance") for part in folders) and "_versions" not in folders


@dataclass(frozen=True, slots=True)
class Published:
    """One edition of a gallery, or of a shard.

    Attributes:
        edition: A name that no other edition has.
        files: All of its files.
        dropped: Objects of the edition before that it does not need; the next one removes them.
        kind, schema_version: Of the record.
    """

    edition: Text
    files: tuple[PublishedFile, ...]
    dropped: tuple[Text, ...] = ()
    kind: Literal["composir-published"] = "composir-published"
    schema_version: Literal[1] = field(default=1)

    @property
    def objects(self) -> set[str]:
        """Names of what it needs in the store."""
        return {file.object for file in self.files if file.text is None}

    def write(self, address: RemotePath) -> None:
        """Make it the edition at an address."""
        text = json.dumps(asdict(self), separators=(",", ":"))
        store_bytes(RemotePath(address / PUBLISHED_NAME), text.encode())


def read_published(address: RemotePath) -> Published | None:
    """The edition at an address; None where there is none.

    Raises:
        GalleryError: If the record is damaged, names files outside of the gallery, or is of a
            newer version.
        ObjectStoreError: If the store does not answer.
    """
    place = RemotePath(address / PUBLISHED_NAME)
    content = stored_bytes(place, JSON_LIMIT)
    if content is None:
        return None
    try:
        value = parse_json(str(place), content.decode("utf-8"), GalleryError)
    except UnicodeDecodeError as error:
        raise GalleryError(f"{place} is not {_KIND}: not UTF-8 text") from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > _VERSION:
        raise GalleryError(
            f"{address} was published by a newer composir (format {version}, this version knows "
            f"{_VERSION}); upgrade: pip install --upgrade composir"
        )
    record = fitting(place, value, Published, GalleryError, _KIND)
    for name in _names(record):
        if not is_inside(name):
            raise GalleryError(f"{place} names a file outside of its gallery: {name!r}")
    if not all(file.text is None or file.text.isascii() for file in record.files):
        raise GalleryError(f"{place} is not {_KIND}: the text of a file is not ASCII")
    return record


def is_of_a_gallery(name: str) -> bool:
    """Whether an object below a gallery's address, by its name, is one that editions name."""
    return _OF_A_GALLERY.fullmatch(name) is not None


def _names(record: Published) -> Iterator[str]:
    yield from record.dropped
    for file in record.files:
        yield file.path
        if file.text is None:
            yield file.object


def is_inside(name: str) -> bool:
    """Whether a name with `/` leads to a file below a folder, on any system."""
    unfit = {"", ".", ".."}.intersection(name.split("/"))
    return not unfit and not any(c in "\\:\0" or "\ud800" <= c <= "\udfff" for c in name)
