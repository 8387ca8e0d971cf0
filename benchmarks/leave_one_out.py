"""Chooses settings leave-one-domain-out: for each domain, the best on dev parts of the others.

    python benchmarks/leave_one_out.py replace --grid a=1,1.5,2 --grid b=0,0.5,1 --data FOLDER

prints, for each domain, the best settings over the others and what they score there; last, the
best over all. No test part is read. `--part dev-paraphrased` chooses on the same questions in words
of no list. `quality.py` reports test parts with the same choices, of
blends too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from held_out import domains, write_held_out

from composir.bench.metrics import CRITERION
from composir.bench.tune import Settings, parse_grid, tried
from composir.model import Model, load_model
from composir.train.blend import choose_weights
from composir.train.blend_trials import BlendTrials
from composir.train.dev_set import DevSet, composer_terms, open_dev_set

ROOT = Path(__file__).resolve().parents[1]
GRIDS = {
    "sum": ("alpha=0:1:0.05",),
    "slerp": ("alpha=0:1:0.05",),
    "replace": ("a=1,1.5,2", "b=0,0.5,1", "temperature=0.01,0.02,0.05,0.1"),
    "direction": ("alpha=1,2,3,4", "things=1,3,5"),
}
"""What is tried of composers without training, as `composir bench tune --grid` takes it."""
UNLISTED = {
    "replace": (
        "nearness=0,0.04",
        "drawn=0.35,0.7",
        "emphasis=1,1.33",
        "doubt=0,0.04,0.1",
        "ahead=0.1",
    )
}
"""Settings for words of no list: tried on dev parts and on these in other words, after the rest."""
SHOWN = ("recall@1", *CRITERION)
Trial = tuple[Settings, dict[str, dict[str, float]]]
"""Settings, and percent by domain and metric."""


def main() -> None:
    asked = arguments()
    write_held_out(asked.data, asked.held_out)
    choices = Choices(load_model(asked.model), asked.held_out, asked.cache, asked.part)
    trials = choices.trials(asked.composer, asked.grid or GRIDS.get(asked.composer, ()))
    for left_out in choices.dev:
        settings, scores = best(trials, [name for name in choices.dev if name != left_out])
        print(f"without {left_out}: {settings}, there {shown(scores[left_out])}")
    settings, scores = best(trials, list(choices.dev))
    print(f"all: {settings}, {'; '.join(shown(scores[name]) for name in choices.dev)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Settings, chosen leave-one-domain-out.")
    parser.add_argument("composer")
    parser.add_argument("--grid", action="append")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--part", choices=("dev", "dev-paraphrased"), default="dev")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    return parser.parse_args()


class Choices:
    """Settings of one model's composers; what one choice has ranked, the next ranks no more."""

    def __init__(self, model: Model, held_out: Path, cache: Path, part: str = "dev") -> None:
        self.model = model
        found = domains(held_out, part)
        self.dev = {one.name: open_dev_set(one.dev, model, cache) for one in found}
        reworded = domains(held_out, "dev-paraphrased")
        self.all = dict(self.dev)
        for one in reworded:
            self.all[f"{one.name}, reworded"] = open_dev_set(one.dev, model, cache)
        self._trials: dict[tuple[str, str], list[Trial]] = {}
        self._blends: dict[Path, dict[str, BlendTrials]] = {}

    def arithmetic(self, composer: str, left_out: str) -> Settings:
        """The best point of a composer's grid over the other domains, then for texts of no list."""
        grid = parse_grid(GRIDS[composer])
        chosen = self._best(composer, self.dev, grid, left_out)
        if composer not in UNLISTED:
            return chosen
        fixed = {name: [float(value)] for name, value in chosen.items()}
        return self._best(composer, self.all, fixed | parse_grid(UNLISTED[composer]), left_out)

    def trials(self, composer: str, grid: Sequence[str]) -> list[Trial]:
        """Every point of a grid, scored on the dev part of every domain."""
        return self._tried(composer, self.dev, parse_grid(grid))

    def _best(
        self, composer: str, dev: Mapping[str, DevSet], grid: dict[str, list[float]], left_out: str
    ) -> Settings:
        key = composer, repr(grid)
        if key not in self._trials:
            self._trials[key] = self._tried(composer, dev, grid)
        others = [name for name in dev if name.partition(",")[0] != left_out]
        return best(self._trials[key], others)[0]

    def _tried(
        self, composer: str, dev: Mapping[str, DevSet], grid: dict[str, list[float]]
    ) -> list[Trial]:
        parts, found = [one.prepared for one in dev.values()], list[Trial]()
        for settings, rows in tried(parts, self.model, composer, grid, SHOWN):
            scored = [dict(zip(SHOWN, row, strict=True)) for row in rows.tolist()]
            found.append((settings, dict(zip(dev, scored, strict=True))))
        return found

    def blend(self, folder: Path, left_out: str, fixed: Mapping[str, float]) -> Settings:
        """The best blend of a trained composer over the other domains, in their other words too.

        Args:
            folder: The composer's.
            left_out: Name of the domain.
            fixed: Weights that the recipe does not search, e.g. `evened`.
        """
        if folder not in self._blends:
            self._blends[folder] = {
                name: BlendTrials(one, composer_terms(folder, self.model, one))
                for name, one in self.all.items()
            }
        parts = self._blends[folder].items()
        others = [part for name, part in parts if name.partition(",")[0] != left_out]
        return dict(choose_weights(others, fixed).settings)


def best(trials: Sequence[Trial], names: Sequence[str]) -> Trial:
    """The best over some domains; the first of equal ones."""
    return max(trials, key=lambda trial: sum(trial[1][n][m] for n in names for m in CRITERION))


def shown(scores: Mapping[str, float]) -> str:
    return " / ".join(f"{scores[metric]:.1f}" for metric in SHOWN)


if __name__ == "__main__":
    main()
