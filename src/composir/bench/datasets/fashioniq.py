"""FashionIQ: garments and what should be different, three categories, averaged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from composir.bench.datasets._files import (
    find_root,
    first_existing,
    read_annotations,
    read_entries,
)
from composir.bench.task import BenchQuery, BenchTask, Dataset, LoadOptions, checksum
from composir.data.fields import FileRow, Name
from composir.data.schema import as_row
from composir.encode.image_files import ImageFile
from composir.errors import DatasetError

_COUNTS = {"dress": (2017, 3817), "shirt": (2038, 6346), "toptee": (1961, 5373)}
_VARIANTS = {
    "original": "original split",
    "original-one-order": "original split",
    "val": "VAL split (only images that queries use)",
    "val-one-order": "VAL split (only images that queries use)",
}


class _FashionQuery(FileRow):
    target: Name
    candidate: Name
    captions: tuple[Name, Name]


class _Split(FileRow):
    names: tuple[Name, ...]


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read FashionIQ in its official layout (`captions/` or `json/`, `image_splits/`)."""
    split, variant = DATASET.choose(options)
    names = ("fashioniq", "fashionIQ", "fashion-iq", "fiq", "FashionIQ", "fashionIQ_dataset")
    base = find_root(root, names, "image_splits")
    return tuple(_category(base, category, split, variant) for category in _COUNTS)


def _category(base: Path, category: str, split: str, variant: str) -> BenchTask:
    entries, gallery_size = _COUNTS[category]
    folder = first_existing(base, ("captions", "json"))
    files = [
        folder / f"cap.{category}.{split}.json",
        base / "image_splits" / f"split.{category}.{split}.json",
    ]
    rows = read_entries(files[0], _FashionQuery, entries)
    names = _names(files[1], gallery_size)
    orders = 1 if variant.endswith("one-order") else 2
    queries = tuple(
        _query(f"{category}:{number}", orders, *entry) for number, entry in enumerate(rows)
    )
    if variant.startswith("val"):
        names = {name for query in queries for name in (str(query.reference), *query.targets)}
    told = "one caption order" if orders == 1 else "both caption orders averaged"
    return BenchTask(
        name=f"fashioniq-{category}",
        split=split,
        variant=f"{_VARIANTS[variant]}, {told}, reference not removed",
        gallery=tuple(sorted(names)),
        queries=queries,
        pictures={name: ImageFile(_image(base, name)) for name in names},
        exclude_reference=False,
        metrics=("recall@10", "recall@50"),
        headline="recall@10",
        checksum=checksum(files),
        images_from=DATASET.images_from,
    )


def _names(file: Path, expected: int) -> Collection[str]:
    names = as_row(str(file), {"names": read_annotations(file, list)}, _Split, DatasetError).names
    if len(names) != expected:
        raise DatasetError(f"{file}: {len(names):,} images, but the split has {expected:,}")
    return names


def _query(name: str, orders: int, where: str, row: _FashionQuery) -> BenchQuery:
    return BenchQuery(
        id=name,
        texts=joined_captions(row.captions)[:orders],
        reference=row.candidate,
        targets=(row.target,),
        source=where,
    )


def joined_captions(captions: Sequence[str]) -> tuple[str, ...]:
    """The two captions joined by "and", in both orders."""
    first, second = (caption.strip(".?, ") for caption in captions)
    return f"{first} and {second}", f"{second} and {first}"


def _image(base: Path, name: str) -> Path:
    found = (base / "images" / f"{name}{suffix}" for suffix in (".png", ".jpg"))
    return next((path for path in found if path.exists()), base / "images" / f"{name}.png")


DATASET = Dataset(
    name="fashioniq",
    title="FashionIQ",
    reference="Wu et al., Fashion IQ: A New Dataset Towards Retrieving Images by Natural Language "
    "Feedback, CVPR 2021",
    licence="annotations CDLA; images owned by the shop",
    protocol="R@10 and R@50 per category and their mean; `candidate` is the reference, which stays "
    "in the gallery; the gallery is the whole split or, as a variant, what queries use",
    images_from="https://github.com/XiaoxiaoGuo/fashion-iq and its issues",
    splits=("val",),
    variants=tuple(_VARIANTS),
    load=load,
)
