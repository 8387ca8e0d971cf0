"""Speed and room of foundation models, beside their own code on torch, in the same run.

    python benchmarks/foundations.py [--models mini,vit-b32] [--seconds 10] [--threads 2] [--write]

Checkpoints have real sizes and random weights: speed does not depend on what they say. Each becomes
a bundle as `composir models add` makes it, once as it is and once with `--quantise int8`, in a
process of its own, whose time and peak memory are measured. Random weights tell pictures hardly
apart, so int8's gate is left out here; on real weights it decides. Then all are timed by turns, a
few rounds of some seconds each, so that what else the machine does meets all alike; figures are
medians. Pictures are prepared beforehand; torch runs transformers' own towers, without gradients,
and of MobileCLIP composir's own ones, for open_clip need not be here. All that is made is kept in
`--work`. `--write` puts the rows into `results/foundations.md`; those of other models stay.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from random_checkpoints import ARCHITECTURES, write_checkpoint
from transformers import AutoModel

from composir.foundation import families, importer, quantise
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.transformers_code import quiet
from composir.model import Model, load_model
from composir.model.framing import Framing

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results" / "foundations.md"
TEXT = "the same mug in red, on a wooden table"
BATCH = 16
ROUNDS = 3
SHORT = 12
MINI = "mini"
FORMS = ("fp32", "int8")


@dataclass(frozen=True, slots=True)
class Made:
    """What adding a checkpoint took; seconds and bytes."""

    seconds: float
    peak: int


@dataclass
class Row:
    """One model's figures, by form: `fp32`, `int8` and `torch`.

    Attributes:
        title: Of the model.
        parameters: How many.
        made: What adding it took.
        megabytes: Of the bundle's image and text graphs and its words.
        images: Images a second, one figure a round.
        texts: Milliseconds a text, likewise.
    """

    title: str
    parameters: float = 0.0
    made: dict[str, Made] = field(default_factory=dict)
    megabytes: dict[str, float] = field(default_factory=dict)
    images: dict[str, list[float]] = field(default_factory=dict)
    texts: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runner:
    """One form of one model: encodes so many pictures, or one text."""

    form: str
    pictures: Callable[[int], object]
    text: Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join((MINI, *ARCHITECTURES)))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each figure in each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "foundations")
    parser.add_argument("--write", action="store_true", help="put the table into results/")
    asked = parser.parse_args()
    names = asked.models.split(",")
    if unknown := [name for name in names if name not in {MINI, *ARCHITECTURES}]:
        parser.error(f"no {unknown[0]}: there are {MINI}, {', '.join(ARCHITECTURES)}")
    torch.set_num_threads(asked.threads)
    rows = [
        measured(name, asked.work, asked.threads, asked.rounds, asked.seconds) for name in names
    ]
    text = report(rows, asked.threads)
    print(text)
    if asked.write:
        before = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
        RESULTS.write_text(with_other_rows(text, before), encoding="utf-8")


def measured(name: str, work: Path, threads: int, rounds: int, seconds: float) -> Row:
    """All figures of one model."""
    if name == MINI:
        model = load_model(MINI, threads=threads)
        row = Row(MINI)
        runners = [ours(model, "int8")]
        row.megabytes["int8"] = size_of(model)
    else:
        row = Row(ARCHITECTURES[name].title)
        checkpoint = write_checkpoint(name, work / name / "checkpoint")
        runners = [theirs(checkpoint)]
        for form in FORMS:
            bundle = work / name / form
            row.made[form] = add(checkpoint, bundle, form)
            model = load_model(bundle, threads=threads)
            row.parameters = model.manifest.efficiency["parameters"]
            row.megabytes[form] = size_of(model)
            runners.append(ours(model, form))
    for _ in range(rounds):
        for runner in runners:
            row.images.setdefault(runner.form, []).append(images_per_second(runner, seconds))
            row.texts.setdefault(runner.form, []).append(milliseconds_a_text(runner, seconds))
    print(f"{row.title}: {row.images} images/s, {row.texts} ms", file=sys.stderr)
    return row


def ours(model: Model, form: str) -> Runner:
    """A bundle, as galleries and searches use it."""
    size = model.image_spec.size
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    return Runner(
        form,
        lambda count: model.encode_pixels(pixels[:count]),
        lambda: model.encode_texts([TEXT]),
    )


def theirs(checkpoint: Path) -> Runner:
    """The same weights on torch."""
    is_open_clip = (checkpoint / "open_clip_config.json").is_file()
    return torch_towers(checkpoint) if is_open_clip else transformers_towers(checkpoint)


def transformers_towers(checkpoint: Path) -> Runner:
    """The family's own towers; texts are given as the numbers of their tokens."""
    with quiet():
        model: Any = AutoModel.from_pretrained(checkpoint).eval()
    size = model.config.vision_config.image_size
    pixels = torch.randn(BATCH, 3, size, size)
    length = model.config.text_config.max_position_embeddings
    # CLIP's tokenisers leave short texts short; SigLIP's pad all to one length.
    ids = torch.randint(3, 500, (1, length if "siglip" in model.config.model_type else SHORT))
    return Runner(
        "torch",
        lambda count: without_gradients(model.get_image_features, pixel_values=pixels[:count]),
        lambda: without_gradients(model.get_text_features, input_ids=ids),
    )


