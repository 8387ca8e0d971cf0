"""A late step of making a bundle: its default composer and its settings, chosen on dev sets.

    python benchmarks/choose_defaults.py BUNDLE --held-out FOLDER

Every composer, arithmetic or packaged in the bundle, is tried on the dev parts of three sets
(sample catalogue, fashion, PACS); the best mean over the three decides
(`composir.bench.metrics.CRITERION`). Nothing here touches a test part. The manifest is rewritten:
settings of composers that are not tuned here, and what it says of its space (`changes`), stay. What
`replace` does about words of no list is chosen on the dev parts and on these in other words.
`benchmarks/confidence.py` calibrates the confidence.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from leave_one_out import UNLISTED
from mini_recipe import describe

from composir.bench.evaluation import PreparedTask, VectorSource, load_tasks, prepare
from composir.bench.task import LoadOptions
from composir.bench.tune import Tuned, parse_grid, tune
from composir.encode.feature_store import FeatureStore
from composir.foundation.fitting import copy_limit, read_sample
from composir.model import Model, load_model

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
ALPHA = ("alpha=0:1:0.05",)
TUNED = {
    "sum": ALPHA,
    "slerp": ALPHA,
    "replace": ("a=1,1.5,2", "b=0,0.5,1", "temperature=0.01,0.02,0.05,0.1"),
    "direction": ("alpha=1,2,3,4", "things=1,3,5"),
}
"""What is tried of composers without training."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose a bundle's defaults on dev sets.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    source = VectorSource(model, cache=FeatureStore(asked.cache))
    places = [
        CATALOGUE,
        asked.held_out / "fashion-recolour-dev",
        asked.held_out / "pacs-domains-dev",
    ]
    sets = [dev_set(place, source) for place in places]
    tuned = choose_composers(model, sets)
    reworded = [
        dev_set(place, source) for place in sorted(asked.held_out.glob("*-dev-paraphrased"))
    ]
    tuned = [for_any_words(one, model, [*sets, *reworded]) for one in tuned]
    rewrite(asked.bundle, model, tuned)


def dev_set(place: Path, source: VectorSource) -> PreparedTask:
    split = "dev" if place == CATALOGUE else None
    return prepare(load_tasks(str(place), None, LoadOptions(split))[2][0], source)


def choose_composers(model: Model, sets: list[PreparedTask]) -> list[Tuned]:
    """Score each composer by the mean of the dev sets, arithmetic tuned; best first."""
    tuned = [tune(sets, model, name, parse_grid(grid)) for name, grid in TUNED.items()]
    as_they_are = {"negative_weight": [0.5]}
    others = ("product", *model.composer_folders())
    tuned += [tune(sets, model, name, as_they_are) for name in others]
    for one in tuned:
        print(f"{one.composer}: {one.settings}, {one.metric} {best_score(one):.2f} %")
    return sorted(tuned, key=lambda one: -best_score(one))


def for_any_words(tuned: Tuned, model: Model, sets: list[PreparedTask]) -> Tuned:
    """The same with what a composer does about words of no list, chosen on such texts too."""
    if tuned.composer not in UNLISTED:
        return tuned
    fixed = {name: [float(value)] for name, value in tuned.settings.items()}
    grid = fixed | parse_grid(UNLISTED[tuned.composer])
    chosen = tune(sets, model, tuned.composer, grid)
    print(f"{tuned.composer}, in words of no list: {chosen.settings}, {best_score(chosen):.2f} %")
    return tuned.model_copy(update={"settings": chosen.settings})


def best_score(tuned: Tuned) -> float:
    return max(trial.score for trial in tuned.trials)


def rewrite(folder: Path, model: Model, tuned: list[Tuned]) -> None:
    settings = {name: dict(said) for name, said in model.composer_settings.items()}
    for one in tuned:
        if one.composer in TUNED:
            settings[one.composer] = settings.get(one.composer, {}) | one.settings
    changes: dict[str, Any] = {
        "default_composer": tuned[0].composer,
        "composers": settings,
        "copy_similarity": copy_limit(model, read_sample().pictures),
    }
    describe(folder, model.manifest, **changes)
    print(json.dumps(changes))


if __name__ == "__main__":
    main()
