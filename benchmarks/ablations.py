"""One choice at a time: short runs of ISA, mapping and composing, scored on dev parts.

    python benchmarks/ablations.py isa|map|compose|count|texts --data FOLDER --cache FOLDER
        [--triplets FILE] [--text-triplets FILE] [--from RUN]

Each run is a `composir train` with one setting changed and fewer steps than what ships; a run that
is finished is not repeated. Scores are R@10 on the *dev* parts of the three sets (catalogue,
fashion title groups, PACS), as the composed sentence alone, as the best blend of what its tokens
and the words give (all that a device sends), and as the best blend with the reference's vector.
Nothing here touches a test part. Prints a table and writes it to docs/ablations/NAME.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from held_out import write_held_out

from composir.compose.blend import BlendWeights
from composir.model import Model, load_model
from composir.train.blend import choose_weights
from composir.train.blend_trials import BlendTrials
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.recipe import train_composing
from composir.train.config import read_config
from composir.train.dev_set import DevSet, composer_terms, open_dev_set
from composir.train.isa.recipe import IsaConfig, train_isa
from composir.train.mapping.recipe import MapConfig, train_map

ROOT = Path(__file__).resolve().parents[1]
SETS = ("flickr8k", "fashion-recolour", "pacs-domains", "grocery", "clothing")
SOURCES = tuple(f"{name}-described" for name in SETS)
DEV = ("catalogue-dev", "fashion-recolour-dev", "pacs-domains-dev")
TEMPLATE = 'composed_template="a photo of {} {text}"'
Changes = Mapping[str, Sequence[str]]

COMPOSING = (
    "composing.blend.sentence=0.25",
    "composing.blend.direction=0.75",
    "composing.blend.image=0.5",
    "mining.reference=0",
    "mining.neighbours=0",
    "mining.text=0",
)
# What the packaged composers were trained with, where it is not the default; ISA with its light
# network frozen and without a vector of its own, so that tokens alone are compared.
SHIPPED: Changes = {
    "isa": (
        f"objective.{TEMPLATE}",
        "light.name=gallery",
        "objective.steering.phrase_weight=1.0",
        "objective.steering.phrase_share=0.5",
        "light_vector.weight=0",
    ),
    "map": (TEMPLATE,),
    "compose": COMPOSING,
    "count": COMPOSING,
    "texts": COMPOSING,
}

ISA: Changes = {
    "all as it is, 4 tokens": (),
    "1 token": ("token_learner.num_tokens=1",),
    "2 tokens": ("token_learner.num_tokens=2",),
    "8 tokens": ("token_learner.num_tokens=8",),
    "12 tokens": ("token_learner.num_tokens=12",),
    "perceptron instead of token learner": ('token_learner.kind="mlp"',),
    "softmax over tokens": ('token_learner.softmax="tokens"',),
    "no refinement": ("token_learner.refinement_blocks=0",),
    "GCD without contrast": ("objective.gcd.contrastive_weight=0",),
    "GCD without distillation": ("objective.gcd.distillation_weight=0",),
    "no queue": ("objective.gcd.queue=0",),
    "no LAR": ("objective.lar.weight=0",),
    "no phrases (paper)": ("objective.steering.phrase_weight=0",),
    "symmetric": ('side="symmetric"',),
}
MAP: Changes = {
    "all as it is": (),
    "no injection": ("mapper.injection_layers=0",),
    "no soft text alignment": ("objective.alignment=0",),
    "no phrases beside the word (paper)": ("objective.steering.phrase_weight=0",),
    "phrases replace nothing": ("objective.steering.replaced=0",),
    "none of these (Pic2Word's objective)": (
        "mapper.injection_layers=0",
        "objective.alignment=0",
        "objective.steering.phrase_weight=0",
    ),
    "2 tokens": ("mapper.tokens=2",),
}
COMPOSE: Changes = {
    "all as it is": (),
    "the reference as hard negative": ("mining.reference=1",),
    "neighbours as hard negatives": ("mining.neighbours=4",),
    "images that fit the text as hard negatives": ("mining.text=4",),
    "all hard negatives": ("mining.reference=1", "mining.neighbours=4", "mining.text=4"),
    "no anchor": ("composing.anchor_weight=0",),
    "LoRA": ('adapters.kind="lora"', "adapters.width=16"),
    "words say nothing of appearance": ("adapters.appearance=0",),
    "trained as a sentence alone": (
        "composing.blend.sentence=1",
        "composing.blend.direction=0",
        "composing.blend.image=0",
    ),
    "trained as a sentence with v": (
        "composing.blend.sentence=1",
        "composing.blend.direction=0",
        "composing.blend.image=1.2",
    ),
}
COUNT: Changes = {
    "all" if count is None else str(count): (f"max_triplets={-1 if count is None else count}",)
    for count in (0, 250, 1000, 4000, None)
}
TEXTS: Changes = {
    "all" if count is None else str(count): (f"max_text_triplets={-1 if count is None else count}",)
    for count in (0, 1000, 10_000, 100_000, None)
}
GROUPS: Mapping[str, Changes] = {
    "isa": ISA,
    "map": MAP,
    "compose": COMPOSE,
    "count": COUNT,
    "texts": TEXTS,
}


@dataclass(frozen=True, slots=True)
class Bench:
    """What every run is scored on."""

    model: Model
    dev: Sequence[DevSet]


def main() -> None:
    asked = arguments()
    write_held_out(asked.data, asked.held_out)
    model = load_model("mini")
    dev = [open_dev_set(asked.held_out / name, model, asked.cache) for name in DEV]
    bench = Bench(model, dev)
    changes = GROUPS[asked.group]
    chosen = {n: c for n, c in changes.items() if not asked.only or n in asked.only}
    rows = []
    for name, settings in chosen.items():
        folder = train(asked, name, settings)
        rows.append(scored(bench, name, folder))
        print(rows[-1], flush=True)
    write(asked, rows)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ablations on dev parts.")
    parser.add_argument("group", choices=tuple(GROUPS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "ablations")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--triplets", type=Path, help="for compose, count and texts")
    parser.add_argument("--text-triplets", type=Path, help="beside them or alone, for the same")
    parser.add_argument("--from", dest="start", type=Path, help="stage 1, for the same")
    parser.add_argument("--label", default="", help="of this series, e.g. the kind of triplets")
    parser.add_argument("--only", action="append", help="run these alone; repeat")
    return parser.parse_args()


def train(asked: argparse.Namespace, name: str, settings: Sequence[str]) -> Path:
    """Train one run unless it is there with the same settings; its composer's folder.

    Raises:
        SystemExit: If a run of that name had other settings.
    """
    label = f"{asked.group}{'-' + asked.label if asked.label else ''}"
    out: Path = asked.runs / f"{label}-{name.replace(' ', '-').replace(',', '')}"
    composer = out / "composer"
    runner, common = RUNNERS[asked.group]
    wanted = [*common(asked), *SHIPPED[asked.group], *settings]
    record = out / "ablation.json"
    if not (composer / "composer.json").exists():
        runner(asked, wanted, out)
        record.write_text(json.dumps(wanted), encoding="utf-8")
    elif not record.exists() or json.loads(record.read_text(encoding="utf-8")) != wanted:
        raise SystemExit(f"{out} is a run of other settings: choose another --runs")
    return composer


def run_isa(_asked: argparse.Namespace, settings: Sequence[str], out: Path) -> None:
    train_isa(read_config(IsaConfig, None, settings), out, print)


def run_map(_asked: argparse.Namespace, settings: Sequence[str], out: Path) -> None:
    train_map(read_config(MapConfig, None, settings), out, print)


def run_compose(_asked: argparse.Namespace, settings: Sequence[str], out: Path) -> None:
    train_composing(read_config(ComposeConfig, None, settings), out, print)


def loop(asked: argparse.Namespace) -> list[str]:
    steps = asked.steps
    return [
        f"loop.steps={steps}",
        f"loop.evaluate_every={steps}",
        f"loop.checkpoint_every={steps}",
        f"cache={json.dumps(str(asked.cache))}",
    ]


def with_data(asked: argparse.Namespace, key: str) -> list[str]:
    folders = json.dumps([str(asked.held_out / name) for name in SOURCES])
    dev = json.dumps([str(asked.held_out / name) for name in DEV])
    return [f"{key}={folders}", f"dev={dev}", *loop(asked)]


def with_triplets(asked: argparse.Namespace) -> list[str]:
    files = {"triplets": asked.triplets, "text_triplets": asked.text_triplets}
    named = [f"{key}={json.dumps([str(file)])}" for key, file in files.items() if file]
    return [*named, f"start={json.dumps(str(asked.start))}", *loop(asked)]


Runner = Callable[[argparse.Namespace, Sequence[str], Path], None]
RUNNERS: Mapping[str, tuple[Runner, Callable[[argparse.Namespace], list[str]]]] = {
    "isa": (run_isa, lambda asked: with_data(asked, "data")),
    "map": (run_map, lambda asked: with_data(asked, "sources.data")),
    "compose": (run_compose, with_triplets),
    "count": (run_compose, with_triplets),
    "texts": (run_compose, with_triplets),
}


def scored(bench: Bench, name: str, folder: Path) -> dict[str, Any]:
    """R@10 by dev set of the sentence alone, and the mean of both best blends."""
    dev = [BlendTrials(one, composer_terms(folder, bench.model, one)) for one in bench.dev]
    alone = [one.scores([BlendWeights()])[0][0] for one in dev]
    device = choose_weights(dev, {"image": 0.0})
    best = choose_weights(dev)
    return {
        "run": name,
        "alone": alone,
        "device": list(device.scores.values()),
        "best": list(best.scores.values()),
        "weights": {key: value for key, value in best.settings.items() if value},
    }


def write(asked: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> None:
    """A table: mean, and by set (catalogue / fashion / PACS)."""
    label = f"{asked.group}{'-' + asked.label if asked.label else ''}"
    lines = [
        f"# Ablations: {label}",
        f"`python benchmarks/ablations.py {asked.group} …`, {asked.steps} steps a run. R@10 in "
        "percent on dev parts: mean (catalogue / fashion / PACS). One seed: differences below "
        "about two points are noise.",
        "",
        "| run | sentence alone | best blend of tokens and words | best blend with v |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {row['run']} | {cell(row['alone'])} | {cell(row['device'])} | {cell(row['best'])} |"
        for row in rows
    ]
    place = ROOT / "docs" / "ablations" / f"{label}.md"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def cell(scores: Sequence[float]) -> str:
    each = " / ".join(f"{score:.1f}" for score in scores)
    return f"{sum(scores) / len(scores):.1f} ({each})"


if __name__ == "__main__":
    main()
