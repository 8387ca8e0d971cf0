"""Prints the tables of all composers into docs/results.md, with one page to look at.

Every set is reported on queries that nothing was trained or tuned on: the catalogue's test split,
held-out title groups of the fashion set, held-out pictures of PACS (benchmarks/held_out.py). Each
of these has a dev part on which alpha is tuned for it; beside it stands the bundle's own default,
one setting for all sets. Data sets that are not there are named and left out.

    python benchmarks/quality.py --data FOLDER [--model NAME] [--out docs/results.md]

FOLDER holds the unpacked development data (else COMPOSIR_DATA is asked).
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from held_out import write_held_out

from composir.bench.compare import Section, sections
from composir.bench.report.text_files import to_markdown
from composir.bench.run import VectorSource, load_tasks, prepare
from composir.bench.suite import Method, Plan, RunOutput, result_name, run_plan
from composir.bench.task import LoadOptions
from composir.bench.tune import Tuned, parse_grid, tune
from composir.encode.feature_store import FeatureStore
from composir.errors import QueryError
from composir.model import Model, load_model
from composir.model.base import EmbeddingModel
from composir.pages.bench_report import bench_report

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
FIXED = ("image", "text", "product", "replace", "direction")
TUNED = ("sum", "slerp")
SENTENCE_ALONE: dict[str, float | int | str] = {
    "sentence": 1.0,
    "direction": 0.0,
    "image": 0.0,
    "text": 0.0,
}
FOLDERS = ("fashion-recolour", "pacs-domains")
TRAINED_ON = (
    "No picture or title group that is asked about here was trained on, but others of the same "
    "kinds were: the training parts of fashion and PACS by all trained composers, and renders of "
    "other things by the catalogue's own renderer by `compose`, `isa` and `isa-compose` "
    "([how they were made](training.md))."
)
BLENDS = (
    "Blends of trained composers were chosen on the same three dev parts together, one setting for "
    "all sets, by the mean of recall@10 and mAP@10 (`composir train blend`); alpha by recall@10."
)
WORDS_ALONE = "flickr8k-dev"


@dataclass(frozen=True, slots=True)
class Report:
    """What was run, and what was tuned for it."""

    outputs: list[RunOutput]
    tuned: list[Tuned]


def main() -> None:
    asked = arguments()
    model = load_model(asked.model)
    cache = FeatureStore(asked.cache)
    report = run_all(asked, model, cache)
    outputs = report.outputs
    shown = sections([result for one in outputs for result in one.results])
    for one in outputs:
        for result in one.results:
            result.save(asked.runs / result_name(result))
    tasks = {part.task.name: part.task for one in outputs for part in one.prepared}
    asked.out.write_text(document(shown, report.tuned, asked.model), encoding="utf-8")
    page = asked.runs / "quality.html"
    page.write_text(bench_report(shown, tasks, title="composir: all composers"), encoding="utf-8")
    print(f"wrote {asked.out} and {page}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables of all composers.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    return parser.parse_args()


def run_all(asked: argparse.Namespace, model: Model, cache: FeatureStore) -> Report:
    report = Report([], [])
    for dev, test in reported_sets(asked):
        tuned = tuned_on(dev, model, cache)
        methods = tuple(Method(one.composer, one.settings, one) for one in tuned)
        methods += tuple(Method(name, {}) for name in untuned(model))
        # Every composed sentence alone too, as papers compare mappings and composing.
        methods += tuple(Method(name, SENTENCE_ALONE) for name in model.composer_folders())
        report.tuned.extend(tuned)
        report.outputs.extend(run(replace(test, methods=methods), asked, model, cache))
    if asked.data is not None:
        for plan in sets_without_dev(asked.data):
            report.outputs.extend(run(plan, asked, model, cache))
    return report


def untuned(model: Model) -> tuple[str, ...]:
    """The bundle's default with its one setting for all sets, what has none, what is packaged."""
    return tuple(dict.fromkeys((model.default_composer, "sum", *FIXED, *model.composer_folders())))


def reported_sets(asked: argparse.Namespace) -> list[tuple[Plan, Plan]]:
    """Dev and test part of every set that has both."""
    pairs = [(own(CATALOGUE, "dev"), own(CATALOGUE, "test"))]
    if asked.data is None:
        print("left out: everything but the catalogue (no --data)")
        return pairs
    write_held_out(asked.data, asked.held_out)
    return pairs + [
        (own(asked.held_out / f"{name}-dev"), own(asked.held_out / f"{name}-test"))
        for name in FOLDERS
    ]


def own(folder: Path, split: str | None = None) -> Plan:
    return Plan((str(folder),), (), options=LoadOptions(split))


def sets_without_dev(data: Path) -> list[Plan]:
    """The text proxy of CIRR with the bundle's settings, and words alone on flickr8k-dev."""
    proxy = LoadOptions("val", text_proxy=True)
    methods = tuple(Method(name, {}) for name in ("sum", "slerp", *FIXED))
    words = (Method("text", {}),)
    return [
        Plan(("cirr",), methods, root=data / "annotations", options=proxy),
        Plan((str(data / WORDS_ALONE),), words, options=LoadOptions()),
    ]


def tuned_on(dev: Plan, model: EmbeddingModel, cache: FeatureStore) -> list[Tuned]:
    tasks = load_tasks(dev.datasets[0], None, dev.options)[2]
    prepared = [prepare(task, VectorSource(model, cache=cache)) for task in tasks]
    grid = parse_grid(["alpha=0:1:0.05"])
    return [tune(prepared, model, name, grid, "recall@10") for name in TUNED]


def run(
    plan: Plan, asked: argparse.Namespace, model: EmbeddingModel, cache: FeatureStore
) -> list[RunOutput]:
    return (
        list(run_plan(replace(plan, model=asked.model), model, cache=cache)) if there(plan) else []
    )


def there(plan: Plan) -> bool:
    """Whether a plan's data is there; says so if it is not."""
    place = plan.root or Path(plan.datasets[0])
    if not place.is_dir():
        print(f"left out: {plan.datasets[0]} (no {place})")
    return place.is_dir()


def document(shown: Sequence[Section], tuned: Sequence[Tuned], model: str) -> str:
    header = shown[0].results[0].header
    if header.model is None:
        raise QueryError("results without a model have no place in this document")
    versions = ", ".join(f"{name} {version}" for name, version in header.packages.items())
    lines = [
        "# Results",
        "",
        f"Printed by `python benchmarks/quality.py --model {model}` on {header.date[:10]}; "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {header.python}, {versions}. "
        f"Bundle {header.model.name}, fingerprint `{header.model.fingerprint}`. Protocols and the "
        f"meaning of every column: [bench.md](bench.md).",
        "",
        TRAINED_ON,
        "",
        *chosen(tuned),
    ]
    for section in shown:
        checksum = section.results[0].header.checksum[:16]
        lines += ["", f"## {section.title}", "", to_markdown(section)]
        lines.append(f"Annotations: SHA-256 `{checksum}…`.")
    return "\n".join(lines) + "\n"


def chosen(tuned: Sequence[Tuned]) -> list[str]:
    """Which settings were tuned where."""
    lines = [
        f"- {one.dataset}, {one.split}: {one.composer} alpha {one.settings['alpha']:g} "
        f"({len(one.keys):,} distinct queries, best {one.metric} of {len(one.trials)} points)"
        for one in tuned
    ]
    return [
        "Chosen on dev parts, each for the test part of the same set; a row without alpha in its "
        "name uses the bundle's one setting for all sets:",
        "",
        *lines,
        "",
        BLENDS,
    ]


if __name__ == "__main__":
    main()
