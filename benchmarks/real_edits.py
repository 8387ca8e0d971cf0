"""Real photographs with real edits: pairs of pictures of one kind that differ in something seen.

    python benchmarks/real_edits.py --data FOLDER [--seed 0]

prints candidates (reference, edit, targets), a JSON line each, found in the labels and masks of
`ade-scenes` and `clothing-parsing` by the rules below and by no model's vectors. From such lists
the queries in `real_edits.jsonl` were taken by looking at the pictures, and their texts written by
hand; `held_out.py` writes them as data sets `real-edits-dev` and `real-edits-test`.

Only pictures that `kept_apart` names take part, as references, targets and gallery: the recipe of
mini (`recipes/mini/corpus.py`) leaves these out, so it has seen nothing of what is asked.

Rules: scenes are of one kind (`KINDS`) and share most of the objects that one sees; outfits have
the same garments in like colours; either differs in one thing. (Three of the 159 queries are no
candidates any more: when they were taken, colours were converted a little otherwise.)
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mini_recipe import Row, split_of
from numpy.typing import NDArray
from PIL import Image

QUERIES = Path(__file__).with_name("real_edits.jsonl")
SOURCES = ("ade-scenes", "clothing-parsing")
CARD = {
    "description": "real photographs that differ in something seen; texts by hand",
    "exclude_reference": True,
    "metrics": ["recall@1", "recall@5", "recall@10", "recall@50", "map@10"],
    "licence": "as ade-scenes and clothing-parsing: research; shows people",
    "source": "ADE20K validation part and Clothing Co-Parsing",
    "images_from": "the data sets ade-scenes and clothing-parsing",
}
KINDS = (
    *("bed", "toilet", "bathtub", "stove", "refrigerator", "pool table", "sofa", "desk"),
    *("table", "sea", "mountain", "road", "building"),
)
"""What tells the kind of a scene: the first of these that it shows."""
SCENERY = frozenset(
    ["base", "light", "trade", "earth", "land", "path", "step", "seat", "apparel", "glass", "box"]
)
GARMENTS = frozenset(
    [
        "dress",
        "skirt",
        "pants",
        "jeans",
        "shorts",
        "coat",
        "jacket",
        "blazer",
        "shirt",
        "t-shirt",
        "blouse",
        "sweater",
        "top",
        "vest",
        "suit",
        "cardigan",
        "sweatshirt",
        "jumper",
        "romper",
        "leggings",
        "stockings",
        "tights",
        "cape",
        "hoodie",
        "bodysuit",
    ]
)
EXTRAS = frozenset(
    [
        "bag",
        "hat",
        "sunglasses",
        "scarf",
        "belt",
        "boots",
        "sneakers",
        "sandals",
        "tie",
        "glasses",
        "socks",
    ]
)
SEEN = {"ade-scenes": 0.006, "clothing-parsing": 0.008}
"""Share of the picture from which on a region is seen."""
ALIKE, OTHER = 28.0, 35.0
"""Distances of colours (Lab, lightness weighing less): at most, and at least."""
MOST_TARGETS = 6

Colour = NDArray[np.float64]
Edits = dict[tuple[str, ...], list[str]]


def kept_apart(picture: str) -> bool:
    """Whether a picture of either source belongs to the evaluation; by a hash of its id."""
    return split_of(f"real-edits/{picture}", 0.0, 0.35) == "test"


def write_real_edits(data: Path, out: Path) -> list[Path]:
    """Write the dev and the test part; nothing where the pictures are not there."""
    if not all((data / name / "gallery.jsonl").is_file() for name in SOURCES):
        return []
    rows = [
        {"id": row["id"], "file": f"{name}/{row['file']}"}
        for name in SOURCES
        for row in _rows(data / name / "gallery.jsonl")
        if kept_apart(row["id"])
    ]
    queries = _rows(QUERIES)
    return [
        _write(data, out / f"real-edits-{part}", part, rows, queries) for part in ("dev", "test")
    ]


def part_of(query: Row) -> str:
    """Dev or test, by the reference."""
    return (
        "dev" if split_of(f"real-edits/part/{query['reference']}", 0.25, 0.0) == "dev" else "test"
    )


def _write(
    data: Path, folder: Path, part: str, rows: Sequence[Row], queries: Sequence[Row]
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    asked = [query for query in queries if part_of(query) == part]
    card = CARD | {"name": folder.name}
    (folder / "dataset.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    for stem, items in (("gallery", rows), ("queries", asked)):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        (folder / f"{stem}.jsonl").write_text(lines, encoding="utf-8")
    for name in SOURCES:
        if not (folder / name).exists():
            (folder / name).symlink_to((data / name).resolve())
    return folder


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description="Candidates for queries with real edits.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = [*scene_candidates(asked.data), *outfit_candidates(asked.data)]
    for place in np.random.default_rng(asked.seed).permutation(len(found)):
        print(json.dumps(found[place]))


def scene_candidates(data: Path) -> Iterator[dict[str, Any]]:
    """Scenes of one kind where one object more or less is seen."""
    seen = {
        row["id"]: _seen("ade-scenes", row) - SCENERY
        for row in _rows(data / "ade-scenes" / "gallery.jsonl")
        if kept_apart(row["id"])
    }
    kinds = {
        name: next((kind for kind in KINDS if kind in own), None) for name, own in seen.items()
    }
    for name, own in seen.items():
        edits: Edits = defaultdict(list)
        for other, there in seen.items():
            if other != name and kinds[name] is not None and kinds[other] == kinds[name]:
                for edit in _scene_edits(own, there):
                    edits[edit].append(other)
        yield from _candidates(name, edits)


def _scene_edits(own: frozenset[str], there: frozenset[str]) -> Iterator[tuple[str, ...]]:
    if len(own & there) < 0.6 * len(own | there) or len(own & there) < 4:
        return
    yield from (("with", thing) for thing in there - own)
    yield from (("without", thing) for thing in own - there)


@dataclass(frozen=True, slots=True)
class Outfit:
    """What somebody wears: colours of the garments that are seen, and what else is tagged."""

    colours: Mapping[str, Colour]
    extras: frozenset[str]

    def alike(self, other: Outfit, garment: str) -> bool:
        """Whether a garment has the same colour."""
        return _distance(self, other, garment) < ALIKE


def outfit_candidates(data: Path) -> Iterator[dict[str, Any]]:
    """Outfits of like colours with another garment, one in another colour, or one more or less."""
    folder = data / "clothing-parsing"
    outfits = {
        row["id"]: _outfit(folder, row)
        for row in _rows(folder / "gallery.jsonl")
        if row.get("mask") and kept_apart(row["id"])
    }
    for name, own in outfits.items():
        edits: Edits = defaultdict(list)
        for other, there in outfits.items():
            if other != name:
                for edit in _outfit_edits(own, there):
                    edits[edit].append(other)
        yield from _candidates(name, edits)


def _outfit_edits(own: Outfit, there: Outfit) -> Iterator[tuple[str, ...]]:
    mine, theirs = set(own.colours), set(there.colours)
    shared = mine & theirs
    differing = [garment for garment in shared if not own.alike(there, garment)]
    gone, come = sorted(mine - theirs), sorted(theirs - mine)
    if mine == theirs and len(mine) >= 2:
        if len(differing) == 1 and _distance(own, there, differing[0]) > OTHER:
            yield "recolour", differing[0]
        if not differing and len(own.extras ^ there.extras) <= 2:
            yield from (("with", thing) for thing in sorted(there.extras - own.extras))
            yield from (("without", thing) for thing in sorted(own.extras - there.extras))
    elif shared and not differing and len(gone) <= 1 and len(come) <= 1 and mine != theirs:
        yield ("swap" if gone and come else "with" if come else "without", *gone, *come)


def _distance(one: Outfit, other: Outfit, garment: str) -> float:
    weights = np.array([0.6, 1.0, 1.0])
    return float(np.linalg.norm(weights * (one.colours[garment] - other.colours[garment])))


def _outfit(folder: Path, row: Row) -> Outfit:
    with Image.open(folder / row["file"]) as picture, Image.open(folder / row["mask"]) as drawn:
        labels = np.asarray(drawn.resize(picture.size, Image.Resampling.NEAREST))
        lab = np.asarray(picture.convert("RGB").convert("LAB")).astype(np.float64)
    lab = np.where(lab > 127, lab - 256, lab) * [0, 1, 1] + lab * [100 / 255, 0, 0]
    seen = {
        name: labels == row["regions"][name]["value"]
        for name in _seen("clothing-parsing", row) & GARMENTS
    }
    colours = {name: np.median(lab[at], axis=0) for name, at in seen.items() if at.any()}
    return Outfit(colours, frozenset(row["tags"]) & EXTRAS)


def _seen(source: str, row: Row) -> frozenset[str]:
    return frozenset(
        name for name, about in row["regions"].items() if about["share"] >= SEEN[source]
    )


def _candidates(name: str, edits: Edits) -> Iterator[dict[str, Any]]:
    for edit, targets in edits.items():
        if len(targets) <= MOST_TARGETS:
            yield {"reference": name, "edit": edit, "targets": targets}


if __name__ == "__main__":
    main()
