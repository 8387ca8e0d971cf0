"""Prints the tables of all composers into docs/results.md, with one page to look at.

    python benchmarks/quality.py --data FOLDER [--trained FILE] [--model NAME]

FOLDER holds the unpacked development data (else COMPOSIR_DATA is asked). What comes first is
**leave-one-domain-out**: whatever is reported on a domain was chosen on dev parts of the others
(`leave_one_out.py`), and composers that FILE names were trained without it (`trained_without.py`),
several runs of one as mean and spread. Then come the bundle's own settings beside alpha tuned on
the dev part of the same set, and sentences alone. All are on queries that nothing was trained or
tuned on (`held_out.py`). Data sets that are not there are named and left out.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from held_out import Domain, domains, write_held_out
from leave_one_out import GRIDS, Choices
from quality_tables import Compared, document
from trained_without import Trained, read_trained

from composir.bench.compare import sections
from composir.bench.evaluation import VectorSource, load_tasks, prepare
from composir.bench.suite import Method, Plan, RunOutput, result_path, run_plan
from composir.bench.task import LoadOptions
from composir.bench.tune import Tuned, parse_grid, tune
from composir.compose.trained import ComposerFolder
from composir.encode.feature_store import FeatureStore
from composir.model import Model, load_model
from composir.model.base import EmbeddingModel
from composir.pages.bench_report import bench_report
from composir.train.blend import TERMS

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
FIXED = ("image", "text", "product")
TUNED = ("sum", "slerp")
SENTENCE_ALONE: dict[str, float | int | str] = {name: float(name == "sentence") for name in TERMS}
WORDS_ALONE = "flickr8k-dev"


@dataclass(frozen=True, slots=True)
class Report:
    """What was run.

    Attributes:
        compared: Leave-one-domain-out, one a test set.
        trained: By domain, what it was reported with.
        own: The bundle's settings beside what was tuned on the same set.
        tuned: What was tuned for it.
        others: The text proxy, and words alone.
    """

    compared: list[Compared]
    trained: Mapping[str, Trained]
    own: list[RunOutput]
    tuned: list[Tuned]
    others: list[RunOutput]

    @property
    def outputs(self) -> list[RunOutput]:
        """All of it."""
        return [*(one.output for one in self.compared), *self.own, *self.others]


def main() -> None:
    asked = arguments()
    write_held_out(asked.data, asked.held_out)
    known = {one.name: one for one in domains(asked.held_out)}
    report = Report([], read_trained(asked.trained, asked.model, set(known)), [], [], [])
    try:
        run_all(report, known, asked, FeatureStore(asked.cache))
    finally:  # stopped early, it has told of whole test parts
        if report.compared:
            text = document(
                report.compared, report.trained, report.own, report.tuned, report.others
            )
            asked.out.write_text(text, encoding="utf-8")
    tasks = {part.task.name: part.task for one in report.outputs for part in one.prepared}
    shown = sections([result for one in report.outputs for result in one.results])
    page = asked.runs / "quality.html"
    page.write_text(bench_report(shown, tasks, title="composir: all composers"), encoding="utf-8")
    print(f"wrote {asked.out} and {page}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables of all composers.")
    data = os.environ.get("COMPOSIR_DATA")
    parser.add_argument("--data", type=Path, default=data, required=not data)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--trained", type=Path, help="what was trained without a domain (JSON)")
    parser.add_argument("--domain", action="append", help="only this; repeatable")
    parser.add_argument("--composer", action="append", help="only these trained ones; repeatable")
    parser.add_argument("--primary", action="store_true", help="leave-one-domain-out alone")
    parser.add_argument("--no-costs", action="store_true", help="measure no costs")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--held-out", type=Path, default=ROOT / ".cache" / "held-out")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    return parser.parse_args()


def run_all(
    report: Report, known: Mapping[str, Domain], asked: argparse.Namespace, cache: FeatureStore
) -> None:
    """Fill the report, one test part after the other."""
    names = {asked.model, *(one.model for one in report.trained.values())}
    models = {name: load_model(name) for name in names}
    choices = {name: Choices(model, asked.held_out, asked.cache) for name, model in models.items()}
    for name in asked.domain or known:
        used = report.trained[name]
        without = methods_without(asked, name, used, choices[used.model])
        run_domain(known[name], without, report, asked, models, cache)
    for plan in () if asked.primary else sets_without_dev(asked.data):
        if there(plan):
            lists = [(asked.model, plan.methods)]
            report.others.extend(run(replace(plan, costs=False), lists, models, cache))


def run_domain(
    domain: Domain,
    without: Sequence[tuple[str, Method]],
    report: Report,
    asked: argparse.Namespace,
    models: Mapping[str, Model],
    cache: FeatureStore,
) -> None:
    """Add a domain's test parts to the report; costs are measured on the first part of all."""
    lists = [(report.trained[domain.name].model, [method for _, method in without])]
    if not asked.primary:
        tuned = tuned_on(own(domain.dev), models[asked.model], cache)
        lists.append((asked.model, own_methods(tuned, models[asked.model])))
        report.tuned.extend(tuned)
    for test in domain.tests:
        costs = not (asked.no_costs or report.compared)
        first, *second = run(replace(own(test), costs=costs), lists, models, cache)
        report.compared.append(Compared(domain.name, first, tuple(name for name, _ in without)))
        report.own.extend(second)
        for result in (result for output in (first, *second) for result in output.results):
            result.save(result_path(asked.runs, result))


