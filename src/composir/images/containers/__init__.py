"""Files that hold pictures: one file a kind, one line in `CONTAINERS` for each ending.

To everybody else such a file is a folder: a picture's address is the file's, `/`, and the name in
there. So all that goes by folders (roots, patterns, metadata, forgetting) goes on as it is. That it
is no folder shows at once, for the system finds a file where the address goes on.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias, cast

from composir.data.files import open_regular, read_regular
from composir.data.object_store import open_object
from composir.data.remote_paths import is_remote
from composir.lazy import imported
from composir.references import LARGEST_FILE

if TYPE_CHECKING:
    from composir.images.scan import FoundFile

CONTAINERS = {
    ".tar": "composir.images.containers.tar_shards:TarShard",
    ".parquet": "composir.images.containers.picture_tables:PictureTable",
    ".arrow": "composir.images.containers.picture_tables:PictureTable",
}
"""What reads a file, by its ending in lower case."""

_GOES_ON = re.compile(rf"({'|'.join(map(re.escape, CONTAINERS))})(?=[/{re.escape(os.sep)}])", re.I)
# Folders may be called as tables are, and a tar may hold folders that are called as tars are.
_HOLDER = re.compile(r".*?\.tar(?=/)|.*\.(?:parquet|arrow)(?=/)", re.I | re.S)
_KEPT_OPEN = 4

Facts: TypeAlias = tuple[str, dict[str, object]]
"""The name of a picture, and its metadata by column."""
Tell: TypeAlias = Callable[[str, str], None]
"""Takes the name of what cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Member:
    """What a container holds under one name."""

    name: str  # with `/`
    begin: int  # where it is: its first byte in a tar, its row of a table
    size: int  # bytes
    kind: Literal["picture", "facts", "other"] = "picture"
    fault: str = ""  # why it cannot be had; empty where it can


class Container(Protocol):
    """A file that holds pictures; may be asked from several threads."""

    def members(self) -> Iterator[Member]:
        """All that it holds, in order.

        Raises:
            OSError: Where it is broken; `strerror` says how.
        """

    def find(self, name: str) -> Member:
        """The picture of a name; a FileNotFoundError where there is none."""

    def read(self, member: Member) -> bytes:
        """The content of a member."""

    def facts(self, members: Iterable[Member], tell: Tell) -> Iterator[Facts]:
        """Metadata of the pictures among all members."""


def is_container(path: Path) -> bool:
    """Whether a file is looked into, by its name."""
    return path.suffix.lower() in CONTAINERS


@lru_cache(maxsize=_KEPT_OPEN)
def opened(file: FoundFile) -> Container:
    """What reads a container, as it was found; the same one for all who ask at a time."""
    container: Container = imported(CONTAINERS[file.path.suffix.lower()])(file)
    return container


def open_found(file: FoundFile) -> BinaryIO:
    """Open a container, on this machine or in a store, to read it from anywhere."""
    if is_remote(file.path):
        return cast("BinaryIO", open_object(file.path, file.size, file.root))
    return open_regular(file.path)


def container_of(path: str | os.PathLike[str]) -> Path | None:
    """The file on this machine that holds the picture of an address; None of a file's own."""
    text = os.fspath(path)
    ends = (text[: found.end()] for found in _GOES_ON.finditer(text))
    return next((Path(end) for end in ends if os.path.isfile(end)), None)  # noqa: PTH113


def is_there(path: str | os.PathLike[str]) -> bool:
    """Whether a picture's file, or the container that it is in, is on this machine."""
    return os.path.isfile(container_of(path) or path)  # noqa: PTH113


def holder(path: str) -> str:
    """The container of an address as far as its text tells; the text itself where it tells none."""
    found = _HOLDER.match(path)
    return path if found is None else found[0]


def read_picture(
    path: str | os.PathLike[str], *, limit: int = LARGEST_FILE, anywhere: bool = True
) -> bytes:
    """The content of a picture of this machine: of a file, or out of a container.

    Args:
        path: Its address.
        limit: Refuse it above so many bytes.
        anywhere: Whether a table that names files may name any, not only those beside it.

    Raises:
        OSError: If it is not there, or cannot be read.
    """
    file = container_of(path)
    if file is None:
        return read_regular(path, limit=limit)
    container = _opened_now(file, file if anywhere else file.parent)
    member = container.find(Path(path).relative_to(file).as_posix())
    content = b"" if member.size > limit else container.read(member)
    if max(member.size, len(content)) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit >> 20} MB")
    return content


def read_indexed(file: Path, name: str, root: Path) -> bytes:
    """The content of a picture in a container of this machine, as an index run reads it.

    So a table may name pictures in object stores, and other files where it is the root itself.

    Args:
        file: The container.
        name: Of the picture in there.
        root: The folder, or file, that was indexed.

    Raises:
        FileNotFoundError: If there is no such picture in it any more.
        OSError: If it cannot be read.
        ObjectStoreError: If a store that it names does not answer.
    """
    container = _opened_now(file, root)
    member = container.find(name)
    return container.read(replace(member, size=max(0, member.size)))


def _opened_now(file: Path, root: Path) -> Container:
    """What reads a container of this machine, as it is by now."""
    from composir.images.scan import FoundFile

    status = file.stat()
    return opened(FoundFile(file, root, status.st_size, status.st_mtime_ns))
