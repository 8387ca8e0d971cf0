"""Pic2Word's domain conversion: a photograph, and the same kind of thing in another medium."""

from __future__ import annotations

import re
from pathlib import Path

from composir.bench.datasets._files import find_root, refuse_repeated
from composir.bench.task import BenchQuery, BenchTask, Dataset, LoadOptions, checksum
from composir.data.untrusted_json import read_lines
from composir.encode.image_files import ImageFile
from composir.errors import DatasetError

DOMAINS = ("cartoon", "origami", "toy", "sculpture")
_CLASSES = 1000
_LABELS = 7 * _CLASSES
"""In the gallery's list: first the domains, last photographs, the queries' own among them."""
_QUERIES, _GALLERY = 10_000, 16_983
_LINE = re.compile(r"(?:imgnet/)?(\S+)\s+(\d{1,4})", re.ASCII)
_MOST_SHOWN = 80


def load(root: Path, options: LoadOptions) -> tuple[BenchTask, ...]:
    """Read Pic2Word's two lists; a target's label is its class plus 1,000 times its domain."""
    split, _ = DATASET.choose(options)
    base = find_root(root, ("imgnet", "imagenet-r", "domain-conversion"), "imgnet_targets.txt")
    files = [base / "imgnet_real_query.txt", base / "imgnet_targets.txt"]
    queries, targets = _labelled(files[0], _CLASSES), _labelled(files[1], _LABELS)
    by_label: dict[int, list[str]] = {}
    for _, name, label in targets:
        by_label.setdefault(label, []).append(name)
    return tuple(
        BenchTask(
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
            pictures={name: ImageFile(base / name) for _, name, _ in [*queries, *targets]},
            exclude_reference=False,
            metrics=("set_recall@10", "set_recall@50"),
            headline="set_recall@10",
            checksum=checksum(files),
            images_from=DATASET.images_from,
            notices=_notices(len(queries), len(targets)),
        )
        for place, domain in enumerate(DOMAINS)
    )


def _labelled(file: Path, labels: int) -> list[tuple[str, str, int]]:
    """Where, image and label of every line; images are named relative to the lists' folder."""
    rows = []
    for where, line in read_lines(file, DatasetError):
        found = _LINE.fullmatch(line.strip())
        if not found:
            shown = line.strip()[:_MOST_SHOWN]
            raise DatasetError(f"{where}: expected an image and its label, not {shown!r}")
        label = int(found[2])
        if label >= labels:
            raise DatasetError(f"{where}: labels of this list are 0 to {labels - 1}, not {label}")
        rows.append((where, found[1], label))
    if not rows:
        raise DatasetError(f"{file}: empty; each line is an image and its label")
    refuse_repeated(((where, name) for where, name, _ in rows), "image")
    return rows


def _notices(queries: int, gallery: int) -> tuple[str, ...]:
    if (queries, gallery) == (_QUERIES, _GALLERY):
        return ()
    return (
        f"{queries:,} queries in a gallery of {gallery:,} images, not Pic2Word's "
        f"{_QUERIES:,} in {_GALLERY:,}",
    )


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
