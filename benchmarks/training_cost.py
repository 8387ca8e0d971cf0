"""What training the packaged composers costs: seconds a step, and memory, of short real runs.

    python benchmarks/training_cost.py --data FOLDER --cache FOLDER --triplets FILE --map RUN
        [--isa RUN] [--steps 20] [--write]

FOLDER holds the unpacked development data, `--cache` the cached features (they are computed first
where they are missing, which is not counted). Each recipe runs as a command of its own with the
settings of the packaged composer and few steps. The whole is projected: the command's own time,
with preparing, table and export, and the missing steps at that pace. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from held_out import write_held_out

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "training_cost.md"
SETS = ("flickr8k", "fashion-recolour", "pacs-domains", "grocery", "clothing")
SOURCES = tuple(f"{name}-described" for name in SETS)
TEMPLATE = 'composed_template="a photo of {} {text}"'
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training: its words after `composir train`, its settings, how long it really is."""

    name: str
    words: Sequence[str]
    settings: Sequence[str]
    shipped_steps: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run."""

    recipe: Recipe
    seconds_a_step: float
    steps: int
    command_seconds: float
    peak_bytes: int

    @property
    def projected(self) -> float:
        """Seconds of the whole command with the steps that ship."""
        missing = self.recipe.shipped_steps - self.steps
        return self.command_seconds + missing * self.seconds_a_step


def main() -> None:
    asked = arguments()
    write_held_out(asked.data, asked.held_out)
    lines = [
        "| training | seconds a step | steps shipped | projected, all in all | peak memory |",
        "|---|---:|---:|---:|---:|",
    ]
    for recipe in recipes(asked):
        lines.append(line(cost(recipe, asked)))
        print(lines[-1], flush=True)
    if asked.write:
        RESULTS.write_text(document(lines, asked.steps), encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--map", type=Path, required=True, help="a finished run of stage 1")
    parser.add_argument("--isa", type=Path, help="a finished run of ISA, trained on together")
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def recipes(asked: argparse.Namespace) -> list[Recipe]:
    data = [word for name in SOURCES for word in ("--data", str(asked.held_out / name))]
    # Dev queries cost no step, but they decide which pictures are left out: the cache's name.
    names = ("catalogue", "fashion-recolour", "pacs-domains")
    data += [word for name in names for word in ("--dev", str(asked.held_out / f"{name}-dev"))]
    steering = ("objective.steering.phrase_weight=1.0", "objective.steering.phrase_share=0.5")
    trained = ("light.trained_blocks=2", "objective.encoder_rate=0.0003")
    light = ("light.name=gallery", "light_vector.width=0", *trained)
    isa = (f"objective.{TEMPLATE}", *light, *steering)
    mining = tuple(f"mining.{kind}=0" for kind in ("reference", "neighbours", "text"))
    weights = (("sentence", 0.25), ("direction", 0.75), ("image", 0.5))
    blend = tuple(f"composing.blend.{name}={weight}" for name, weight in weights)
    starts = [word for run in (asked.map, asked.isa) if run for word in ("--from", str(run))]
    compose = ["compose", *starts, "--triplets", str(asked.triplets)]
    return [
        Recipe("isa", ["isa", *data], isa, 200),
        Recipe("map (stage 1)", ["map", *data], (TEMPLATE,), 200),
        Recipe("compose (stage 2)", compose, (*blend, *mining), 250),
    ]


def cost(recipe: Recipe, asked: argparse.Namespace) -> Cost:
    """Run a few steps as a command; the loop's own seconds, the process's peak memory."""
    out = Path(tempfile.mkdtemp())
    steps = (f"loop.steps={asked.steps}", f"loop.evaluate_every={asked.steps}", "loop.warmup=1")
    cache = f"cache={json.dumps(str(asked.cache.absolute()))}"
    settings = [w for one in (*recipe.settings, *steps, cache) for w in ("--set", one)]
    command = [str(Path(sys.executable).with_name("composir")), "train", *recipe.words, *settings]
    try:
        begun = time.perf_counter()
        peak = run([*command, "--out", str(out / "run")])
        taken = time.perf_counter() - begun
        record = json.loads(next((out / "run").rglob("metrics.jsonl")).read_text().splitlines()[-1])
        return Cost(recipe, record["seconds"] / record["step"], record["step"], taken, peak)
    finally:
        shutil.rmtree(out)


def run(command: Sequence[str]) -> int:
    """Peak memory of a command in bytes; its output goes to this terminal."""
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"failed with {os.waitstatus_to_exitcode(status)}: {' '.join(command)}")
    return usage.ru_maxrss * 1024


def line(one: Cost) -> str:
    return (
        f"| {one.recipe.name} | {one.seconds_a_step:.2f} | {one.recipe.shipped_steps} | "
        f"{one.projected / MINUTE:.0f} min | {one.peak_bytes / 1e9:.1f} GB |"
    )


def document(lines: Sequence[str], steps: int) -> str:
    return (
        "# What training costs\n\n"
        f"Printed by `python benchmarks/training_cost.py …` on {os.cpu_count()} cores: {steps} "
        'steps of each recipe, one evaluation included, after feature extraction; "projected" is '
        "the whole command with the steps of what ships: preparing, dev sets, table and export too."
        "\n\n" + "\n".join(lines) + "\n"
    )


if __name__ == "__main__":
    main()
