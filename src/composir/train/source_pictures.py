"""Pictures to train on, with the texts that are known of some of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from composir.data.captions import CAPTION_COLUMNS, match_captions, read_captions
from composir.data.datasets import GALLERY
from composir.errors import TrainingError
from composir.train.config import File, Files, Settings, Share, Texts
from composir.train.gallery_features import PictureFile
from composir.train.training_images import TrainingImage, is_dev, list_training_images
from composir.triplets.records import SourceImage
from composir.triplets.source import read_data_set

Log: TypeAlias = Callable[[str], None]
NOT_STATED, PLAIN = "not stated", "images"
Split: TypeAlias = Literal["train", "dev"]
OWN_SPLITS: dict[str, Split] = {"train": "train", "dev": "dev", "val": "dev", "validation": "dev"}


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
