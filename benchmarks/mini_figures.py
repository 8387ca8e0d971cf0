"""Figures of a foundation bundle's card: words to pictures, quantised beside float32, and sums.

    python benchmarks/mini_figures.py BUNDLE --float32 BUNDLE --data FOLDER

Writes `figures.md` into the bundle and its card and manifest anew. Fashion and PACS are the
held-out parts (benchmarks/held_out.py), alpha tuned on their dev parts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from held_out import write_held_out
from mini_recipe import FIGURES, describe
from numpy.typing import NDArray
from quality import CATALOGUE, ROOT, own, tuned_on

from composir.bench.results import TaskResult
from composir.bench.suite import Method, Plan, run_plan
from composir.bench.task import LoadOptions
from composir.encode.encoders import encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.model import Model, load_model
from composir.types import FloatArray

METRICS = ("recall@1", "recall@5", "recall@10")


def main() -> None:
    parser = argparse.ArgumentParser(description="Figures of a bundle's card.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--float32", type=Path, required=True, help="the same, unquantised")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    asked = parser.parse_args()
    write_held_out(asked.data, asked.held_out)
    model, cache = load_model(asked.bundle), FeatureStore(asked.cache)
    rows = [
        words_row("flickr8k-dev, words to picture, **as shipped**", asked, model, cache),
        words_row("the same, float32", asked, load_model(asked.float32), cache),
        *sum_rows(asked, model, cache),
    ]
    text = document(rows, model) + names_table(model, cache)
    print(text)
    (asked.bundle / FIGURES).write_text(text, encoding="utf-8")
    describe(asked.bundle, model.manifest)


def words_row(label: str, asked: argparse.Namespace, model: Model, cache: FeatureStore) -> str:
    plan = Plan((str(asked.data / "flickr8k-dev"),), (Method("text", {}),), options=LoadOptions())
    return row(label, play(plan, model, cache))


def sum_rows(asked: argparse.Namespace, model: Model, cache: FeatureStore) -> list[str]:
    """Best weighted sum, tuned on each set's dev part, on its test part."""
    held_out = {name: asked.held_out / name for name in ("fashion-recolour", "pacs-domains")}
    pairs = [("sample catalogue, test", own(CATALOGUE, "dev"), own(CATALOGUE, "test"))]
    pairs += [
        (f"{name}, held-out test", own(Path(f"{path}-dev")), own(Path(f"{path}-test")))
        for name, path in held_out.items()
    ]
    rows = []
    for label, dev, test in pairs:
        tuned = next(one for one in tuned_on(dev, model, cache) if one.composer == "sum")
        plan = replace(test, methods=(Method("sum", tuned.settings, tuned),))
        alpha = tuned.settings["alpha"]
        rows.append(row(f"{label}, weighted sum (alpha {alpha:g})", play(plan, model, cache)))
        if label.startswith("fashion"):
            whole = Plan((str(asked.data / "fashion-recolour"),), plan.methods)
            told = "fashion-recolour, all queries, title groups seen in training too"
            rows.append(row(f"{told}, the same alpha", play(whole, model, cache, check=False)))
    return rows


def names_table(model: Model, cache: FeatureStore) -> str:
    """How well names alone find the sample catalogue's things: nothing of it was trained on."""
    rows = [json.loads(line) for line in (CATALOGUE / "gallery.jsonl").read_text().splitlines()]
    files = [ImageFile(CATALOGUE / row["file"]) for row in rows]
    vectors = np.asarray(encode_images(files, image_encoder(model), cache).rows[0])
    kinds = [row["kind"] for row in rows]
    coloured = [f"{row['colour']} {row['kind']}" for row in rows]
    figures = {
        '"a KIND": precision@10': precision_at_10(model, vectors, kinds),
        '"a COLOUR KIND": recall@10': found_at_10(model, vectors, coloured),
    }
    cells = [f"| sample catalogue, {what} | {figure:.1f} |" for what, figure in figures.items()]
    return "\n".join(("", "| what | percent |", "|---|---|", *cells)) + "\n"


def precision_at_10(model: Model, vectors: FloatArray, names: Sequence[str]) -> float:
    """Of the ten pictures nearest to a name, how many bear it; mean over names, percent."""
    return 100.0 * float(np.mean([hits.sum() / 10 for hits in hits_at_10(model, vectors, names)]))


def found_at_10(model: Model, vectors: FloatArray, names: Sequence[str]) -> float:
    """For how many names one of the ten nearest pictures bears it (recall@10), percent."""
    return 100.0 * float(np.mean([hits.any() for hits in hits_at_10(model, vectors, names)]))


def hits_at_10(model: Model, vectors: FloatArray, names: Sequence[str]) -> list[NDArray[np.bool_]]:
    """For each distinct name, in order, which of its ten nearest pictures bear it."""
    known = np.array(names)
    texts = sorted(set(names))
    nearest = np.argsort(-model.encode_texts([f"a {t}" for t in texts]) @ vectors.T, axis=1)[:, :10]
    return [known[row] == text for text, row in zip(texts, nearest, strict=True)]


def play(plan: Plan, model: Model, cache: FeatureStore, *, check: bool = True) -> TaskResult:
    """Run one plan; `check` refuses queries that its settings were tuned on."""
    methods = plan.methods if check else tuple(replace(m, tuned=None) for m in plan.methods)
    named = replace(plan, model=str(model.bundle.folder), methods=methods)
    return run_plan(named, model, cache=cache)[0].results[0].tasks[0]


def row(label: str, result: TaskResult) -> str:
    figures = [result.metrics[name] for name in METRICS]
    cells = [f"{f.value:.1f} ({f.low:.1f} to {f.high:.1f})" for f in figures]
    return f"| {label} | {result.queries:,} | {result.gallery:,} | {' | '.join(cells)} |"


def document(rows: list[str], model: Model) -> str:
    arguments = " ".join(shlex.quote(Path(a).name if "/" in a else a) for a in sys.argv[1:])
    lines = [
        f"Percent with 95 % bootstrap intervals, printed by `python benchmarks/mini_figures.py "
        f"{arguments}` on {platform.machine()}, fingerprint `{model.fingerprint}`.",
        "",
        "| what | queries | gallery | R@1 | R@5 | R@10 |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
