"""Pictures that clients send: checked, kept in one folder, indexed from there."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

from composir.data.files import absolute, replaced_atomically
from composir.errors import DiskFullError, ImageReadError
from composir.gallery import Gallery
from composir.gallery.rows import hash_content, image_id
from composir.images import read_image
from composir.serve.engine import Engine
from composir.serve.http_problems import NotAllowedError
from composir.serve.schemas import AddAnswer

_ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif", "JPEG2000": ".jp2"}


def add_pictures(engine: Engine, folder: Path, pictures: Sequence[tuple[str, bytes]]) -> AddAnswer:
    """Keep pictures in a folder and index them.

    Args:
        engine: Holds the gallery.
        folder: To keep them in.
        pictures: What clients call them, and their bytes. The files are named by their content, so
            that no name leads anywhere, and the same picture is kept once.
    """
    failures: list[dict[str, str]] = []
    kept: list[Path] = []
    for name, content in pictures:
        try:
            kept.append(_kept(absolute(folder), content))
        except ImageReadError as error:
            failures.append({"name": name, "code": error.code, "reason": str(error)})
    if kept:  # each file for itself: of their folder, those that were taken out would come back
        with engine.writing:
            Gallery(engine.gallery.path, engine.model).index(kept)
    found = engine.gallery.images([image_id(path) for path in kept])
    return {"added": list(found), "failures": failures}


def _kept(folder: Path, content: bytes) -> Path:
    """Write a picture that can be read."""
    format_name = read_image(content, min_side=64).format
    ending = _ENDINGS.get(format_name, f".{format_name.lower()}")
    path = folder / f"{hash_content(content)}{ending}"
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as file:
            file.write(content)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(
                "the disk for added pictures is full; nothing was added: make room"
            ) from error
        raise NotAllowedError(f"pictures cannot be kept: {error.strerror}") from error
    return path
