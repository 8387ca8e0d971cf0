"""Training images from wherever they lie: folders, globs, tar shards, Parquet tables of paths.

Nothing is decoded here. The order is that of the names, so that caches, splits and draws of one
run are those of the next.
"""

from __future__ import annotations

import glob
import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from composir.data.files import check_regular
from composir.data.parquet import column_names, read_table
from composir.data.problems import log_skipped
from composir.encode.image_files import ImageFile
from composir.errors import TrainingError
from composir.images.formats import PICTURE_SUFFIXES
from composir.images.scan import scan
from composir.types import Failure

PATH_COLUMNS = ("path", "file_path", "image_path", "file_name", "filename", "image")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_GLOB = frozenset("*?[")

Images: TypeAlias = str | Path | Sequence[str | Path]
Found: TypeAlias = "Iterator[TrainingImage | Failure]"


@dataclass(frozen=True, slots=True)
class TrainingImage:
    """One picture: a file, or a stretch of an uncompressed tar shard.

    Attributes:
        name: What it is called in splits, caches and reports; the same on every machine.
        path: The file or the shard.
        offset: Where its bytes begin.
        size: How many there are.
    """

    name: str
    path: Path
    offset: int
    size: int

    @property
    def file(self) -> Path | ImageFile:
        """Its path where it is a whole file, else its place in the shard."""
        if not self.offset:
            return self.path
        return ImageFile(self.path, begin=self.offset, size=self.size, member=self.name)


def training_images(
    spec: Images, skip: Callable[[Failure], None] | None = None
) -> list[TrainingImage]:
    """Find training images."""
    specs = [spec] if isinstance(spec, str | Path) else list(spec)
    found: dict[tuple[Path, int], TrainingImage] = {}
    for item in (item for one in specs for item in _images_of(str(one))):
        if isinstance(item, TrainingImage):
            found.setdefault((item.path, item.offset), item)
        elif skip is not None:
            skip(item)
    if not found:
        raise TrainingError(
            f"no training images in {', '.join(map(str, specs)) or 'nothing'}: name a folder, a "
            "glob, tar shards or a Parquet table of paths"
        )
    return sorted(found.values(), key=lambda image: (image.name, str(image.path)))


def list_training_images(spec: Images, log: Callable[[str], None]) -> list[TrainingImage]:
    """`training_images`, which says what cannot be looked at."""
    skipped: list[Failure] = []
    images = training_images(spec, skipped.append)
    log_skipped(((failure.path, failure.reason) for failure in skipped), log)
    return images


def is_dev(name: str, share: float, salt: str = "dev") -> bool:
    """Whether an image belongs to the dev part: by its name's hash, whatever else is there."""
    digest = hashlib.sha256(f"{salt}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2.0**64


def _images_of(spec: str) -> Found:
    path = Path(spec).expanduser()
    if path.exists():
        yield from _images_at(path.absolute())
    elif _GLOB & set(spec):
        for match in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 -- absolute patterns
            if not Path(match).is_dir():
                yield from _images_at(Path(match).absolute())
    else:
        raise TrainingError(f"{spec} does not exist: name a folder, glob, tar shard or table")


def _images_at(path: Path) -> Found:
    if path.is_dir():
        yield from _in_folder(path)
    elif path.name.lower().endswith(COMPRESSED):
        raise TrainingError(
            f"{path} is compressed, so its pictures cannot be read one by one; "
            "unpack it to a plain .tar"
        )
    elif path.suffix.lower() == ".tar":
        yield from _in_shard(path)
    elif path.suffix.lower() in {".parquet", ".pq"}:
        yield from _in_table(path)
    else:
        yield _file(path, path.name)


def _in_folder(folder: Path) -> Found:
    for item in scan([folder]):
        if isinstance(item, Failure):
            yield item
        else:
            relative = item.path.relative_to(folder).as_posix()
            yield TrainingImage(f"{folder.name}/{relative}", item.path, 0, item.size)
    for shard in sorted(folder.rglob("*.tar")):
        yield from _in_shard(shard)


def _in_shard(shard: Path) -> Iterator[TrainingImage]:
    try:
        check_regular(shard)
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                if (
                    member.isfile()
                    and member.size >= 0
                    and Path(member.name).suffix.lower() in PICTURE_SUFFIXES
                ):
                    name = f"{shard.name}/{member.name}"
                    yield TrainingImage(name, shard, member.offset_data, member.size)
    except (tarfile.TarError, OSError) as error:
        raise TrainingError(f"{shard} is no readable tar shard: {error}") from error


def _in_table(table: Path) -> Found:
    for value in _paths_of(table):
        path = (table.parent / value).absolute()
        if path.is_file():
            yield _file(path, value)
        else:
            yield Failure(path, f"named in {table.name} but not there")


def _paths_of(table: Path) -> list[str]:
    columns = column_names(table, TrainingError)
    column = next((name for name in PATH_COLUMNS if name in columns), None)
    if column is None:
        raise TrainingError(
            f"{table} has no column of paths: it has {', '.join(columns)}; name one of them "
            f"{', '.join(PATH_COLUMNS)}"
        )
    values = read_table(table, TrainingError, [column])[column].to_pylist()
    return [str(value) for value in values if value]


def _file(path: Path, name: str) -> TrainingImage:
    return TrainingImage(name, path, 0, path.stat().st_size)
