"""Object stores through fsspec, which is imported when the first address is opened, never before.

What goes wrong with the store is an `ObjectStoreError`, and ends a run where it stands; what goes
wrong with one picture is an `OSError`, as of files. Drivers raise nearly anything (errors of the
system, of botocore, of aiohttp), so everything is caught here. Credentials are the drivers' affair:
the environment and their own files; none is taken from an address or shown in a message.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from fnmatch import filter as names_like
from functools import lru_cache
from io import SEEK_CUR, SEEK_END, SEEK_SET, BufferedReader, RawIOBase
from pathlib import Path
from typing import Any

from composir.data.remote_paths import RemotePath
from composir.errors import MissingExtraError, ObjectStoreError, first_line

_LOCAL = frozenset({"file", "local", "http", "https"})
_BYTES_AHEAD = 1 << 22
_RESUMES = "what is indexed stays, and the same command goes on once it can be reached"
_SECRETS = (
    (re.compile(r"(://)[^/\s@]+@"), r"\1"),
    (re.compile(r"\?\S+"), "?..."),
    (re.compile(r"(?i)((?:key|secret|token|sig|signature|password)\w*=)\S+"), r"\1..."),
)

Entry = Mapping[str, Any]
"""What a store's listing says of one name: `name`, `size`, `type`, and more of the driver's own."""


def check_address(root: RemotePath) -> None:
    """Refuse an address with what may be a secret, or with what only fsspec would understand.

    Raises:
        ObjectStoreError: The message does not repeat it.
    """
    scheme, _, rest = str(root).partition("://")
    if re.search(r"[?#]|::|:[^@]*@", rest):
        raise ObjectStoreError(
            f"an address of {scheme}:// holds no password, `?`, `#` or `::`, which would stay in "
            "the gallery and the shell's history: credentials come from the environment or the "
            "files of the store's own tools"
        )


def list_folder(folder: RemotePath, *, missing_ok: bool = False) -> list[Entry]:
    """What lies directly in a folder of a store, in no order; of a file, its own entry alone.

    Args:
        folder: Its address.
        missing_ok: Whether a folder that is not there is an empty one.

    Raises:
        ObjectStoreError: If it is not there, or cannot be listed.
        MissingExtraError: If fsspec or the driver is not installed.
    """
    store = driver_of(folder)
    try:
        store.invalidate_cache()  # also so that listings do not pile up
        entries: list[Entry] = store.ls(name_within(store, folder), detail=True)
    except Exception as error:
        if missing_ok and isinstance(error, FileNotFoundError):
            return []
        raise unreachable(folder, error) from error
    return entries


def names_below(folder: RemotePath) -> list[str]:
    """Names of all that lies anywhere below a folder of a store, from it on; none where it is not.

    Raises:
        ObjectStoreError: If it cannot be listed.
    """
    store = driver_of(folder)
    begin = f"{name_within(store, folder)}/"
    try:
        store.invalidate_cache()
        found = [str(name) for name in store.find(begin)]
    except FileNotFoundError:
        return []
    except Exception as error:
        raise unreachable(folder, error) from error
    return [name.removeprefix(begin) for name in found if name.startswith(begin)]


def matching(address: RemotePath) -> list[RemotePath]:
    """What lies in a folder of a store under names with `*` in the place of anything, by name."""
    check_address(address)
    entries = list_folder(address.parent)
    names = {str(entry["name"]).rstrip("/").rpartition("/")[2] for entry in entries}
    return [RemotePath(address.parent / name) for name in sorted(names_like(names, address.name))]


def name_in_store(path: RemotePath) -> str:
    """The name by which listings call what lies at an address."""
    return name_within(driver_of(path), path)


def read_object(
    path: Path, size: int, root: Path, begin: int | None = None, *, exact: bool = True
) -> bytes:
    """The content of a file of a store, or a stretch of it.

    Args:
        path: Its address.
        size: Bytes, as listed; of a longer one nothing more is fetched than shows it.
        root: The folder that it was found under.
        begin: The first byte of a stretch; None for all of it.
        exact: Whether `size` is known; else it is the most that is taken.

    Raises:
        OSError: If it is gone, was changed, or is refused, while the root still answers.
        ObjectStoreError: If that does not answer either.
    """
    address = RemotePath(path)
    store, first = driver_of(address), begin or 0
    end = first + size + (begin is None)
    try:
        data: bytes = (
            store.cat_file(name_within(store, address), start=first, end=end) if size else b""
        )
    except Exception as error:
        _check_answers(store, RemotePath(root), error)
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(errno.ENOENT, "it is no longer there") from error
        raise OSError(errno.EIO, driver_words(error)) from error
    if len(data) > size and not exact:
        raise OSError(errno.EFBIG, f"larger than {size >> 20} MB")
    if len(data) != size and exact:
        raise OSError(errno.EAGAIN, "it was changed while it was read")
    return data


def open_object(path: Path, size: int, root: Path) -> BufferedReader:
    """Open a file of a store, to read it from anywhere; arguments and errors as `read_object`."""
    return BufferedReader(_ObjectStream(path, size, root), _BYTES_AHEAD)


class _ObjectStream(RawIOBase):
    def __init__(self, path: Path, size: int, root: Path) -> None:
        self._path, self._size, self._root, self._at = path, size, root, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        before = {SEEK_SET: 0, SEEK_CUR: self._at, SEEK_END: self._size}
        self._at = max(0, before[whence] + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        buffer[:count] = read_object(self._path, count, self._root, begin=self._at)
        self._at += count
        return count


def _check_answers(store: Any, root: RemotePath, trouble: Exception) -> None:
    """Tell a store that is away, or lets nobody in any more, from one picture's trouble."""
    try:
        store.invalidate_cache()
        store.info(name_within(store, root))
    except Exception as error:  # an answer to HEAD has no words: what came first says more
        told = error if isinstance(trouble, FileNotFoundError) else trouble
        raise unreachable(root, told) from error


