"""The last step of making a bundle: its default composer, settings and confidence, on dev sets.

    python benchmarks/choose_defaults.py BUNDLE --data FOLDER --held-out FOLDER

Every composer, arithmetic or packaged in the bundle, is tried on the dev parts of three sets
(sample catalogue, fashion, PACS); the best mean R@10 over the three decides. Confidence is a
logistic regression of "the truth is among the first ten" on the best score and how far it stands
out, over queries with and without an answer in the gallery; one for words alone (Flickr8k's
held-out training pictures, and other pictures) and one for an image with words (the catalogue's
dev split, and other pictures). Nothing here touches a test part. The manifest is rewritten.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from composir.bench.protocol import compose
from composir.bench.run import Prepared, Source, load_tasks, prepare
from composir.bench.task import LoadOptions
from composir.bench.tune import Tuned, parse_grid, tune
from composir.bench.vectors import VectorCache
from composir.compose import load_composer
from composir.gallery.confidence import ConfidenceCalibration, standout
from composir.images import read_image
from composir.model import Model, load_model
from composir.train.foundation.card import describe
from composir.train.foundation.corpus import read_corpus
from composir.types import FloatArray

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
FOUND = 10
TUNED = ("sum", "slerp")
NAMES = ("bias", "standout_weight", "score_weight")
Matrix = NDArray[np.float64]
Coefficients = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Example:
    """One judged query: stand-out and best score, and whether the gallery held its answer."""

    standout: float
    best: float
    answered: bool


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose a bundle's defaults on dev sets.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors.sqlite")
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    source = Source(model, cache=VectorCache(asked.cache))
    places = [
        CATALOGUE,
        asked.held_out / "fashion-recolour-dev",
        asked.held_out / "pacs-domains-dev",
    ]
    sets = [dev_set(place, source) for place in places]
    tuned = choose_composers(model, sets)
    confidence = calibrate(model, asked.data, sets[0], tuned[0])
    rewrite(asked.bundle, model, tuned, confidence)


def dev_set(place: Path, source: Source) -> Prepared:
    split = "dev" if place == CATALOGUE else None
    return prepare(load_tasks(str(place), None, LoadOptions(split))[2][0], source)


def choose_composers(model: Model, sets: list[Prepared]) -> list[Tuned]:
    """Score each composer by the mean of the dev sets, arithmetic tuned; best first."""
    grid = parse_grid(["alpha=0:1:0.05"])
    tuned = [tune(sets, model, name, grid, "recall@10") for name in TUNED]
    as_they_are = {"negative_weight": [0.5]}
    others = ("product", *model.composer_folders())
    tuned += [tune(sets, model, name, as_they_are, "recall@10") for name in others]
    for one in tuned:
        print(f"{one.composer}: {one.settings}, mean R@10 {best_score(one):.2f} %")
    return sorted(tuned, key=lambda one: -best_score(one))


def best_score(tuned: Tuned) -> float:
    return max(trial.score for trial in tuned.trials)


def calibrate(model: Model, data: Path, catalogue: Prepared, tuned: Tuned) -> Coefficients:
    """Fit the confidence's coefficients."""
    sources = ("flickr8k-train", "pacs-domains", "grocery-train", "clothing-train")
    dev = [picture for picture in read_corpus(data, sources) if picture.split == "dev"]
    own = [picture for picture in dev if picture.source == "flickr8k-train"]
    other = [picture for picture in dev if picture.source != "flickr8k-train"]
    texts = model.encode_texts([text for picture in own for text in picture.texts])
    owners = np.repeat(np.arange(len(own)), [len(picture.texts) for picture in own])
    here = texts @ vectors(model, [p.file for p in own]).T
    elsewhere = vectors(model, [p.file for p in other])
    examples = [example(row, [int(owner)]) for row, owner in zip(here, owners, strict=True)]
    examples += [example(row, []) for row in texts @ elsewhere.T]
    composed = composed_examples(model, catalogue, tuned, elsewhere)
    return {"words": fit("words", examples), "image": fit("image", composed)}


def composed_examples(
    model: Model, catalogue: Prepared, tuned: Tuned, elsewhere: FloatArray
) -> list[Example]:
    """Composed queries over their own gallery, without the reference, and over another."""
    task, table = catalogue.task, catalogue.table
    composer = load_composer(tuned.composer, model, **tuned.settings)
    composed = compose(task.queries, composer, table.by_id(), catalogue.openers)
    places = {name: place for place, name in enumerate(task.gallery)}
    scores = composed.scores(table.rows(task.gallery, task.name))
    for row, query in zip(scores, task.queries, strict=True):
        row[places[str(query.reference)]] = row.min()
    truths = [[places[target] for target in query.targets] for query in task.queries]
    examples = [example(row, truth) for row, truth in zip(scores, truths, strict=True)]
    return examples + [example(row, []) for row in composed.scores(elsewhere)]


def vectors(model: Model, files: list[Path]) -> FloatArray:
    size = model.image_spec.size
    parts = [model.encode_images([read_image(f, min_side=2 * size).rgb]) for f in files]
    return np.concatenate(parts)


def example(scores: FloatArray, truths: list[int]) -> Example:
    ranks = [int((scores >= scores[truth]).sum()) for truth in truths]
    best = float(scores.max())
    return Example(standout(best, scores, len(scores)), best, any(rank <= FOUND for rank in ranks))


def fit(kind: str, examples: list[Example]) -> dict[str, float]:
    """Logistic regression by Newton's method, with a little ridge."""
    x = np.array([[1.0, e.standout, e.best] for e in examples])
    y = np.array([float(e.answered) for e in examples])
    weights = np.zeros(3)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-x @ weights))
        gradient: Matrix = x.T @ (p - y) + 1e-3 * weights
        hessian: Matrix = (x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(3)
        weights = weights - np.linalg.solve(hessian, gradient)
    report(kind, y, 1.0 / (1.0 + np.exp(-x @ weights)))
    return dict(zip(NAMES, map(float, weights), strict=True))


def report(kind: str, answered: Matrix, confidence: Matrix) -> None:
    defaults = ConfidenceCalibration()
    good, poor = confidence >= defaults.good, confidence < defaults.poor
    print(
        f"confidence, {kind}: {len(answered):,} queries, {answered.mean():.1%} answered; "
        f"'good match' ({good.mean():.1%} of queries): {answered[good].mean():.1%} answered; "
        f"'nothing matches well' ({poor.mean():.1%}): {answered[poor].mean():.1%} answered"
    )


def rewrite(folder: Path, model: Model, tuned: list[Tuned], confidence: Coefficients) -> None:
    changes: dict[str, Any] = {
        "default_composer": tuned[0].composer,
        "composers": {one.composer: one.settings for one in tuned if one.composer in TUNED},
        "confidence": confidence,
    }
    describe(folder, model.manifest, **changes)
    print(json.dumps(changes))


if __name__ == "__main__":
    main()
