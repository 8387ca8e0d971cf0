"""Triplets from edited pictures: any folder of pictures, no captions, no labels.

Every reference is a picture as it is; its target is an edited copy (`triplets.edits`), so the text
says exactly what differs. Where words can ask for the original, the way back is a triplet too. The
result is a data set folder: originals are referenced where they are, edited copies lie in its
`images/`.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composir.data.files import read_regular
from composir.data.outputs import check_own_folder, inside, withdrawn_if_refused, write_inside
from composir.data.untrusted_json import MANIFEST_LIMIT
from composir.errors import DatasetError, ImageReadError
from composir.images import read_image
from composir.triplets.edits import BACK, SIDE, apply_edit, prepare_scene
from composir.triplets.records import pair_rng
from composir.triplets.region_edits import Regions, edit_region

Progress = Callable[[int, int], None]
QUALITY = 88
SETTINGS = "edits.json"
COPIES = "images"
BLOCK = 64


@dataclass(frozen=True, slots=True)
class EditSettings:
    """What determines the result, together with the pictures.

    A picture is edited again when there are more triplets to make than pictures.
    """

    count: int = 4000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class MadeEdits:
    """How many triplets were made, by edit too, and pictures that were not read, with reasons."""

    triplets: int
    skipped: tuple[tuple[str, str], ...]
    by_edit: dict[str, int]


def make_edited(
    files: Sequence[Path],
    out: Path,
    settings: EditSettings,
    progress: Progress | None = None,
    regions: Mapping[Path, Regions] | None = None,
) -> MadeEdits:
    """Edit pictures and write a data set folder.

    Stopped at any time, the same call goes on: finished copies are kept. Of pictures whose regions
    are known one of these is edited.
    """
    if not files:
        raise DatasetError("no pictures to edit: name a folder that holds some")
    chosen = [file.absolute() for file in sorted(files)]
    known = {file.absolute(): found for file, found in (regions or {}).items()}
    copies = (out / COPIES).glob
    try:
        # Or the command with mended pictures would be refused as another one.
        with withdrawn_if_refused(out, {SETTINGS, COPIES}, lambda: not any(copies("*"))):
            _claim(out, chosen, settings)
            rows, skipped = _edit_all(list(_jobs(chosen, settings, known)), out, progress)
            if not rows:
                file, reason = skipped[0]
                raise DatasetError(
                    f"none of {len(files):,} pictures could be read, e.g. {file}: {reason}"
                )
            counts = Counter(_kind(row["provenance"]["edit"]) for row in rows)
            made = MadeEdits(len(rows), tuple(dict.fromkeys(skipped)), dict(sorted(counts.items())))
            _write(out, rows, settings, made)
            return made
    except OSError as error:
        raise DatasetError(f"cannot write to {out}: {error.strerror or error}") from error


def _edit_all(
    jobs: Sequence[_Job], out: Path, progress: Progress | None
) -> tuple[list[dict[str, Any]], list[tuple[str, str]]]:
    """Rows of the edits that were made, and pictures that were not, with the reason."""
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    with ThreadPoolExecutor(2) as pool:
        for start in range(0, len(jobs), BLOCK):
            block = jobs[start : start + BLOCK]
            for job, row in zip(block, pool.map(lambda j: _edit(j, out), block), strict=True):
                if isinstance(row, str):
                    skipped.append((str(job.file), row))
                else:
                    rows.append(row)
            if progress:
                progress(min(start + BLOCK, len(jobs)), len(jobs))
    return rows, skipped


def _kind(edit: str) -> str:
    """`recolour/green` is a `recolour`."""
    return edit.partition("/")[0]


@dataclass(frozen=True, slots=True)
class _Job:
    number: int
    file: Path
    seed: int
    regions: Regions | None


def _jobs(
    files: Sequence[Path], settings: EditSettings, regions: Mapping[Path, Regions]
) -> Iterator[_Job]:
    """Which picture is edited as which number: seeded shuffles, one after the other."""
    for number in range(settings.count):
        turn, place = divmod(number, len(files))
        if place == 0:
            order = np.random.default_rng((settings.seed, turn)).permutation(len(files))
        file = files[int(order[place])]
        yield _Job(number, file, settings.seed, regions.get(file))


def _edit(job: _Job, out: Path) -> dict[str, Any] | str:
    """One triplet's row, its copy written if it is not there yet; or why not."""
    try:
        scene = prepare_scene(read_image(job.file, min_side=SIDE).rgb)
        draw = pair_rng(job.seed, job.file.name, str(job.number))
        of_region = job.regions and edit_region(scene.rgb, job.regions, draw)
    except (ImageReadError, OSError) as error:
        return str(error)
    edited = of_region or apply_edit(scene, draw)
    name = f"edit-{job.number:06d}"
    place = inside(out, f"{COPIES}/{name}.jpg")
    if not place.exists():
        partial = place.with_suffix(".partial")
        edited.picture.save(partial, "JPEG", quality=QUALITY)
        partial.replace(place)
    return {
        "id": f"q{job.number:06d}",
        "reference": str(job.file),
        "text": edited.words,
        "targets": [name],
        "type": f"edit:{_kind(edited.name)}",
        "provenance": {"writer": "edit", "edit": edited.name, "seed": job.seed},
    }


