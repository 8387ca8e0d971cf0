"""Prints the tables of all composers into docs/results.md, with one page to look at.

Settings are chosen first, on the catalogue's dev split; every set below reports queries that were
not tuned on. Data sets that are not there are named and left out.

    python benchmarks/quality.py --data FOLDER [--model NAME] [--out docs/results.md]

FOLDER holds the unpacked development data (else COMPOSIR_DATA is asked).
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from composir.bench.compare import Section, sections
from composir.bench.report.page import to_html
from composir.bench.report.text_files import to_markdown
from composir.bench.run import Source, load_tasks, prepare
from composir.bench.suite import Method, Plan, Played, result_name, run_plan
from composir.bench.task import LoadOptions
from composir.bench.tune import Tuned, parse_grid, tune
from composir.bench.vectors import VectorCache
from composir.errors import QueryError
from composir.model import load_model
from composir.model.base import EmbeddingModel

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = ROOT / "examples" / "catalogue"
FIXED = ("image", "text", "product")
TUNED = ("sum", "slerp")
FOLDERS = ("fashion-recolour", "pacs-domains")
WORDS_ALONE = "flickr8k-dev"


def main() -> None:
    asked = arguments()
    model = load_model(asked.model)
    cache = VectorCache(asked.cache)
    tuned = tuned_on_catalogue(model, cache)
    played = run_all(asked, model, cache, tuned)
    shown = sections([result for one in played for result in one.results])
    for one in played:
        for result in one.results:
            result.save(asked.runs / result_name(result))
    tasks = {part.task.name: part.task for one in played for part in one.prepared}
    asked.out.write_text(document(shown, tuned, asked.model), encoding="utf-8")
    page = asked.runs / "quality.html"
    page.write_text(to_html(shown, tasks, title="composir: all composers"), encoding="utf-8")
    print(f"wrote {asked.out} and {page}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tables of all composers.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--model", default="mini")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results.md")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors.sqlite")
    return parser.parse_args()


def tuned_on_catalogue(model: EmbeddingModel, cache: VectorCache) -> list[Tuned]:
    tasks = load_tasks(str(CATALOGUE), None, LoadOptions("dev"))[2]
    prepared = [prepare(task, Source(model, cache=cache)) for task in tasks]
    grid = parse_grid(["alpha=0:1:0.05"])
    return [tune(prepared, model, name, grid, "recall@10") for name in TUNED]


def run_all(
    asked: argparse.Namespace, model: EmbeddingModel, cache: VectorCache, tuned: Sequence[Tuned]
) -> list[Played]:
    methods = tuple(Method(one.composer, one.settings, one) for one in tuned)
    methods += tuple(Method(name, {}) for name in FIXED)
    plan = Plan((str(CATALOGUE),), methods, model=asked.model, options=LoadOptions("test"))
    plans = [plan]
    if asked.data is None:
        print("left out: everything but the catalogue (no --data)")
    else:
        folders = [asked.data / name for name in FOLDERS]
        plans += [replace(plan, datasets=(str(f),), options=LoadOptions()) for f in folders]
        proxy = LoadOptions("val", text_proxy=True)
        cirr = asked.data / "annotations"
        plans.append(replace(plan, datasets=("cirr",), root=cirr, options=proxy))
        words = (Method("text", {}),)
        flickr = str(asked.data / WORDS_ALONE)
        plans.append(replace(plan, datasets=(flickr,), methods=words, options=LoadOptions()))
    return [one for each in plans if there(each) for one in run_plan(each, model, cache=cache)]


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
        *chosen(tuned),
    ]
    for section in shown:
        checksum = section.results[0].header.checksum[:16]
        lines += ["", f"## {section.title}", "", to_markdown(section)]
        lines.append(f"Annotations: SHA-256 `{checksum}…`.")
    return "\n".join(lines) + "\n"


def chosen(tuned: Sequence[Tuned]) -> list[str]:
    found = "; ".join(
        f"{one.composer} alpha {one.settings['alpha']:g}" for one in tuned if one.settings
    )
    first = tuned[0]
    return [
        f"Settings chosen on {first.dataset}, {first.split} ({len(first.keys):,} distinct queries, "
        f"best {first.metric} of {len(first.trials)} points): {found}. They are not tuned again "
        f"for the sets below.",
    ]


if __name__ == "__main__":
    main()
