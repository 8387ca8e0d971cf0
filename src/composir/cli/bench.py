"""`composir bench`: measure composers on benchmarks or on data of your own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from composir.cli import bench_options as options
from composir.cli import models
from composir.cli.options import DeviceOption, JsonOption, ModelOption, ThreadsOption
from composir.cli.paths import vector_cache
from composir.cli.progress import stage_progress
from composir.cli.terminal import echo, note, print_json, printable

if TYPE_CHECKING:
    from composir.bench.compare import Section
    from composir.bench.results import Result
    from composir.bench.suite import Method, RunOutput
    from composir.bench.task import BenchTask

_RUN = "run"
_ENCODING = "encoding images"


class _RunUnlessNamed(TyperGroup):
    """`composir bench cirr ...` runs; only `compare`, `tune`, `rerun`, `list` need their name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="bench",
    cls=_RunUnlessNamed,
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Measure composers on benchmarks or on data of your own: "
    "`composir bench DATASET... --composer NAME`. Its options: `composir bench run --help`.",
    epilog="`composir bench list`\n\n"
    "`composir bench my-data/ --composer compose --composer sum:alpha=0.6 --html report.html`\n\n"
    "`composir bench compare runs/*.json`",
)


@app.command(name=_RUN)
def run_command(
    datasets: options.Datasets,
    composers: options.Composers = None,
    root: options.Root = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    split: options.Split = None,
    variant: options.Variant = None,
    text_proxy: options.Proxy = False,
    vectors: options.Vectors = None,
    query_vectors: options.QueryVectors = None,
    tuned: options.Tuned = None,
    allow_missing: options.AllowMissing = False,
    submission: options.Submission = None,
    out: options.Out = Path("runs"),
    html: options.Html = None,
    csv: options.Csv = None,
    seed: options.Seed = 0,
    resamples: options.Resamples = 1000,
    read_negation: options.ReadNegation = False,
    no_cache: options.NoCache = False,
    json: JsonOption = False,
) -> None:
    """Run composers on data sets: `composir bench DATASET... --composer NAME`."""
    from composir.bench.suite import Plan, run_plan
    from composir.bench.task import LoadOptions
    from composir.data.outputs import check_folder

    _check_reports(html, csv)
    check_folder(out, "--out")
    if submission is not None:
        check_folder(submission, "--submission")
    compute = models.Compute(threads, device)
    encoder = None if query_vectors else models.resolve_model(model, compute)
    plan = Plan(
        datasets=tuple(datasets),
        methods=() if encoder is None else _methods(composers or [], tuned or [], encoder),
        root=root,
        model=None if encoder is None else model or models.DEFAULT_MODEL,
        options=LoadOptions(split, variant, text_proxy),
        vectors=vectors,
        query_vectors=query_vectors,
        allow_missing=allow_missing,
        submission=submission,
        seed=seed,
        resamples=resamples,
        read_negation=read_negation,
    )
    with stage_progress() as show:
        outputs = run_plan(
            plan, encoder, cache=vector_cache(no_cache), progress=partial(show, _ENCODING)
        )
    _save(outputs, out)
    results = [result for one in outputs for result in one.results]
    tasks = {part.task.name: part.task for one in outputs for part in one.prepared}
    _show(results, tasks, seed=seed, html=html, csv=csv, json=json)


def _methods(composers: Sequence[str], tuned: Sequence[Path], model: Any) -> tuple[Method, ...]:
    from composir.bench.suite import Method, parse_method
    from composir.bench.tune import load_tuned

    named = [parse_method(text) for text in composers]
    found = [load_tuned(path) for path in tuned]
    named += [Method(one.composer, one.settings, one) for one in found]
    return tuple(named or [Method(model.default_composer, {})])


def _save(outputs: Sequence[RunOutput], out: Path) -> None:
    from composir.bench.suite import result_path

    for one in outputs:
        for result in one.results:
            path = result_path(out, result)
            result.save(path)
            _tell(path)
        for path in one.submissions:
            _tell(path, ", checked against the server's rules")


def _show(
    results: Sequence[Result],
    tasks: dict[str, BenchTask],
    *,
    seed: int,
    html: Path | None,
    csv: Path | None,
    json: bool,
    sections: tuple[Section, ...] | None = None,
) -> None:
    from composir.bench.compare import sections as grouped
    from composir.bench.report.terminal import print_sections
    from composir.bench.report.text_files import TABLE, to_csv
    from composir.data.outputs import PAGE, write_file
    from composir.pages.bench_report import bench_report

    shown = sections if sections is not None else grouped(results, seed=seed)
    if json:
        print_json([_summary(result) for result in results])
    else:
        print_sections(shown)
    if csv is not None:
        _tell(write_file(csv, to_csv(shown), TABLE, "--csv"))
    if html is not None:
        _tell(write_file(html, bench_report(shown, tasks), PAGE, "--html"))


def _check_reports(html: Path | None, csv: Path | None) -> None:
    """Refuse what may not be written before anything is computed."""
    from composir.bench.report.text_files import TABLE
    from composir.data.outputs import PAGE, check_file

    if html is not None:
        check_file(html, PAGE, "--html")
    if csv is not None:
        check_file(csv, TABLE, "--csv")


def _tell(path: Path, what: str = "") -> None:
    note(f"wrote {printable(str(path))}{what}")


