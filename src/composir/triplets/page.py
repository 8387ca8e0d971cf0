"""Looking at triplets: a page of reference, text and target, with who wrote what and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from composir.data.json_object import JsonObject, is_finite_number, read_object, read_objects
from composir.data.row_examples import QUERY_ROW
from composir.errors import DatasetError, ImageReadError
from composir.sheet.document import document, escaped, picture
from composir.triplets.records import pair_dice

_SIDE = 256


def read_rows(folder: Path) -> list[JsonObject]:
    """Rows of a triplet folder's `queries.jsonl`.

    Raises:
        DatasetError: If the folder holds no triplets.
    """
    if not (folder / "queries.jsonl").is_file() and (folder / "recipe.json").is_file():
        raise DatasetError(f"{folder} was begun but not finished; run its make command again")
    rows = list(read_objects(folder / "queries.jsonl", DatasetError))
    for row in rows:
        if not {"reference", "text", "targets"} <= row.values.keys():
            raise DatasetError(f"{row.where}: a triplet needs 'reference', 'text' and 'targets'")
        row.required_name("reference")
        row.required_text("text")
        row.name("type")
        if not row.required_names("targets"):
            raise DatasetError(f"{row.where}: 'targets' is empty")
    if not rows:
        raise DatasetError(f"{folder / 'queries.jsonl'}: it has no triplets; {QUERY_ROW}")
    return rows


def choose_rows(rows: Sequence[JsonObject], count: int, seed: int) -> list[JsonObject]:
    """Some rows to look at: as many of each kind of pair as there can be, drawn by seed."""
    by_kind: dict[str, list[JsonObject]] = defaultdict(list)
    for place in pair_dice(seed, "look").permutation(len(rows)):
        by_kind[_kind(rows[place])].append(rows[place])
    chosen: list[JsonObject] = []
    while len(chosen) < min(count, len(rows)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen


def _kind(row: JsonObject) -> str:
    return row.name("type") or ""


def triplet_page(folder: Path, rows: Sequence[JsonObject], everything: int) -> str:
    """Lay out a page.

    Args:
        folder: The data set, for pictures and name.
        rows: Shown in this order.
        everything: How many triplets the folder holds.

    Returns:
        A complete HTML document.
    """
    files = _files(folder)
    name = read_object(folder / "dataset.json", DatasetError).name("name") or folder.name
    cards = "\n".join(_card(row, lambda image: _thumbnail(files, image)) for row in rows)
    tally = Counter(map(_kind, rows))
    counted = "".join(f"<li><b>{count}</b> {escaped(kind)}</li>" for kind, count in tally.items())
    intro = f"{len(rows):,} of {everything:,} triplets, as a training run sees them."
    body = f'<ul class="tally">{counted}</ul>\n<div class="triplets">\n{cards}\n</div>'
    style = resources.files("composir.triplets").joinpath("style.css").read_text(encoding="utf-8")
    return document(name, body, intro=intro, style=style, footer="Made by composir.")


def _files(folder: Path) -> dict[str, Path]:
    rows = read_objects(folder / "gallery.jsonl", DatasetError)
    return {row.required_name("id"): folder / row.required_text("file") for row in rows}


def _card(row: JsonObject, show: Callable[[str], str]) -> str:
    targets = row.required_names("targets")
    more = f" + {len(targets) - 1} just as right" if len(targets) > 1 else ""
    return f"""<article class="triplet">
<div class="two">
<figure>{show(str(row["reference"]))}<figcaption>reference</figcaption></figure>
<figure>{show(targets[0])}<figcaption>target{more}</figcaption></figure>
</div>
<p class="said">{escaped(row["text"])}</p>
<p class="how">{escaped(_provenance(row.values.get("provenance")))}</p>
</article>"""


def _provenance(origin: object) -> str:
    """One line: who wrote it, from what, and how the model sees it; what is odd is left out."""
    if not isinstance(origin, dict):
        return ""
    fits = [origin.get(name) for name in ("target_fit", "reference_fit", "image_similarity")]
    target, reference, alike = (fit if is_finite_number(fit) else None for fit in fits)
    writer = origin.get("template") or origin.get("language_model") or origin.get("writer", "")
    parts = [str(origin.get("pair", "") or origin.get("edit", "")), str(writer)]
    if target is not None and reference is not None:
        parts.append(f"fits target {target:.2f}, ref. {reference:.2f}")
    if alike is not None:
        parts.append(f"alike {alike:.2f}")
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
