"""Looking at triplets: a page of reference, text and target, with who wrote what and why."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from composir.bench.datasets._files import read_json, read_lines
from composir.errors import DatasetError, ImageReadError
from composir.sheet.document import document, escaped, picture
from composir.triplets.records import pair_dice

_SIDE = 256


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """Rows of a triplet folder's `queries.jsonl`.

    Raises:
        DatasetError: If the folder holds no triplets.
    """
    if not (folder / "queries.jsonl").is_file() and (folder / "recipe.json").is_file():
        raise DatasetError(f"{folder} was begun but not finished; run its make command again")
    rows = []
    for where, line in read_lines(folder / "queries.jsonl"):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{where}: not JSON ({error.msg})") from error
        if not isinstance(row, dict) or not {"reference", "text", "targets"} <= set(row):
            raise DatasetError(f"{where}: a triplet needs 'reference', 'text' and 'targets'")
        rows.append(row)
    if not rows:
        raise DatasetError(f"{folder / 'queries.jsonl'}: no triplets")
    return rows


def choose_rows(rows: Sequence[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """Some rows to look at: as many of each kind of pair as there can be, drawn by seed."""
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for place in pair_dice(seed, "look").permutation(len(rows)):
        by_kind[str(rows[place].get("type", ""))].append(rows[place])
    chosen: list[dict[str, Any]] = []
    while len(chosen) < min(count, len(rows)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen


def triplet_page(folder: Path, rows: Sequence[Mapping[str, Any]], everything: int) -> str:
    """Lay out a page.

    Args:
        folder: The data set, for pictures and name.
        rows: Shown in this order.
        everything: How many triplets the folder holds.

    Returns:
        A complete HTML document.
    """
    files = _files(folder)
    name = str(read_json(folder / "dataset.json", dict).get("name", folder.name))
    cards = "\n".join(_card(row, lambda image: _thumbnail(files, image)) for row in rows)
    tally = Counter(str(row.get("type", "")) for row in rows)
    counted = "".join(f"<li><b>{count}</b> {escaped(kind)}</li>" for kind, count in tally.items())
    intro = f"{len(rows):,} of {everything:,} triplets, as a training run sees them."
    body = f'<ul class="tally">{counted}</ul>\n<div class="triplets">\n{cards}\n</div>'
    style = resources.files("composir.triplets").joinpath("style.css").read_text(encoding="utf-8")
    return document(name, body, intro=intro, style=style, footer="Made by composir.")


def _files(folder: Path) -> dict[str, Path]:
    rows = (json.loads(line) for _, line in read_lines(folder / "gallery.jsonl"))
    return {str(row["id"]): folder / str(row["file"]) for row in rows}


def _card(row: Mapping[str, Any], show: Callable[[str], str]) -> str:
    targets = row["targets"]
    more = f" + {len(targets) - 1} just as right" if len(targets) > 1 else ""
    return f"""<article class="triplet">
<div class="two">
<figure>{show(str(row["reference"]))}<figcaption>reference</figcaption></figure>
<figure>{show(str(targets[0]))}<figcaption>target{more}</figcaption></figure>
</div>
<p class="said">{escaped(row["text"])}</p>
<p class="how">{escaped(_provenance(row.get("provenance", {})))}</p>
</article>"""


def _provenance(origin: Mapping[str, Any]) -> str:
    """One line: who wrote it, from what, and how the model sees it."""
    writer = origin.get("template") or origin.get("language_model") or origin.get("writer", "")
    parts = [str(origin.get("pair", "") or origin.get("edit", "")), str(writer)]
    if "target_fit" in origin and "reference_fit" in origin:
        parts.append(f"fits target {origin['target_fit']:.2f}, ref. {origin['reference_fit']:.2f}")
    if "image_similarity" in origin:
        parts.append(f"alike {origin['image_similarity']:.2f}")
    return " · ".join(part for part in parts if part)


def _thumbnail(files: Mapping[str, Path], image: str) -> str:
    from composir.gallery.thumbnails import make_thumbnail
    from composir.images import read_image

    file = files.get(image)
    if file is None:
        return '<span class="lost">not in the gallery</span>'
    try:
        rgb = read_image(file, min_side=_SIDE).rgb
    except ImageReadError as error:
        return f'<span class="lost">{escaped(error)}</span>'
    return picture(make_thumbnail(rgb, _SIDE), image)