def unreachable(path: RemotePath, error: Exception, doing: str = "read") -> ObjectStoreError:
    """What is raised where a store does not answer or refuses, without what may be a secret."""
    _opened.cache_clear()  # the next try shall look for credentials anew
    missing = "nothing is there" if doing == "read" else "there is no such bucket"
    why = missing if isinstance(error, FileNotFoundError) else driver_words(error)
    return ObjectStoreError(f"{path} cannot be {doing}: {why}; {_RESUMES}")


def driver_words(error: Exception) -> str:
    """What a driver says, without what may be a secret."""
    text = first_line(error)
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text if text == type(error).__name__ else f"{text} ({type(error).__name__})"


def name_within(store: Any, path: RemotePath) -> str:
    """What a driver calls an address."""
    return str(store._strip_protocol(str(path)))


def driver_of(path: RemotePath) -> Any:
    """The file system of fsspec for an address; one for all threads."""
    scheme, _, rest = str(path).partition("://")
    return _opened(scheme, rest.partition("/")[0])


@lru_cache(maxsize=16)
def _opened(scheme: str, authority: str) -> Any:
    """One file system for all threads."""
    if scheme in _LOCAL:
        raise ObjectStoreError(
            f"{scheme}:// is no object store: index a folder by its path; the web lists no folders"
        )
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingExtraError("fsspec", "remote") from error
    try:
        address = f"{scheme}://{authority}"
        return url_to_fs(address, skip_instance_cache=True)[0]
    except ImportError as error:
        if scheme in {"s3", "s3a"}:
            raise MissingExtraError("s3fs", "remote") from error
        raise ObjectStoreError(
            f"{scheme}:// needs a driver of fsspec: {driver_words(error)}"
        ) from error
    except Exception as error:
        raise ObjectStoreError(f"{address} cannot be opened: {driver_words(error)}") from error
