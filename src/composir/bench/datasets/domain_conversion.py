"""Pic2Word's domain conversion: a photograph, and the same kind of thing in another medium."""

from __future__ import annotations

from pathlib import Path

from composir.bench.datasets._files import find_root, read_lines
from composir.bench.task import BenchQuery, Dataset, LoadOptions, Picture, Task, checksum
from composir.errors import DatasetError

DOMAINS = ("cartoon", "origami", "toy", "sculpture")
_CLASSES = 1000


def load(root: Path, options: LoadOptions) -> tuple[Task, ...]:
    """Read Pic2Word's two lists; a target's label is its class plus 1,000 times its domain."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("imgnet", "imagenet-r", "domain-conversion"), "imgnet_targets.txt")
    files = [base / "imgnet_real_query.txt", base / "imgnet_targets.txt"]
    queries, targets = (_labelled(file) for file in files)
    by_label: dict[int, list[str]] = {}
    for _, name, label in targets:
        by_label.setdefault(label, []).append(name)
    return tuple(
        Task(
            name=f"domain-conversion-{domain}",
            split=split,
            variant='"a {domain} of *"; set recall (hits / positives), not hit rate',
            gallery=tuple(name for _, name, _ in targets),
            queries=tuple(
                BenchQuery(
                    id=f"{domain}:{number}",
                    texts=(f"a {domain} of *",),
                    reference=name,
                    targets=tuple(by_label.get(label + _CLASSES * place, ())),
                    source=where,
                )
                for number, (where, name, label) in enumerate(queries)
            ),
            pictures={name: Picture(base / name) for _, name, _ in [*queries, *targets]},
            exclude_reference=False,
            metrics=("set_recall@10", "set_recall@50"),
            headline="set_recall@10",
            checksum=checksum(files),
            images_from=DATASET.images_from,
        )
        for place, domain in enumerate(DOMAINS)
    )


def _labelled(file: Path) -> list[tuple[str, str, int]]:
    """Where, image and label of every line; images are named relative to the lists' folder."""
    rows = []
    for where, line in read_lines(file):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isdigit():
            raise DatasetError(f"{where}: expected an image and its label, not {line.strip()!r}")
        rows.append((where, name.removeprefix("imgnet/"), int(label)))
    return rows


DATASET = Dataset(
    name="domain-conversion",
    title="Domain conversion (ImageNet-R)",
    reference="Saito et al., Pic2Word: Mapping Pictures to Words for Zero-shot Composed Image "
    "Retrieval, CVPR 2023, section 4.1",
    licence="lists Apache-2.0; images of ImageNet and ImageNet-R, research use",
    protocol='"a {domain} of *" for four domains and their mean; share of all positives in the '
    "first k; a query whose class lacks the domain scores 0, as in the original code",
    images_from="ImageNet val as real/ (https://image-net.org) and "
    "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar as imagenet-r/; the lists: "
    "https://github.com/google-research/composed_image_retrieval, data/imgnet",
    splits=("test",),
    load=load,
)
