"""A late step of making a bundle: its default composer and its settings, chosen on dev sets.

    python benchmarks/choose_defaults.py BUNDLE --held-out FOLDER [--write]

Every composer, arithmetic or packaged in the bundle, is judged on the dev parts of three sets
(sample catalogue, fashion, PACS) and on these in other words: the best mean over the six decides.
It is what `composir train blend` maximises over the same folders
(`composir.bench.metrics.CRITERION`). Settings of arithmetic are chosen first, on the three; what
`replace` does about words of no list, on the six. Nothing here touches a test part. All figures are
printed; `--write` rewrites the manifest: settings of composers that are not tuned here, and what it
says of its space (`changes`), stay. `benchmarks/confidence.py` calibrates the confidence.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leave_one_out import GRIDS, UNLISTED
from mini_recipe import describe

from composir.bench.evaluation import PreparedTask
from composir.bench.metrics import CRITERION
from composir.bench.tune import Settings, parse_grid, tried, tune
from composir.foundation.fitting import copy_limit, read_sample
from composir.model import Model, load_model
from composir.train.dev_set import open_dev_set

ROOT = Path(__file__).resolve().parents[1]
LISTED = ("catalogue-dev", "fashion-recolour-dev", "pacs-domains-dev")
"""What settings of arithmetic are chosen on."""
JUDGED = (*LISTED, *(f"{name}-paraphrased" for name in LISTED))
"""What composers are compared on, and what `train blend` chooses on (recipes/mini/README.md)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A composer with settings, and the mean of `CRITERION` by dev part, percent."""

    composer: str
    settings: Settings
    scores: dict[str, float]

    @property
    def mean(self) -> float:
        """Over the parts, each of which counts the same; the highest makes the default."""
        return sum(self.scores.values()) / len(self.scores)

    @property
    def line(self) -> str:
        """For people."""
        by_part = ", ".join(f"{name} {score:.2f}" for name, score in self.scores.items())
        return f"{self.composer}: {self.settings}, {self.mean:.2f} % ({by_part})"


def main() -> None:
    parser = argparse.ArgumentParser(description="Choose a bundle's defaults on dev sets.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    parser.add_argument("--write", action="store_true", help="write them into the bundle")
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    parts = [open_dev_set(asked.held_out / name, model, asked.cache).prepared for name in JUDGED]
    judged = judge_all(model, parts)
    print(f"best: {judged[0].composer}")
    if asked.write:
        rewrite(asked.bundle, model, judged)


def judge_all(model: Model, parts: Sequence[PreparedTask]) -> list[Judged]:
    """Each composer with the settings to ship, best first; `parts` are those of `JUDGED`."""
    chosen = {name: choose_settings(model, name, parts) for name in GRIDS}
    others = ("product", *model.composer_folders())
    chosen |= {name: {"negative_weight": 0.5} for name in others}
    judged = [judge(model, name, settings, parts) for name, settings in chosen.items()]
    return sorted(judged, key=lambda one: -one.mean)


def choose_settings(model: Model, composer: str, parts: Sequence[PreparedTask]) -> Settings:
    """The best of a composer without training, then for words of no list; as `leave_one_out`."""
    chosen = tune(parts[: len(LISTED)], model, composer, parse_grid(GRIDS[composer])).settings
    if composer not in UNLISTED:
        return chosen
    fixed = {name: [float(value)] for name, value in chosen.items()}
    return tune(parts, model, composer, fixed | parse_grid(UNLISTED[composer])).settings


def judge(model: Model, composer: str, settings: Settings, parts: Sequence[PreparedTask]) -> Judged:
    """Score a composer on every dev part, and print that."""
    grid = {name: [float(value)] for name, value in settings.items()}
    [(_, scores)] = tried(parts, model, composer, grid, CRITERION)
    names = [part.task.name for part in parts]
    judged = Judged(composer, settings, dict(zip(names, scores.mean(axis=1).tolist(), strict=True)))
    print(judged.line)
    return judged


def rewrite(folder: Path, model: Model, judged: Sequence[Judged]) -> None:
    settings = {name: dict(said) for name, said in model.composer_settings.items()}
    for one in judged:
        if one.composer in GRIDS:
            settings[one.composer] = settings.get(one.composer, {}) | one.settings
    changes: dict[str, Any] = {
        "default_composer": judged[0].composer,
        "composers": settings,
        "copy_similarity": copy_limit(model, read_sample().pictures),
    }
    describe(folder, model.manifest, **changes)
    print(json.dumps(changes))


if __name__ == "__main__":
    main()
