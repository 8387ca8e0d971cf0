"""CIRR: real-life photographs, a reference and a change in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from composir.bench.datasets._files import find_root, read_annotations, read_entries
from composir.bench.task import (
    BenchQuery,
    BenchTask,
    Dataset,
    LoadOptions,
    checksum,
    without_images,
)
from composir.data.fields import FileRow, Name, Text
from composir.data.schema import as_row
from composir.encode.image_files import ImageFile
from composir.errors import DatasetError

_COUNTS = {"val": (4181, 2297), "test1": (4148, 2315)}
_METRICS = ("recall@1", "recall@5", "recall@10", "recall@50")
_SUBSET_METRICS = ("recall_subset@1", "recall_subset@2", "recall_subset@3")


class _Members(FileRow):
    members: tuple[Name, ...]


class _Pair(FileRow):
    pairid: Name
    reference: Name
    caption: Text
    img_set: _Members


class _AnsweredPair(_Pair):
    target_hard: Name


class _Captions(FileRow):
    candidate: Name
    captions: tuple[Name, ...]


class _Places(FileRow):
    images: dict[str, Text]


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read CIRR rc2 in its official layout (`captions/`, `image_splits/`)."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("cirr", "CIRR", "cirr_dataset"), "captions")
    captions = _version_2(base / "captions" / f"cap.rc2.{split}.json")
    images = base / "image_splits" / f"split.rc2.{split}.json"
    files = [captions, images]
    entries, gallery_size = _COUNTS[split]
    listed = {"images": read_annotations(images, dict)}
    places = as_row(str(images), listed, _Places, DatasetError).images
    if len(places) != gallery_size:
        raise DatasetError(f"{images}: {len(places):,} images, but rc2 has {gallery_size:,}")
    rows = read_entries(captions, _Pair if split == "test1" else _AnsweredPair, entries)
    task = BenchTask(
        name="cirr",
        split=split,
        variant="rc2, whole split as gallery, reference removed; subset: the other five",
        gallery=tuple(sorted(places)),
        queries=tuple(_query(where, row) for where, row in rows),
        pictures={name: ImageFile(base / place) for name, place in places.items()},
        exclude_reference=True,
        metrics=_METRICS + _SUBSET_METRICS,
        headline="recall@5",
        checksum=checksum(files),
        images_from=DATASET.images_from,
        hidden_truth=split == "test1",
    )
    return (_text_proxy(task, base / "image_captions.json", files) if options.text_proxy else task,)


def _text_proxy(task: BenchTask, file: Path, files: list[Path]) -> BenchTask:
    """Captions in place of images: checks the machinery and text composition, nothing else."""
    captions = {row.candidate: row.captions for _, row in read_entries(file, _Captions)}
    absent = frozenset(name for name in task.needed if name not in captions)
    left = without_images(task, absent)
    dropped = len(task.queries) - len(left.queries)
    return replace(
        left,
        name="cirr-text-proxy",
        checksum=checksum([*files, file]),
        captions=captions,
        notices=(
            "text proxy, not CIRR: captions stand in for images",
            f"{len(absent)} images without captions left out, and {dropped} queries with them",
        ),
    )


def _version_2(path: Path) -> Path:
    others = sorted(p.name for p in path.parent.glob(path.name.replace("rc2", "*")))
    if others and not path.exists():
        raise DatasetError(f"{path}: missing; {others[0]} is another version than rc2")
    return path


def _query(where: str, row: _Pair) -> BenchQuery:
    return BenchQuery(
        id=row.pairid,
        texts=(row.caption,),
        reference=row.reference,
        targets=(row.target_hard,) if isinstance(row, _AnsweredPair) else (),
        subset=tuple(name for name in row.img_set.members if name != row.reference),
        source=where,
    )


DATASET = Dataset(
    name="cirr",
    title="CIRR",
    reference="Liu et al., Image Retrieval on Real-life Images with Pre-trained "
    "Vision-and-Language Models, ICCV 2021",
    licence="annotations MIT; images from NLVR2, owned by their photographers",
    protocol="R@k over the split with the reference removed; Rsubset@k among the five other "
    "images of the set; only target_hard counts",
    images_from="NLVR2, on request: https://github.com/Cuberick-Orion/CIRR",
    splits=("val", "test1"),
    load=load,
    submission="cirr",
    text_proxy=True,
)
