"""GeneCIS: conditional similarity among fifteen candidates, four tasks, averaged."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import model_validator

from composir.bench.datasets._files import find_root, first_existing, read_entries
from composir.bench.task import BenchQuery, BenchTask, Dataset, LoadOptions, checksum
from composir.data.fields import FileRow, Finite, Name, Number, Text
from composir.encode.image_files import CropBox, ImageFile

_OBJECT_TASKS = {"focus_object": 1960, "change_object": 1960}
_ATTRIBUTE_TASKS = {"focus_attribute": 2000, "change_attribute": 2112}
_DILATION = 0.7


class _Shown(FileRow):
    val_image_id: Number | None = None
    image_id: Name | None = None
    instance_bbox: tuple[Finite, Finite, Finite, Finite] | None = None

    @model_validator(mode="after")
    def _is_some_image(self) -> Self:
        if self.val_image_id is None and (self.image_id is None or self.instance_bbox is None):
            raise ValueError("needs 'val_image_id', or 'image_id' and 'instance_bbox'")
        return self


class _GenecisQuery(FileRow):
    condition: Text
    reference: _Shown
    target: _Shown
    gallery: tuple[_Shown, ...]


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read GeneCIS's files; the attribute tasks are run where their files are."""
    DATASET.choose(options)
    base = find_root(root, ("genecis", "GeneCIS"), "focus_object.json")
    attributes = [name for name in _ATTRIBUTE_TASKS if (base / f"{name}.json").exists()]
    absent = [name for name in _ATTRIBUTE_TASKS if name not in attributes]
    counts = _OBJECT_TASKS | {name: _ATTRIBUTE_TASKS[name] for name in attributes}
    notices = (f"without {' and '.join(absent)}: no such annotation file",) if absent else ()
    return tuple(_task(base, name, count, notices) for name, count in counts.items())


def _task(base: Path, name: str, count: int, notices: tuple[str, ...]) -> BenchTask:
    file = base / f"{name}.json"
    rows = read_entries(file, _GenecisQuery, count)
    pictures: dict[str, ImageFile] = {}
    queries = tuple(
        _query(base, str(number), *entry, pictures) for number, entry in enumerate(rows)
    )
    gallery = sorted({member for query in queries for member in query.subset})
    return BenchTask(
        name=f"genecis-{name.replace('_', '-')}",
        split="test",
        variant="each query ranks its own 15 candidates; ties against the target; no reference",
        gallery=tuple(gallery),
        queries=queries,
        pictures=pictures,
        exclude_reference=False,
        metrics=("recall_subset@1", "recall_subset@2", "recall_subset@3"),
        headline="recall_subset@1",
        checksum=checksum([file]),
        images_from=DATASET.images_from,
        notices=notices,
    )


def _query(
    base: Path, number: str, where: str, row: _GenecisQuery, pictures: dict[str, ImageFile]
) -> BenchQuery:
    shown = (row.reference, row.target, *row.gallery)
    reference, target, *others = (_named(base, image, pictures) for image in shown)
    return BenchQuery(
        id=number,
        texts=(row.condition,),
        reference=reference,
        targets=(target,),
        subset=(target, *others),
        source=where,
    )


def _named(base: Path, image: _Shown, pictures: dict[str, ImageFile]) -> str:
    """Id of an image of COCO or of a cut of Visual Genome; notes where it is."""
    if (name := image.val_image_id) is not None:
        if name not in pictures:
            folder = first_existing(base, ("val2017", "coco/val2017", "../coco/val2017"))
            pictures[name] = ImageFile(folder / f"{int(name):012d}.jpg")
        return name
    assert image.instance_bbox is not None
    name = f"vg-{image.image_id}-{'-'.join(f'{side:g}' for side in image.instance_bbox)}"
    if name not in pictures:
        folder = first_existing(base, ("VG_100K", "visual_genome", "VG_100K_all"))
        crop = CropBox(image.instance_bbox, _DILATION, square=True)
        pictures[name] = ImageFile(folder / f"{image.image_id}.jpg", crop)
    return name


DATASET = Dataset(
    name="genecis",
    title="GeneCIS",
    reference="Vaze et al., GeneCIS: A Benchmark for General Conditional Image Similarity, "
    "CVPR 2023",
    licence="annotations CC BY-NC 4.0; images of COCO and Visual Genome",
    protocol="R@1/2/3 among the target and its fourteen distractors, without the reference; "
    "printed as Rsubset@k",
    images_from="object tasks: http://images.cocodataset.org/zips/val2017.zip; attribute tasks: "
    "Visual Genome, https://homes.cs.washington.edu/~ranjay/visualgenome (all in one VG_100K)",
    splits=("test",),
    load=load,
)
