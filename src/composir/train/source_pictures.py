"""Pictures to train on, from wherever they lie, with the texts that are known of some of them.

Data set folders, and plain pictures in folders, globs, tar shards and Parquet tables of paths.
Nothing is decoded here. The order is that of the names, so that caches, splits and draws of one
run are those of the next.
"""

from __future__ import annotations

import glob
import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from composir.data.captions import CAPTION_COLUMNS, match_captions, read_captions
from composir.data.datasets import GALLERY
from composir.data.files import check_regular
from composir.data.parquet import column_names, read_table
from composir.data.problems import log_skipped
from composir.encode.image_files import ImageFile
from composir.errors import TrainingError
from composir.images.containers.tar_shards import TarShard
from composir.images.scan import FoundFile, scan
from composir.train.config import File, Files, Settings, Share, Texts
from composir.train.gallery_features import PictureFile
from composir.triplets.records import SourceImage
from composir.triplets.source import read_data_set
from composir.types import Failure

PATH_COLUMNS = ("path", "file_path", "image_path", "file_name", "filename", "image")
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_GLOB = frozenset("*?[")

Images: TypeAlias = str | Path | Sequence[str | Path]
Found: TypeAlias = "Iterator[TrainingImage | Failure]"
Log: TypeAlias = Callable[[str], None]
NOT_STATED, PLAIN = "not stated", "images"
Split: TypeAlias = Literal["train", "dev"]
OWN_SPLITS: dict[str, Split] = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev"}


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


def _in_shard(shard: Path) -> Found:
    try:
        check_regular(shard)
        status = shard.stat()
        found = FoundFile(shard, shard, status.st_size, status.st_mtime_ns)
        for member in TarShard(found).members():
            if member.fault:
                yield Failure(shard, f"{member.name!r} in it: {member.fault}")
            elif member.kind == "picture":
                yield TrainingImage(f"{shard.name}/{member.name}", shard, member.begin, member.size)
    except OSError as error:
        reason = error.strerror or error
        raise TrainingError(f"{shard} is no readable tar shard: {reason}") from error


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


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """One picture.

    Attributes:
        source: Name of the data set or folder.
        file: The picture, or its place in a tar shard.
        texts: What is known of it; may be empty.
        split: `train`, or `dev` for the contrast's own figures.
        licence: Of the data set, as far as it states one.
    """

    source: str
    file: PictureFile
    texts: tuple[str, ...]
    split: Split
    licence: str = NOT_STATED


class PictureSources(Settings):
    """Where pictures come from.

    Attributes:
        data: Data set folders, or folders of such folders.
        images: Folders, globs or tables of plain pictures.
        captions: Table of captions of the pictures in `images`.
        dev_share: Share of pictures set aside for figures where a set has no split of its own.
    """

    data: Files = ()
    images: Texts = ()
    captions: File = Path()
    dev_share: Share = 0.03


def read_pictures(
    sources: PictureSources, held_out: Collection[Path], log: Log
) -> list[SourcePicture]:
    """Find the pictures to train on.

    Data sets use the column `split` of their rows, else a hash.
    """
    if not sources.data and not sources.images:
        raise TrainingError("no training images: name data set folders or images")
    found = [p for folder in sources.data for p in _data_pictures(folder, sources, log)]
    found += _plain_pictures(sources, log)
    once = {_identity(picture.file): picture for picture in reversed(found)}
    hidden = {_identity(file) for file in held_out} & once.keys()
    if hidden:
        log(f"{len(hidden):,} pictures that the dev queries ask about are left out of training")
    kept = [p for file, p in reversed(once.items()) if file not in hidden]
    if not any(picture.split == "train" for picture in kept):
        others = sorted({picture.split for picture in kept})
        told = f"; the {len(kept):,} that there are belong to {', '.join(others)}" if kept else ""
        raise TrainingError(
            f"no training images are left{told}: name more data set folders or images"
        )
    counts = Counter((picture.source, picture.split) for picture in kept)
    log("pictures: " + ", ".join(f"{n} {s} {c:,}" for (n, s), c in sorted(counts.items())))
    return kept


def licences(pictures: Sequence[SourcePicture], images: Sequence[str]) -> dict[str, str]:
    """Where training pictures come from, name to licence; plain ones by the folders' names."""
    found = {one.source: one.licence for one in pictures if one.split == "train"}
    plain = {Path(spec).name: NOT_STATED for spec in images} if found.pop(PLAIN, None) else {}
    return found | plain


def _identity(file: PictureFile) -> tuple[Path, int]:
    """What makes two mentions of a picture the same: the file behind links, and the place in it."""
    if isinstance(file, Path):
        return file.resolve(), 0
    return file.path.resolve(), file.begin


def _data_pictures(folder: Path, sources: PictureSources, log: Log) -> Iterator[SourcePicture]:
    for one in _data_sets(folder):
        source = read_data_set(one)
        for notice in source.notices:
            log(f"{source.name}: {notice}")
        for image in source.images:
            split = _own_split(image, source.name, sources.dev_share)
            if split:
                yield SourcePicture(source.name, image.file, _texts(image), split, source.licence)


def _data_sets(folder: Path) -> list[Path]:
    absolute = folder.expanduser().absolute()
    if (absolute / GALLERY).is_file():
        return [absolute]
    inside = sorted(path.parent for path in absolute.glob(f"*/{GALLERY}"))
    if not inside:
        raise TrainingError(
            f"{folder} is no data set folder: neither it nor a folder in it has a {GALLERY}; "
            "for plain pictures use --images"
        )
    return inside


def _own_split(image: SourceImage, name: str, share: float) -> Split | None:
    named = image.row.get("split")
    if named is None:
        return "dev" if is_dev(f"{name}/{image.id}", share) else "train"
    return OWN_SPLITS.get(str(named))


def _texts(image: SourceImage) -> tuple[str, ...]:
    title = image.attributes.get("title")
    return tuple(dict.fromkeys([*image.captions, *([title] if title else [])]))


def _plain_pictures(sources: PictureSources, log: Log) -> list[SourcePicture]:
    if not sources.images:
        if sources.captions != Path():
            raise TrainingError(
                f"the captions {sources.captions} belong to --images: name those too"
            )
        return []
    images = list_training_images(sources.images, log)
    texts = _caption_texts(sources.captions, images, log) if sources.captions != Path() else {}
    return [
        SourcePicture(
            PLAIN,
            image.file,
            texts.get(image.name, ()),
            "dev" if is_dev(image.name, sources.dev_share) else "train",
        )
        for image in images
    ]


def _caption_texts(
    captions: Path, images: Sequence[TrainingImage], log: Log
) -> dict[str, tuple[str, ...]]:
    """Captions by the name of their image."""
    rows = read_captions(captions, CAPTION_COLUMNS)
    found, strangers = match_captions(rows, map(_called, images))
    some = ", ".join(strangers[:10]) + (", ..." if len(strangers) > 10 else "")
    if not found:
        raise TrainingError(
            f"{captions} speaks of {len(rows):,} pictures ({some}), but of none of the "
            f"{len(images):,} images; are its names relative to their folder?"
        )
    if strangers:
        log(f"{len(strangers):,} captions without a picture: {some}")
    log(f"{len(images) - len(found):,} of {len(images):,} images have no caption")
    return {name: row.captions for name, row in found.items()}


def _called(image: TrainingImage) -> tuple[str, PurePosixPath, tuple[str, ...]]:
    """An image's name, its path within its folder or shard, and all that it alone is called."""
    within = PurePosixPath(image.name.partition("/")[2] or image.name)
    return image.name, within, (image.name, *(() if image.offset else (str(image.path),)))
