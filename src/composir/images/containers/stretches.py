"""Bytes of a container, on this machine or in an object store."""

from __future__ import annotations

import errno
from typing import BinaryIO, cast

from composir.data.files import open_regular
from composir.data.object_store import open_object, read_object
from composir.data.remote_paths import is_remote
from composir.images.scan import FoundFile


def open_found(file: FoundFile) -> BinaryIO:
    """Open a file that was found, to read it from anywhere."""
    if is_remote(file.path):
        return cast("BinaryIO", open_object(file.path, file.size, file.root))
    return open_regular(file.path)


def read_found(file: FoundFile, begin: int, size: int) -> bytes:
    """So many bytes of it."""
    if is_remote(file.path):
        return read_object(file.path, size, file.root, begin=begin)
    with open_regular(file.path) as stream:
        stream.seek(begin)
        content = stream.read(size)
    if len(content) != size:
        raise OSError(errno.EAGAIN, "it was changed while it was read")
    return content