def _claim(out: Path, files: Sequence[Path], settings: EditSettings) -> None:
    """Take a new folder, or go on in one of the same settings and pictures."""
    of_pictures = {"pictures": len(files), "first": files[0].name, "files": _identity(files)}
    said = json.dumps(asdict(settings) | of_pictures)
    check_own_folder(out, {SETTINGS}, "--out")
    path = out / SETTINGS
    if path.is_file():
        if read_regular(path, limit=MANIFEST_LIMIT) != said.encode():
            raise DatasetError(
                f"{out} holds edits of other settings or pictures, or of pictures that have "
                f"changed since (see {path}); name a new folder with --out"
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_inside(out, SETTINGS, said)
    (out / COPIES).mkdir(exist_ok=True)


def _identity(files: Sequence[Path]) -> str:
    """A hash that differs for other or changed pictures, without reading them.

    Names alone are not enough: the copies of another folder's `0.jpg` would count as finished.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            state = file.stat()
            facts = [state.st_size, state.st_mtime_ns]
        except OSError:  # it will be skipped as unreadable, unless it comes back
            facts = []
        digest.update(json.dumps([str(file), *facts]).encode())
    return digest.hexdigest()


def _write(
    out: Path, rows: Sequence[dict[str, Any]], settings: EditSettings, made: MadeEdits
) -> None:
    references = dict.fromkeys(str(row["reference"]) for row in rows)
    gallery = [{"id": f"original-{n:06d}", "file": file} for n, file in enumerate(references)]
    ids = {item["file"]: item["id"] for item in gallery}
    targets = [str(row["targets"][0]) for row in rows]
    gallery += [{"id": name, "file": f"{COPIES}/{name}.jpg"} for name in targets]
    origins = [ids[str(row["reference"])] for row in rows]
    ends = [{"reference": origin, "group": origin} for origin in origins]
    queries = [row | end for row, end in zip(rows, ends, strict=True)]
    queries += [_back(row, settings.seed) for row in queries if _kind_of(row) in BACK]
    card = {
        "name": out.name,
        "description": f"Edited pictures, seed {settings.seed}: the text says what differs.",
        "exclude_reference": True,
        "metrics": ["recall@1", "recall@10"],
        "headline": "recall@10",
        "reference": "composir triplets edit",
        "images_from": "pictures referenced in place, edited copies in images/; both of the "
        "pictures' own licence",
        "recipe": asdict(settings),
        "report": {"triplets": made.triplets, "kinds": made.by_edit, "skipped": len(made.skipped)},
    }
    write_inside(out, "dataset.json", json.dumps(card, indent=1) + "\n")
    for stem, items in (("gallery", gallery), ("queries", queries)):
        write_inside(out, f"{stem}.jsonl", "".join(json.dumps(item) + "\n" for item in items))


def _kind_of(row: dict[str, Any]) -> str:
    return str(row["type"]).removeprefix("edit:")


def _back(row: dict[str, Any], seed: int) -> dict[str, Any]:
    """The way from the edited copy to its original; both ways stay on one side of a split."""
    words = BACK[_kind_of(row)]
    said = words[pair_rng(seed, str(row["id"]), "back").integers(len(words))]
    ends = {"reference": row["targets"][0], "targets": [row["reference"]]}
    return row | ends | {"id": f"{row['id']}-back", "text": said}