def _summary(result: Result) -> dict[str, Any]:
    """A result without its outcomes."""
    outcomes = {"query_ids", "groups", "ranks", "primary", "subset", "hit_ids", "hits"}
    document = result.model_dump(mode="json", exclude={"tasks": {"__all__": outcomes}})
    return document | {"notices": list(result.notices)}


@app.command()
def compare(
    results: Annotated[list[Path], typer.Argument(metavar="RESULT...", help="Result files.")],
    html: options.Html = None,
    csv: options.Csv = None,
    root: options.Root = None,
    seed: options.Seed = 0,
    json: JsonOption = False,
) -> None:
    """Compare runs on the same queries; all are tested against the first."""
    from composir.bench.compare import compared
    from composir.bench.results import load_result

    _check_reports(html, csv)
    loaded = [load_result(path) for path in results]
    section = compared(loaded, [str(path) for path in results], seed=seed)
    tasks = _tasks_again(loaded[0], root) if html else {}
    _show(loaded, tasks, seed=seed, html=html, csv=csv, json=json, sections=(section,))


def _tasks_again(result: Result, root: Path | None) -> dict[str, BenchTask]:
    """Read the data set of a result again, for its texts and pictures."""
    from composir.bench.datasets import DATASETS
    from composir.bench.evaluation import load_tasks
    from composir.bench.task import LoadOptions
    from composir.errors import DatasetError

    setup = result.header.setup
    place = root or Path(setup.root)
    name = setup.dataset if setup.dataset in DATASETS else str(place)
    images = frozenset(image for task in result.tasks for image in task.hit_ids)
    options = LoadOptions(setup.split, setup.variant, setup.text_proxy, images)
    try:
        tasks = load_tasks(name, place, options)[2]
    except DatasetError as error:
        note(f"without queries to look at: {error} (--root says where the data is)")
        return {}
    return {task.name: task for task in tasks}


@app.command()
def tune(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Name or folder.")],
    composer: Annotated[str, typer.Option("--composer", "-c", help="Composer to tune.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write the settings.")
    ],
    split: options.Split = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid", metavar="NAME=START:STOP:STEP|A,B,C", help="Values to try; repeatable."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to maximise; else recall@10 and map@10.")
    ] = None,
    root: options.Root = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    vectors: options.Vectors = None,
    variant: options.Variant = None,
    text_proxy: options.Proxy = False,
    allow_missing: options.AllowMissing = False,
    no_cache: options.NoCache = False,
) -> None:
    """Tune a composer's settings on a dev split, which may then not be reported on."""
    from composir.bench.evaluation import ALLOW_MISSING, VectorSource, load_tasks, prepare
    from composir.bench.task import LoadOptions, check_name
    from composir.bench.tune import TUNED, parse_grid
    from composir.bench.tune import tune as search
    from composir.bench.vectors import load_vectors
    from composir.data.outputs import check_file

    check_file(out, TUNED, "--out")
    check_name("--composer", composer)
    encoder = models.resolve_model(model, models.Compute(threads, device))
    table = load_vectors(vectors, dimension=encoder.dimension) if vectors else None
    at_hand = None if table is None else frozenset(table.ids)
    tasks = load_tasks(dataset, root, LoadOptions(split, variant, text_proxy, at_hand))[2]
    with stage_progress() as show:
        progress, cache = partial(show, _ENCODING), vector_cache(no_cache)
        source = VectorSource(encoder, table, cache, allow_missing, progress, ALLOW_MISSING)
        prepared = [prepare(task, source) for task in tasks]
    found = search(prepared, encoder, composer, parse_grid(grid or ["alpha=0:1:0.05"]), metric)
    found.save(out)
    for trial in found.trials:
        best = "  <- best" if trial.settings == found.settings else ""
        told = ", ".join(f"{name} {value:g}" for name, value in trial.settings.items())
        echo(f"{told}: {found.metric} {trial.score:.2f} %{best}")
    note(f"wrote {out}; use it with: composir bench DATASET --split OTHER --tuned {out}")


@app.command()
def rerun(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A result file.")],
    root: options.Root = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    no_cache: options.NoCache = False,
) -> None:
    """Repeat a run from its result's header, and say whether the result is the same."""
    from composir.bench.rerun import differences
    from composir.bench.rerun import rerun as run_again
    from composir.bench.results import load_result

    old = load_result(result)
    new = run_again(
        old,
        lambda name: models.resolve_model(model or name, models.Compute(threads, device)),
        root=root,
        cache=vector_cache(no_cache),
    )
    lines = differences(old, new)
    for line in lines:
        echo(line)
    if lines:
        raise typer.Exit(1)
    echo("reproduced: every figure and every rank is the same")


@app.command(name="list")
def list_command() -> None:
    """List the data sets: paper, licence, protocol, and where to get the images."""
    from composir.bench.datasets import DATASETS, find_dataset

    for name in DATASETS:
        dataset = find_dataset(name)[0]
        echo(f"{name}  ({dataset.title})")
        for what, told in {
            "paper": dataset.reference,
            "licence": dataset.licence,
            "protocol": dataset.protocol,
            "splits": ", ".join(dataset.splits),
            "variants": ", ".join(dataset.variants),
            "images": dataset.images_from,
        }.items():
            echo(f"  {what}: {told}")
