"""CIRCO: several right answers a query, in a gallery of 123,403 photographs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from composir.bench.datasets._files import (
    find_root,
    first_existing,
    read_annotations,
    read_entries,
)
from composir.bench.task import BenchQuery, BenchTask, Dataset, LoadOptions, checksum
from composir.data.fields import FileRow, Name, Number, Text
from composir.data.schema import as_row
from composir.encode.image_files import ImageFile
from composir.errors import DatasetError

GALLERY_SIZE = 123_403
_COUNTS = {"val": 220, "test": 800}


class _CircoQuery(FileRow):
    id: Name
    reference_img_id: Number
    relative_caption: Text
    semantic_aspects: tuple[Name, ...] = ()


class _CircoQueryWithTruth(_CircoQuery):
    target_img_id: Name
    gt_img_ids: tuple[Name, ...]


class _Listed(FileRow):
    id: Number


class _Listing(FileRow):
    images: tuple[_Listed, ...]


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read CIRCO in its official layout (`annotations/`, `COCO2017_unlabeled/`)."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("circo", "CIRCO"), f"annotations/{split}.json")
    file = base / "annotations" / f"{split}.json"
    rows = read_entries(
        file, _CircoQuery if split == "test" else _CircoQueryWithTruth, _COUNTS[split]
    )
    coco = base / "COCO2017_unlabeled"
    gallery, notices = _gallery(coco, options)
    images = first_existing(coco, ("unlabeled2017",))
    references = [row.reference_img_id for _, row in rows]
    task = BenchTask(
        name="circo",
        split=split,
        variant="mAP@k over min(truths, k); recall looks at the one target; reference not removed; "
        "shared_concept is not used",
        gallery=gallery,
        queries=tuple(_query(where, row) for where, row in rows),
        pictures={
            name: ImageFile(images / f"{int(name):012d}.jpg") for name in {*gallery, *references}
        },
        exclude_reference=False,
        metrics=tuple(f"{kind}@{k}" for kind in ("map", "recall") for k in (5, 10, 25, 50)),
        headline="map@10",
        checksum=checksum([file]),
        images_from=DATASET.images_from,
        notices=notices,
        hidden_truth=split == "test",
    )
    return (task,)


def _gallery(coco: Path, options: LoadOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All of COCO unlabeled2017; by COCO's own list, else by what vectors or files there are."""
    info = coco / "annotations" / "image_info_unlabeled2017.json"
    if info.exists():
        names = _listed_ids(info)
    elif options.available is not None:
        names = _numbers(options.available)
    else:
        files = (coco / "unlabeled2017").glob("*.jpg")
        names = [str(int(number)) for number in _numbers(file.stem for file in files)]
    if not names:
        raise DatasetError(
            f"{info}: missing, and there are no images in {coco / 'unlabeled2017'}; "
            f"{DATASET.images_from}"
        )
    notices: tuple[str, ...] = ()
    if len(names) != GALLERY_SIZE:
        notices = (f"gallery of {len(names):,} images, not CIRCO's {GALLERY_SIZE:,}",)
    return tuple(sorted(names)), notices


def _numbers(names: Iterable[str]) -> list[str]:
    """Those that are COCO's ids; other files and other sets' vectors may lie beside them."""
    return [name for name in names if name.isascii() and name.isdigit()]


def _listed_ids(info: Path) -> list[str]:
    """Ids of COCO's own list of images."""
    listing = as_row(str(info), read_annotations(info, dict), _Listing, DatasetError)
    return [image.id for image in listing.images]


def _query(where: str, row: _CircoQuery) -> BenchQuery:
    truth = row if isinstance(row, _CircoQueryWithTruth) else None  # the test split has none
    return BenchQuery(
        id=row.id,
        texts=(row.relative_caption,),
        reference=row.reference_img_id,
        targets=truth.gt_img_ids if truth else (),
        primary=truth.target_img_id if truth else None,
        aspects=row.semantic_aspects,
        source=where,
    )


DATASET = Dataset(
    name="circo",
    title="CIRCO",
    reference="Baldrati et al., Zero-Shot Composed Image Retrieval with Textual Inversion, "
    "ICCV 2023",
    licence="annotations CC BY-NC 4.0; images of COCO, owned by their photographers",
    protocol="mAP@k with min(number of truths, k); Recall@k of the one target; mAP@10 per semantic "
    "aspect; the gallery is all of COCO unlabeled2017, references included",
    images_from="http://images.cocodataset.org/zips/unlabeled2017.zip and, for the list of them, "
    "http://images.cocodataset.org/annotations/image_info_unlabeled2017.zip",
    splits=("val", "test"),
    load=load,
    submission="circo",
)
