"""Tar files of pictures, as WebDataset and `tar` write them; nothing is unpacked to the disk."""

from __future__ import annotations

import errno
import tarfile
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO, cast

from composir.data.object_store import read_object
from composir.data.remote_paths import is_remote
from composir.data.tables import mended
from composir.data.untrusted_json import JsonFaultError, decode_json
from composir.errors import ComposirError
from composir.images.containers import Facts, Member, Tell, open_found
from composir.images.formats import PICTURE_SUFFIXES
from composir.images.scan import FoundFile, is_left_out, suffix

_FACTS = frozenset({".json", ".txt", ".cls"})
_LARGEST_FACTS = 1 << 20
_LARGEST_HEADER = 1 << 24
_LONGEST_NAME = 4096
_BROKEN = "it is no tar, or broken,"


class TarShard:
    """One tar file."""

    def __init__(self, file: FoundFile) -> None:
        """Take it as it was found; it is opened when it is asked."""
        self._file = file

    def members(self) -> Iterator[Member]:
        """All regular files in it, but for hidden ones; what else is named like a picture."""
        with open_found(self._file) as stream:
            for info in _headers(stream, self._file.size):
                member = _member(info)
                if member is not None:
                    yield member

    def find(self, name: str) -> Member:
        """The picture of a name."""
        member = self._by_name.get(name)
        if member is None:
            raise FileNotFoundError(errno.ENOENT, f"{self._file.path.name} has no such picture")
        return member

    def read(self, member: Member) -> bytes:
        """The content of a member."""
        file, size = self._file, member.size
        if is_remote(file.path):
            return read_object(file.path, size, file.root, begin=member.begin)
        with open_found(file) as stream:
            stream.seek(member.begin)
            content = stream.read(size)
        if len(content) != size:
            raise OSError(errno.EAGAIN, "it was changed while it was read")
        return content

    def facts(self, members: Iterable[Member], tell: Tell) -> Iterator[Facts]:
        """Each picture's name, and what the files of the same name with other endings say."""
        beside: dict[str, dict[str, object]] = {}
        pictures: list[str] = []
        with open_found(self._file) as stream:
            for member in members:
                if member.fault or member.kind == "other":
                    continue
                if member.kind == "picture":
                    pictures.append(member.name)
                else:
                    said = beside.setdefault(_stem(member.name), {})
                    said |= _said(member, stream, tell)
        yield from ((name, beside.get(_stem(name), {})) for name in pictures)

    @cached_property
    def _by_name(self) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for member in self.members():
            if member.kind == "picture" and not member.fault:
                found.setdefault(member.name, member)
        return found


def _headers(stream: IO[bytes], size: int) -> Iterator[tarfile.TarInfo]:
    """The entries of a tar one after the other; `tarfile` itself keeps all of them in memory."""
    archive, end = None, 0
    while not _is_end(stream, end, size):
        try:
            if archive is None:
                archive = tarfile.TarFile(fileobj=cast("IO[bytes]", _Headers(stream)))
                stream.seek(end)
            info = tarfile.TarInfo.fromtarfile(archive)
        except (OSError, ComposirError):
            raise
        except Exception as error:  # it raises nearly anything on damaged headers
            why = f"{_BROKEN} at byte {end:,}: {error or type(error).__name__}"
            raise OSError(errno.EIO, why) from error
        after = archive.offset or 0
        if after <= end or info.size < 0:
            raise OSError(errno.EIO, f"{_BROKEN} at byte {end:,}: a size below 0")
        if info.offset_data + info.size > size:
            raise OSError(errno.EIO, f"it is cut short within {info.name!r}, at byte {size:,}")
        yield info
        end = after


def _is_end(stream: IO[bytes], end: int, size: int) -> bool:
    """Whether the end mark is here, a block of zeros; where it is not, the stream stays here."""
    stream.seek(end)
    head = stream.read(tarfile.BLOCKSIZE)
    if len(head) < tarfile.BLOCKSIZE:
        is_tar = end or not size
        why = f"it is cut short: it ends at byte {size:,} without an end mark"
        raise OSError(errno.EIO, why if is_tar else f"{_BROKEN} at byte 0")
    stream.seek(end)
    return not head.strip(b"\0")


class _Headers:
    """A stream that gives headers, and none that would take the memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._stream.read(size)


def _member(info: tarfile.TarInfo) -> Member | None:
    """What an entry is; None for folders, hidden files, and other things that are no file."""
    parts = [part for part in info.name.split("/") if part not in {"", "."}]
    name, ending = "/".join(parts), suffix(info.name)
    if not parts or info.isdir() or any(is_left_out(part) for part in parts if part != ".."):
        return None
    if ".." in parts or "\0" in name or len(name) > _LONGEST_NAME:
        why = f"a name with `..`, a zero byte or more than {_LONGEST_NAME:,} characters"
        return Member(info.name[:_LONGEST_NAME], 0, 0, fault=why)
    if not info.isreg() or info.issparse():
        is_named = ending in PICTURE_SUFFIXES
        return Member(name, 0, 0, fault="no regular file in the tar") if is_named else None
    begin, size = info.offset_data, info.size
    if ending in PICTURE_SUFFIXES:
        return Member(name, begin, size)
    return Member(name, begin, size, "facts" if ending in _FACTS else "other")


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _said(member: Member, stream: IO[bytes], tell: Tell) -> dict[str, object]:
    """What a file beside a picture says, by column."""
    if member.size > _LARGEST_FACTS:
        tell(member.name, f"metadata of more than {_LARGEST_FACTS >> 20} MiB")
        return {}
    stream.seek(member.begin)
    text = stream.read(member.size).decode("utf-8-sig", "replace")
    if suffix(member.name) != ".json":
        return {suffix(member.name)[1:]: text.strip()}
    try:
        found = decode_json(text, lenient=True)
    except JsonFaultError as fault:
        tell(member.name, f"no metadata: {fault.reason}")
        return {}
    if isinstance(found, dict):
        return dict(mended(found))
    tell(member.name, "no metadata: not a JSON object")
    return {}