def torch_towers(checkpoint: Path) -> Runner:
    """Ours; texts are given as embeddings of words."""
    parts = families.family_named("open_clip").read(Checkpoint(checkpoint))
    size, length = parts.preprocess.size, Framing(**parts.framing).length or SHORT
    pixels = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8)
    words, end = torch.randn(1, length, parts.words.shape[1]), torch.tensor([length - 1])
    return Runner(
        "torch",
        lambda count: without_gradients(parts.image, pixels[:count]),
        lambda: without_gradients(parts.text, words, torch.ones(1, length), end),
    )


def without_gradients(run: Callable[..., object], *given: Any, **named: Any) -> object:
    with torch.inference_mode():
        return run(*given, **named)


def add(checkpoint: Path, bundle: Path, form: str) -> Made:
    """Make a bundle in a process of its own, unless it is there: then what that took is read."""
    note = bundle.with_suffix(".made")
    if not (bundle / "bundle.json").is_file():
        ways = multiprocessing.get_context("spawn")
        with ways.Pool(1) as pool:
            made = pool.apply(import_it, (checkpoint, bundle, form))
        note.write_text(f"{made.seconds} {made.peak}", encoding="utf-8")
    seconds, peak = note.read_text(encoding="utf-8").split()
    return Made(float(seconds), int(peak))


def import_it(checkpoint: Path, bundle: Path, form: str) -> Made:
    """As `composir models add`, with int8 whatever its gate says."""
    begun = time.perf_counter()
    quantise.GATE = 0.0
    how: Any = {"quantise": "int8"} if form == "int8" else {}
    importer.import_model(checkpoint, bundle, name=f"{checkpoint.parent.name}-{form}", **how)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Made(time.perf_counter() - begun, peak * (1 if sys.platform == "darwin" else 1024))


def size_of(model: Model) -> float:
    """Megabytes of what encoding reads."""
    text, image = model.manifest.text, model.manifest.image
    words = (text.words.values, text.words.scales)
    names = [name for name in (image.graph, text.graph, *words) if name]
    return sum(model.manifest.files[name].bytes for name in names) / 1e6


def images_per_second(runner: Runner, seconds: float) -> float:
    """Of full batches, after one that warms up."""
    runner.pictures(BATCH)
    begun, done = time.perf_counter(), 0
    while not done or time.perf_counter() - begun < seconds:
        runner.pictures(BATCH)
        done += BATCH
    return done / (time.perf_counter() - begun)


def milliseconds_a_text(runner: Runner, seconds: float) -> float:
    """Median of single texts."""
    runner.text()
    taken: list[float] = []
    begun = time.perf_counter()
    while len(taken) < 5 or (time.perf_counter() - begun < seconds / 4 and len(taken) < 200):
        started = time.perf_counter()
        runner.text()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def report(rows: Sequence[Row], threads: int) -> str:
    """The page of results."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {threads} threads"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    parts = [
        "# Foundation models: speed and room\n",
        f"Printed by `python benchmarks/foundations.py`; {machine}, {versions}. Random weights of "
        "real sizes, pictures prepared beforehand, medians of rounds by turns; torch runs "
        f"transformers' towers (of MobileCLIP ours) in float32, with batches of {BATCH}. Rows may "
        "be of several days and machines: compare within one.\n",
        "## Speed\n",
        speed(rows),
        "## Adding\n",
        "Seconds and peak memory of `composir models add` from a local folder, parity and fitted "
        "settings included; megabytes that encoding reads.\n",
        room(rows),
    ]
    return "\n".join(parts)


def with_other_rows(text: str, before: str) -> str:
    """A page with the rows of an earlier one about models that were not measured now."""
    made = []
    for section, earlier in zip_longest(text.split("\n## "), before.split("\n## "), fillvalue=""):
        lines = section.split("\n")
        known = {line.split("|")[1] for line in lines if line.startswith("|")}
        others = [
            line
            for line in earlier.splitlines()
            if line.startswith("|") and line.split("|")[1] not in known
        ]
        place = next((at for at, line in enumerate(lines) if line.startswith("| ---")), -1) + 1
        made.append("\n".join([*lines[:place], *others, *lines[place:]]))
    return "\n## ".join(made)


def speed(rows: Sequence[Row]) -> str:
    """Images a second and milliseconds a text."""
    lines = [
        "| model | images/s fp32 | int8 | torch | fp32 / torch | int8 / torch "
        "| ms a text fp32 | int8 | torch |",
        f"| --- |{' ---: |' * 8}",
    ]
    for row in rows:
        images = {form: statistics.median(found) for form, found in row.images.items()}
        texts = {form: statistics.median(found) for form, found in row.texts.items()}
        cells = [
            *(shown(images.get(form), "{:.1f}") for form in (*FORMS, "torch")),
            *(shown(ratio(images, form), "{:.2f}") for form in FORMS),
            *(shown(texts.get(form), "{:.1f}") for form in (*FORMS, "torch")),
        ]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def room(rows: Sequence[Row]) -> str:
    """What adding takes, and what comes of it."""
    lines = [
        "| model | parameters | MB fp32 | int8 | s to add fp32 | int8 | peak GB fp32 | int8 |",
        f"| --- |{' ---: |' * 7}",
    ]
    for row in rows:
        made = [row.made.get(form) for form in FORMS]
        cells = [
            shown(row.parameters / 1e6 or None, "{:.0f} M"),
            *(shown(row.megabytes.get(form), "{:.0f}") for form in FORMS),
            *(shown(one.seconds if one else None, "{:.0f}") for one in made),
            *(shown(one.peak / 1e9 if one else None, "{:.1f}") for one in made),
        ]
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def ratio(images: Mapping[str, float], form: str) -> float | None:
    return images[form] / images["torch"] if {form, "torch"} <= images.keys() else None


def shown(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


if __name__ == "__main__":
    main()
