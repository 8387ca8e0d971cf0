"""Several data sets with several composers in one go."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from composir.bench.datasets import DATASETS
from composir.bench.evaluation import (
    ALLOW_MISSING,
    PreparedTask,
    Progress,
    VectorSource,
    evaluate,
    load_tasks,
    prepare,
)
from composir.bench.memo import SharedComposers
from composir.bench.protocol import Rankings
from composir.bench.results import RESULT, Result, Setup, Tuning, load_result
from composir.bench.submission import (
    check_submission,
    submission_files,
    submission_names,
    write_files,
)
from composir.bench.task import BenchTask, Dataset, LoadOptions, check_name
from composir.bench.tune import Tuned, apply_tuned
from composir.bench.vectors import VectorTable, load_vectors
from composir.compose import parse_composer
from composir.data.outputs import check_file
from composir.encode.feature_store import FeatureStore
from composir.errors import BenchError, OutputError, QueryError
from composir.model.base import EmbeddingModel

Settings = dict[str, float | int | str]


@dataclass(frozen=True, slots=True)
class Method:
    """A composer as written on the command line.

    Attributes:
        composer: Name in the table of composers.
        settings: Given to it, over the bundle's.
        tuned: Where the settings come from, if a file said so.
    """

    composer: str
    settings: Settings
    tuned: Tuned | None = None


def parse_method(text: str) -> Method:
    """Read `NAME` or `NAME:SETTING=VALUE,SETTING=VALUE`."""
    try:
        name, settings = parse_composer(text)
    except QueryError as error:
        raise BenchError(str(error)) from error
    return Method(name, settings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run; paths as given.

    Attributes:
        datasets: Names, or folders.
        methods: Composers; empty with `query_vectors`.
        root: Folder of annotations and images.
        model: Name or folder of the model, for the header; None without one.
        options: Split, variant, text proxy.
        vectors: File of precomputed image vectors.
        query_vectors: File of precomputed query vectors.
        allow_missing: Whether queries with missing images may be dropped.
        submission: Folder for the server's files.
        seed: Of intervals and tests.
        resamples: Of intervals.
        read_negation: Read "without X" in texts as a negative; else texts are taken as they are.
        costs: Whether to measure what a query costs.
    """

    datasets: tuple[str, ...]
    methods: tuple[Method, ...]
    root: Path | None = None
    model: str | None = None
    options: LoadOptions = field(default_factory=LoadOptions)
    vectors: Path | None = None
    query_vectors: Path | None = None
    allow_missing: bool = False
    submission: Path | None = None
    seed: int = 0
    resamples: int = 1000
    read_negation: bool = False
    costs: bool = True


@dataclass(frozen=True, slots=True)
class RunOutput:
    """A data set that was run.

    Attributes:
        prepared: Its tasks.
        results: One a method.
        submissions: Files written for a server.
    """

    prepared: tuple[PreparedTask, ...]
    results: tuple[Result, ...]
    submissions: tuple[Path, ...] = ()


def run_plan(
    plan: Plan,
    model: EmbeddingModel | None,
    *,
    cache: FeatureStore | None = None,
    progress: Progress | None = None,
) -> tuple[RunOutput, ...]:
    """Run every data set with every composer.

    Args:
        plan: What to run.
        model: The model that the plan names; None where all vectors are precomputed.
        cache: Where encoded images are kept.
        progress: Called with (done, total) images of a data set.
    """
    if not plan.datasets:
        raise BenchError("no data set named; `composir bench list` shows them")
    _refuse_unwritable(plan)
    dimension = None if model is None else model.dimension
    table = load_vectors(plan.vectors, dimension=dimension) if plan.vectors else None
    source = VectorSource(model, table, cache, plan.allow_missing, progress, ALLOW_MISSING)
    return tuple(_evaluate(plan, name, source) for name in plan.datasets)


def _refuse_unwritable(plan: Plan) -> None:
    """Before anything is computed: what a result's header says has to go into a UTF-8 file."""
    for what, text in _header_texts(plan):
        check_name(what, text)


def _header_texts(plan: Plan) -> Iterator[tuple[str, str | None]]:
    for name in plan.datasets:
        yield "data set", name if name in DATASETS else _absolute(Path(name))
    yield "--root", _absolute(plan.root)
    yield "--vectors", _absolute(plan.vectors)
    yield "--query-vectors", _absolute(plan.query_vectors)
    yield "--model", plan.model
    for method in plan.methods:
        yield "--composer", _composer(method.composer)
        for key, value in method.settings.items():
            yield "--composer setting", f"{key}={value}"


def _evaluate(plan: Plan, name: str, source: VectorSource) -> RunOutput:
    options = _options(plan, source.vectors)
    dataset, root, tasks = load_tasks(name, plan.root, options)
    _refuse_hidden(plan, dataset, tasks)
    methods = _methods(plan)
    tunings = [_tuning(method, tasks, source.model) for method in methods]
    submissions = [_Submissions(plan, dataset, method) for method in methods]
    for files in submissions:
        files.check(tasks)
    prepared = tuple(prepare(task, source) for task in tasks)
    made = None if source.model is None else SharedComposers(source.model)
    results: list[Result] = []
    written: list[Path] = []
    for method, tuning, files in zip(methods, tunings, submissions, strict=True):
        setup = _setup(plan, name, root, method)
        on_rankings = files.take if plan.submission else None
        composer = None if made is None else made(setup.composer, setup.settings)
        result = evaluate(
            *(prepared, setup, source.model, composer),
            tuning=tuning,
            rankings_of=on_rankings,
            costs=plan.costs,
        )
        results.append(result)
        written += files.paths
    return RunOutput(prepared, tuple(results), tuple(written))


