"""Writing to object stores, and whole files from them; `object_store` only reads and lists.

What goes wrong is an `ObjectStoreError`, said without what may be a secret.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from composir.data.files import TEMPORARY_PREFIX
from composir.data.object_store import driver_of, name_within, unreachable
from composir.data.remote_paths import RemotePath
from composir.errors import ObjectStoreError

AT_ONCE = 8
"""Transfers, and deletions, side by side."""
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


def stored_bytes(address: RemotePath, limit: int) -> bytes | None:
    """The content of a small object; None where there is none.

    Args:
        address: Where.
        limit: Most bytes: anybody's object may lie there.
    """
    store = driver_of(address)
    name = name_within(store, address)
    try:
        store.invalidate_cache()
        data: bytes = store.cat_file(name, end=limit + 1)
    except FileNotFoundError:
        return None
    except Exception as error:
        if _is_empty(store, name):  # stores refuse to give a part of nothing
            return b""
        raise unreachable(address, error) from error
    if len(data) > limit:
        raise ObjectStoreError(f"{address} is longer than {limit:,} bytes: it is not composir's")
    return data


def _is_empty(store: Any, name: str) -> bool:
    with suppress(Exception):
        return bool(store.info(name)["size"] == 0)
    return False


def store_bytes(address: RemotePath, data: bytes, *, new: bool = False) -> bool:
    """Write a small object in one go.

    Args:
        address: Where.
        data: All of it.
        new: Write it only if there is none yet, where the driver can tell in the same request.

    Returns:
        Whether it was written.
    """
    store = driver_of(address)
    mode = {"mode": "create"} if new else {}
    try:
        store.pipe_file(name_within(store, address), data, **mode)
    except FileExistsError:
        return False
    except Exception as error:
        raise unreachable(address, error, "written") from error
    return True


def upload(local: Path, address: RemotePath) -> None:
    """Write a file of this machine to a store."""
    store = driver_of(address)
    try:
        store.put_file(str(local), name_within(store, address))
    except Exception as error:
        raise unreachable(address, error, "written") from error


def download(address: RemotePath, local: Path, size: int) -> bool:
    """Fetch an object to a file that takes its place once it is whole.

    Returns:
        False where the object is gone, or is not of this size (bytes): then nothing was changed.
    """
    store = driver_of(address)
    local.parent.mkdir(parents=True, exist_ok=True)
    arriving = local.parent / f"{TEMPORARY_PREFIX}{uuid4().hex}"
    try:
        store.get_file(name_within(store, address), str(arriving))
        if arriving.stat().st_size != size:
            return False
        arriving.replace(local)
    except FileNotFoundError:
        return False
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        raise unreachable(address, error) from error
    finally:
        arriving.unlink(missing_ok=True)
    return True


def delete(addresses: Iterable[RemotePath]) -> None:
    """Remove objects; those that are gone already are no trouble."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(_delete, addresses))


def _delete(address: RemotePath) -> None:
    store = driver_of(address)
    try:
        with suppress(FileNotFoundError):
            store.rm_file(name_within(store, address))
    except Exception as error:
        raise unreachable(address, error, "removed") from error