def run(
    plan: Plan,
    lists: Sequence[tuple[str, Sequence[Method]]],
    models: Mapping[str, Model],
    cache: FeatureStore,
) -> list[RunOutput]:
    """Run each list of methods with its model; those of one model encode what they share once."""
    told(f"{plan.datasets[0]}: {sum(len(methods) for _, methods in lists)} methods")
    outputs: dict[str, RunOutput] = {}
    for name in dict.fromkeys(name for name, _ in lists):
        methods = tuple(one for model, some in lists if model == name for one in some)
        (outputs[name],) = run_plan(
            replace(plan, model=name, methods=methods), models[name], cache=cache
        )
    results = {name: iter(output.results) for name, output in outputs.items()}
    return [
        replace(outputs[name], results=tuple(islice(results[name], len(methods))))
        for name, methods in lists
    ]


def told(what: str) -> None:
    """Say what is going on: all of it takes the better part of an hour."""
    print(f"{datetime.now():%H:%M:%S} {what}", flush=True)


def methods_without(
    asked: argparse.Namespace, domain: str, used: Trained, choices: Choices
) -> list[tuple[str, Method]]:
    """All composers for a domain, by name; runs of one have the same."""
    found = [(name, Method(name, choices.arithmetic(name, domain))) for name in GRIDS]
    found += [(name, Method(name, {})) for name in FIXED]
    for name, folders in used.runs(choices.model).items():
        if asked.composer and name not in asked.composer:
            continue
        ships = choices.model.composer_folders().get(name)
        for folder in folders:
            composer = name if folder == ships else str(folder)
            blend = choices.blend(folder, domain, fixed_weights(ships or folder))
            found.append((name, Method(composer, blend)))
            told(f"without {domain}: {found[-1][1]}")
    return found


def fixed_weights(folder: Path) -> dict[str, float]:
    """Weights that a composer's recipe did not search, as its record says (`train blend --fix`)."""
    chosen = ComposerFolder.load(folder).manifest.training.get("blend", {})
    return dict(chosen.get("fixed", {}))


def own_methods(tuned: Sequence[Tuned], model: Model) -> list[Method]:
    """The bundle's settings, alpha tuned on the set's own dev part, and sentences alone."""
    methods = [Method(one.composer, one.settings, one) for one in tuned]
    methods += [Method(name, {}) for name in untuned(model)]
    # Every composed sentence alone too, as papers compare mappings and composing.
    return methods + [Method(name, SENTENCE_ALONE) for name in model.composer_folders()]


def untuned(model: Model) -> tuple[str, ...]:
    """The bundle's default with its one setting for all sets, and what else it has settings for."""
    names = (model.default_composer, *GRIDS, *FIXED, *model.composer_folders())
    return tuple(dict.fromkeys(names))


def own(folder: Path, split: str | None = None) -> Plan:
    return Plan((str(folder),), (), options=LoadOptions(split))


def sets_without_dev(data: Path) -> list[Plan]:
    """The text proxy of CIRR with the bundle's settings, and words alone on flickr8k-dev."""
    proxy = LoadOptions("val", text_proxy=True)
    methods = tuple(Method(name, {}) for name in (*GRIDS, *FIXED))
    words = (Method("text", {}),)
    return [
        Plan(("cirr",), methods, root=data / "annotations", options=proxy),
        Plan((str(data / WORDS_ALONE),), words, options=LoadOptions()),
    ]


def tuned_on(dev: Plan, model: EmbeddingModel, cache: FeatureStore) -> list[Tuned]:
    tasks = load_tasks(dev.datasets[0], None, dev.options)[2]
    prepared = [prepare(task, VectorSource(model, cache=cache)) for task in tasks]
    return [tune(prepared, model, name, parse_grid(GRIDS[name])) for name in TUNED]


def there(plan: Plan) -> bool:
    """Whether a plan's data is there; says so if it is not."""
    place = plan.root or Path(plan.datasets[0])
    if not place.is_dir():
        print(f"left out: {plan.datasets[0]} (no {place})")
    return place.is_dir()


if __name__ == "__main__":
    main()
