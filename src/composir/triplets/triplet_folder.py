"""Triplets on disk: a data set folder that `composir bench` and `composir train` read as it is."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from composir.data.datasets import QUERIES, DatasetFolder, QueryRow
from composir.data.outputs import check_own_folder, write_inside
from composir.data.row_examples import QUERY_ROW
from composir.data.untrusted_json import MANIFEST_LIMIT, read_json
from composir.errors import DatasetError
from composir.model.base import EmbeddingModel
from composir.triplets.make import Made, MakeSettings
from composir.triplets.records import ImageSet, SyntheticTriplet, TextWriter, pair_rng

RECIPE = "recipe.json"
_MOST_TARGETS = 200
_METRICS = ["recall@1", "recall@5", "recall@10", "map@10"]


def recipe_of(
    source: ImageSet, model: EmbeddingModel, writer: TextWriter, settings: MakeSettings
) -> dict[str, Any]:
    """Everything that decides the triplets, as plain values."""
    return {
        "source": source.name,
        "source_checksum": source.checksum,
        "model": model.name,
        "model_fingerprint": model.fingerprint,
        "writer": dict(writer.settings),
        **asdict(settings),
    }


def claim_folder(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Take a folder for one recipe, before any work is done."""
    check_own_folder(folder, {RECIPE}, "--out")
    path = folder / RECIPE
    if path.is_file():
        _refuse_other_recipe(folder, _read_recipe(path), json.loads(json.dumps(recipe)))
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_inside(folder, RECIPE, json.dumps(recipe, indent=1) + "\n")
    except OSError as error:
        raise DatasetError(f"cannot write to {folder}: {error.strerror or error}") from error


def _read_recipe(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(path, DatasetError, dict, limit=MANIFEST_LIMIT))
    except DatasetError as error:
        raise DatasetError(f"{error}: it is damaged; name a new folder with --out") from error


def _refuse_other_recipe(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    different = [
        f"{name} ({json.dumps(old.get(name))} there, {json.dumps(new.get(name))} asked)"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if different:
        raise DatasetError(
            f"{folder} is of another recipe: {'; '.join(different)}; name a new folder with --out"
        )


def write_triplets(
    folder: Path, source: ImageSet, made: Made, recipe: Mapping[str, Any], report: Mapping[str, Any]
) -> None:
    """Write the data set; each file is replaced in one go, `queries.jsonl` last."""
    names = [image.id for image in made.images]
    gallery = (
        {"id": image.id, "file": _place(image.file, folder), **image.row} for image in made.images
    )
    queries = (_query(n, t, names, recipe) for n, t in enumerate(made.triplets))
    try:
        card = json.dumps(_card(source, made, recipe, report), indent=1)
        write_inside(folder, "dataset.json", card)
        write_inside(folder, "gallery.jsonl", _lines(gallery))
        write_inside(folder, "queries.jsonl", _lines(queries))
    except OSError as error:
        raise DatasetError(f"cannot write to {folder}: {error.strerror or error}") from error


def _card(
    source: ImageSet, made: Made, recipe: Mapping[str, Any], report: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "name": f"{source.name}-triplets",
        "description": f"{len(made.triplets):,} synthetic triplets over {len(made.images):,} "
        f"pictures of {source.name}; made for training, not for reports",
        "exclude_reference": True,
        "metrics": _METRICS,
        "headline": "recall@10",
        "reference": "composir triplets make",
        "licence": f"pictures: {source.licence}",
        "images_from": f"{source.name}, referenced in place",
        "recipe": dict(recipe),
        "report": dict(report),
    }


def _place(file: Path, folder: Path) -> str:
    """Path relative to the data set, so that both may move together; absolute across drives."""
    try:
        return Path(os.path.relpath(file, folder.absolute())).as_posix()
    except ValueError:
        return file.as_posix()


def _query(
    number: int, triplet: SyntheticTriplet, names: list[str], recipe: Mapping[str, Any]
) -> dict[str, Any]:
    pair, written = triplet.pair, triplet.written
    also = (place for place in pair.equal if place not in {pair.target, pair.reference})
    targets = [pair.target, *also][:_MOST_TARGETS]
    return {
        "id": f"t{number:06}",
        "reference": names[pair.reference],
        "text": written.text,
        "targets": [names[place] for place in targets],
        "type": pair.label,
        "provenance": {
            **written.origin,
            "claim": written.claim,
            "pair": pair.label,
            **({"old": pair.old, "new": pair.new} if pair.column else {}),
            "image_similarity": round(triplet.image_similarity, 4),
            "target_fit": round(triplet.target_fit, 4),
            "reference_fit": round(triplet.reference_fit, 4),
            "model": recipe["model"],
            "seed": recipe["seed"],
        },
    }


def _lines(rows: Iterable[Mapping[str, Any]]) -> str:
    # ASCII: a file name of no encoding, or half an emoji in a caption, survives as an escape.
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def read_rows(folder: Path) -> list[QueryRow]:
    """Rows of a triplet folder's `queries.jsonl`."""
    if not (folder / QUERIES).is_file() and (folder / "recipe.json").is_file():
        raise DatasetError(f"{folder} was begun but not finished; run its make command again")
    rows = DatasetFolder(folder).queries()
    for where, row in rows:
        if row.reference is None or not row.text or not row.targets:
            raise DatasetError(f"{where}: a triplet needs 'reference', 'text' and 'targets'")
    if not rows:
        raise DatasetError(f"{folder / QUERIES}: it has no triplets; {QUERY_ROW}")
    return [row for _, row in rows]


def choose_rows(rows: Sequence[QueryRow], count: int, seed: int) -> list[QueryRow]:
    """Some rows to look at: as many of each kind of pair as there can be, drawn by seed."""
    by_kind: dict[str, list[QueryRow]] = defaultdict(list)
    for place in pair_rng(seed, "look").permutation(len(rows)):
        by_kind[rows[place].type or ""].append(rows[place])
    chosen: list[QueryRow] = []
    while len(chosen) < min(count, len(rows)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop())
    return chosen
