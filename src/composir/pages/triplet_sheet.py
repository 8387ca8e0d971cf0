"""Triplets as a page: reference, text and target, with who wrote what and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.data.datasets import DatasetFolder, QueryRow
from composir.data.untrusted_json import is_finite_number
from composir.errors import ImageReadError
from composir.pages.rendering import render

_SIDE = 256


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture of a triplet, or why there is none."""

    image: str
    jpeg: bytes | None
    problem: str = ""


def triplet_sheet(folder: Path, rows: Sequence[QueryRow], everything: int) -> str:
    """Lay out a page."""
    found = DatasetFolder(folder)
    files = {name: image.file for name, image in found.images().items()}
    return render(
        "triplet_sheet.html",
        title=found.card().name,
        intro=f"{len(rows):,} of {everything:,} triplets, as a training run sees them.",
        rows=rows,
        kinds=Counter(row.type or "" for row in rows),
        provenance=_provenance,
        thumbnail=lambda image: _thumbnail(files, image),
    )


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


def _thumbnail(files: Mapping[str, Path], image: str) -> Thumbnail:
    from composir.gallery.reader import make_thumbnail
    from composir.images import read_image

    file = files.get(image)
    if file is None:
        return Thumbnail(image, None, "not in the gallery")
    try:
        rgb = read_image(file, min_side=_SIDE).rgb
    except ImageReadError as error:
        return Thumbnail(image, None, str(error))
    return Thumbnail(image, make_thumbnail(rgb, _SIDE))
