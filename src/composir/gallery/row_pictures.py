"""The pictures of rows, to be read once more: files, and what lies in containers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from composir.data.files import read_regular
from composir.encode.image_files import ImageFile
from composir.gallery.manifest import GalleryManifest
from composir.gallery.presence import Presence, Whereabouts
from composir.gallery.rows import hash_content
from composir.images.containers import container_of, read_indexed
from composir.references import LARGEST_FILE

_UNKNOWN = {Presence.UNREACHABLE, Presence.ROOT_MISSING, Presence.REMOTE}


@dataclass(frozen=True, slots=True)
class RowPicture(ImageFile):
    """The picture of a row, told from others by the hash that rows have of contents.

    Attributes:
        content: Reads it; may raise an `OSError`.
    """

    content: Callable[[], bytes] = field(kw_only=True)

    @property
    def stretch(self) -> str:
        """Its name in a container, after a slash."""
        return f"/{self.member}"

    def source(self) -> bytes:
        """Its bytes."""
        return self.content()

    def digest(self) -> str:
        """Its content hash, 32 hexadecimal digits."""
        return hash_content(self.content())


class RowPictures:
    """Finds pictures; of those that could not be read, tells what is gone from what is away."""

    def __init__(self, manifest: GalleryManifest) -> None:
        """Look for pictures below the roots of a gallery."""
        self._whereabouts = Whereabouts(manifest)
        self._faulty: dict[Path, str] = {}  # containers, and why they could not be read

    def of(self, path: Path) -> RowPicture:
        """The picture of a row, by its address."""
        file = container_of(path)
        if file is None:
            return RowPicture(path, content=partial(read_regular, path, limit=LARGEST_FILE))
        name = path.relative_to(file).as_posix()
        return RowPicture(file, member=name, content=partial(self._unpacked, file, name))

    def why_away(self, path: Path) -> str | None:
        """Why a picture that could not be read may still be there; None where it is gone."""
        if self._whereabouts.of(path) in _UNKNOWN:
            return "its folder or disk is not there, or may not be looked into"
        return self._faulty.get(container_of(path) or path)

    def _unpacked(self, file: Path, name: str) -> bytes:
        """Read a picture out of a container; out of one that has failed, none: that may be long."""
        if file in self._faulty:
            raise OSError(self._faulty[file])
        try:
            return read_indexed(file, name, self._whereabouts.root_of(file))
        except FileNotFoundError:
            raise  # taken out of it, or the whole file is gone
        except OSError as error:
            self._faulty[file] = error.strerror or str(error)
            raise
