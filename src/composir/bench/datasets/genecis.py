"""GeneCIS: conditional similarity among fifteen candidates, four tasks, averaged."""

from __future__ import annotations

from pathlib import Path

from composir.bench.datasets._files import find_root, first_existing, read_entries
from composir.bench.task import BenchQuery, Dataset, LoadOptions, Task, checksum
from composir.data.json_object import JsonObject
from composir.encode.pictures import Crop, ImageFile

_OBJECT_TASKS = {"focus_object": 1960, "change_object": 1960}
_ATTRIBUTE_TASKS = {"focus_attribute": 2000, "change_attribute": 2112}
_DILATION = 0.7


def load(root: Path, options: LoadOptions) -> tuple[Task, ...]:
    """Read GeneCIS's files; the attribute tasks are played where their files are."""
    DATASET.choose(options)
    base = find_root(root, ("genecis", "GeneCIS"), "focus_object.json")
    attributes = [name for name in _ATTRIBUTE_TASKS if (base / f"{name}.json").exists()]
    absent = [name for name in _ATTRIBUTE_TASKS if name not in attributes]
    counts = _OBJECT_TASKS | {name: _ATTRIBUTE_TASKS[name] for name in attributes}
    notices = (f"without {' and '.join(absent)}: no such annotation file",) if absent else ()
    return tuple(_task(base, name, count, notices) for name, count in counts.items())


def _task(base: Path, name: str, count: int, notices: tuple[str, ...]) -> Task:
    file = base / f"{name}.json"
    rows = list(read_entries(file, ("condition", "gallery", "reference", "target"), count))
    pictures: dict[str, ImageFile] = {}
    queries = tuple(_query(base, n, row, pictures) for n, row in enumerate(rows))
    gallery = sorted({member for query in queries for member in query.subset})
    return Task(
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


def _query(base: Path, number: int, row: JsonObject, pictures: dict[str, ImageFile]) -> BenchQuery:
    entries = [row["reference"], row["target"], *row.items("gallery")]
    reference, target, *others = (
        _named(base, entry, pictures) for entry in row.objects(entries, "image")
    )
    return BenchQuery(
        id=str(number),
        texts=(row.required_text("condition"),),
        reference=reference,
        targets=(target,),
        subset=(target, *others),
        source=row.where,
    )


def _named(base: Path, entry: JsonObject, pictures: dict[str, ImageFile]) -> str:
    """Id of an image of COCO or of a cut of Visual Genome; notes where it is."""
    if "val_image_id" in entry:
        name = entry.digits("val_image_id")
        if name not in pictures:
            folder = first_existing(base, ("val2017", "coco/val2017", "../coco/val2017"))
            pictures[name] = ImageFile(folder / f"{int(name):012d}.jpg")
        return name
    image = entry.required_name("image_id")
    box = _box(entry)
    name = f"vg-{image}-{'-'.join(f'{side:g}' for side in box)}"
    if name not in pictures:
        folder = first_existing(base, ("VG_100K", "visual_genome", "VG_100K_all"))
        pictures[name] = ImageFile(folder / f"{image}.jpg", Crop(box, _DILATION, square=True))
    return name


def _box(entry: JsonObject) -> tuple[float, float, float, float]:
    left, top, width, height = entry.numbers("instance_bbox", 4, "four numbers")
    return left, top, width, height


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