def _methods(plan: Plan) -> tuple[Method, ...]:
    if plan.query_vectors is not None:
        return (Method(plan.query_vectors.stem, {}),)
    if not plan.methods:
        raise BenchError("no composer named, e.g. --composer sum")
    return plan.methods


def _tuning(
    method: Method, tasks: Sequence[BenchTask], model: EmbeddingModel | None
) -> Tuning | None:
    if method.tuned is None or model is None:
        return None
    return apply_tuned(method.tuned, tasks, model)


def _options(plan: Plan, table: VectorTable | None) -> LoadOptions:
    return replace(plan.options, available=None if table is None else frozenset(table.ids))


def _refuse_hidden(plan: Plan, dataset: Dataset, tasks: Sequence[BenchTask]) -> None:
    hidden = any(task.hidden_truth for task in tasks)
    if hidden and plan.submission is None:
        raise BenchError(
            f"{dataset.name}, {tasks[0].split}: only its server knows the truth; "
            f"write the server's files with --submission FOLDER"
        )
    if plan.submission is not None and dataset.submission is None:
        raise BenchError(f"{dataset.name} has no server to submit to")


def _setup(plan: Plan, name: str, root: Path, method: Method) -> Setup:
    folder = str(root.resolve())
    return Setup(
        dataset=name if name in DATASETS else folder,
        root=folder,
        split=plan.options.split,
        variant=plan.options.variant,
        text_proxy=plan.options.text_proxy,
        vectors=_absolute(plan.vectors),
        query_vectors=_absolute(plan.query_vectors),
        model=plan.model,
        composer=_composer(method.composer),
        settings=method.settings,
        allow_missing=plan.allow_missing,
        seed=plan.seed,
        resamples=plan.resamples,
        read_negation=plan.read_negation,
    )


def _composer(name: str) -> str:
    """Names stay, folders become absolute: names hold no separator."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if len(folder.parts) > 1 and folder.is_dir() else name


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


class _Submissions:
    """Writes a method's files when its rankings come by."""

    def __init__(self, plan: Plan, dataset: Dataset, method: Method) -> None:
        self._kind = dataset.submission
        self._folder = plan.submission
        if plan.submission is not None and len(plan.methods) > 1:
            self._folder = plan.submission / slug(method.composer, method.settings)
        self.paths: tuple[Path, ...] = ()

    def check(self, tasks: Sequence[BenchTask]) -> None:
        """Before anything is computed: what lies where the files go has to be composir's."""
        if self._folder is not None and self._kind is not None:
            names = [name for task in tasks for name in submission_names(self._kind, task)]
            check_submission(names, self._folder)

    def take(self, task: BenchTask, rankings: Rankings) -> None:
        assert self._kind is not None
        assert self._folder is not None
        self.paths = write_files(submission_files(self._kind, task, rankings), self._folder)


def slug(composer: str, settings: Settings) -> str:
    """A composer and its settings as part of a file name."""
    parts = [composer, *(f"{key}-{value}" for key, value in settings.items())]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts)).strip("-")


def result_name(result: Result) -> str:
    """File name of a result, without folder: data set, split, variant, model, method."""
    header, setup = result.header, result.header.setup
    model = header.model.name if header.model else ""
    parts = [header.dataset, header.split, setup.variant or "", model]
    told = slug("-".join(filter(None, parts)), {})
    return f"{told}-{slug(header.composer, setup.settings)}.json"


def result_path(folder: Path, result: Result) -> Path:
    """Where to write a result: the file of an earlier run of the same, and of nothing else.

    Own data sets may have the same name, and so may models and trained composers; a part of a data
    set whose images are missing has its name too.
    """
    plain = folder / result_name(result)
    partial = "-partial" if any(task.partial for task in result.tasks) else ""
    stem = f"{plain.stem}-{result.header.checksum[:8]}{partial}"
    others = (f"{stem}-{number}" if number > 1 else stem for number in itertools.count(1))
    places = itertools.chain([plain], (plain.with_name(f"{other}.json") for other in others))
    return next(path for path in places if _is_free_for(path, result))


def _is_free_for(path: Path, result: Result) -> bool:
    if not os.path.lexists(path):
        return True
    try:
        check_file(path, RESULT)
        other = load_result(path)
    except (BenchError, OutputError):
        return False
    return _made_of(other) == _made_of(result)


def _made_of(result: Result) -> object:
    """What tells results of one name apart."""
    header, partial = result.header, [bool(task.partial) for task in result.tasks]
    model = header.model and header.model.fingerprint
    return header.checksum, model, header.composer_fingerprint, partial
