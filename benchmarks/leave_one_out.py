"""Chooses a composer's settings leave-one-domain-out on the three dev parts.

    python benchmarks/leave_one_out.py replace --grid a=1,1.5,2 --grid b=0,0.5,1 --data FOLDER

One setting for all sets: for each set, the best by the mean of recall@10 and mAP@10 over the other
two is printed with what it scores there; last, the best over all three. No test part is read.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from choose_defaults import CATALOGUE, ROOT, dev_set
from held_out import write_held_out

from composir.bench.run import VectorSource
from composir.bench.tune import Settings, parse_grid, tune
from composir.encode.feature_store import FeatureStore
from composir.model import load_model

CRITERION = ("recall@10", "map@10")
SHOWN = ("recall@1", *CRITERION)
Scores = list[dict[str, float]]
"""Of one setting, percent by metric, for each set."""


def main() -> None:
    asked = arguments()
    model = load_model(asked.model)
    write_held_out(asked.data, asked.held_out)
    source = VectorSource(model, cache=FeatureStore(asked.cache))
    names = ("fashion-recolour-dev", "pacs-domains-dev")
    sets = [dev_set(place, source) for place in (CATALOGUE, *map(asked.held_out.joinpath, names))]
    grid = parse_grid(asked.grid)
    tuned = [[tune([one], model, asked.composer, grid, metric) for metric in SHOWN] for one in sets]
    points = [
        (
            trial.settings,
            [{t.metric: t.trials[place].score for t in each} for each in tuned],
        )
        for place, trial in enumerate(tuned[0][0].trials)
    ]
    everything = range(len(sets))
    for left_out, part in enumerate(sets):
        settings, scores = best(points, [place for place in everything if place != left_out])
        print(f"without {part.task.name}: {settings}, there {shown(scores[left_out])}")
    settings, scores = best(points, everything)
    print(f"all: {settings}, {'; '.join(map(shown, scores))}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Settings, chosen leave-one-domain-out.")
    parser.add_argument("composer")
    parser.add_argument("--grid", action="append", required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    return parser.parse_args()


def best(points: Sequence[tuple[Settings, Scores]], sets: Sequence[int]) -> tuple[Settings, Scores]:
    """The best setting over some sets; the first of equal ones."""
    return max(points, key=lambda point: sum(point[1][s][m] for s in sets for m in CRITERION))


def shown(scores: dict[str, float]) -> str:
    return " / ".join(f"{scores[metric]:.1f}" for metric in SHOWN)


if __name__ == "__main__":
    main()
