"""Evaluates one composer or several on one data set."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from composir.bench.datasets import find_dataset
from composir.bench.efficiency import Efficiency, measure
from composir.bench.encode import encode_pictures, openers
from composir.bench.protocol import Rankings, compose, rank
from composir.bench.results import (
    Header,
    ModelInfo,
    Partial,
    Result,
    Setup,
    TaskResult,
    Tuning,
    mean_figures,
    task_result,
)
from composir.bench.task import BenchTask, Dataset, LoadOptions, without_images
from composir.bench.vectors import (
    VectorTable,
    first_ten,
    load_vectors,
)
from composir.compose import load_composer
from composir.compose.base import ComposedQueries, Composer
from composir.data.problems import Problem, summarised
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.errors import BenchError, DatasetError
from composir.model.base import EmbeddingModel

Progress = Callable[[int, int], None]
_PACKAGES = ("composir", "numpy", "onnxruntime", "pillow", "tokenizers")
PRECOMPUTED = "precomputed"
ALLOW_MISSING = (
    "--allow-missing drops the queries that need such images and marks the score as partial."
)


@dataclass(frozen=True, slots=True)
class PreparedTask:
    """A task with the vectors of its images at hand.

    Attributes:
        task: What is evaluated; without what is missing.
        table: Vectors of gallery and references.
        openers: The pictures, by id; None where there are only vectors.
        partial: What is missing, if anything was.
    """

    task: BenchTask
    table: VectorTable
    openers: dict[str, Callable[[], Image.Image]] | None
    partial: Partial | None


@dataclass(frozen=True, slots=True)
class VectorSource:
    """Where images' vectors come from, and what to do about those that are missing.

    Attributes:
        model: Encodes images (and captions); None where query vectors are precomputed too.
        vectors: Precomputed image vectors, or None to encode the images.
        cache: Where encoded images are kept.
        allow_missing: Drop queries whose images are missing or damaged instead of refusing.
        progress: Called with (done, total) images while encoding.
        way_out: What a user can do about such images, beyond getting them, for messages.
    """

    model: EmbeddingModel | None
    vectors: VectorTable | None = None
    cache: FeatureStore | None = None
    allow_missing: bool = False
    progress: Progress | None = None
    way_out: str = ""


def load_tasks(
    name: str, root: Path | None, options: LoadOptions
) -> tuple[Dataset, Path, tuple[BenchTask, ...]]:
    """Read a data set's annotations.

    Args:
        name: Name in the table, or a folder's path.
        root: Where the annotations are; may be None for a folder.
        options: Which part.
    """
    dataset, folder = find_dataset(name)
    root = folder or root
    if root is None:
        raise DatasetError(f"{name}: say where its annotations are, with --root FOLDER")
    return dataset, root, dataset.load(root, options)


def prepare(task: BenchTask, source: VectorSource) -> PreparedTask:
    """Get the vectors of a task's images."""
    absent, what = _missing(task, source)
    whole, partial = task, None
    if absent:
        if not source.allow_missing:
            raise DatasetError(missing_message(task, absent, what, source.way_out))
        task, partial = _reduced(task, frozenset(absent))
    needed = task.needed
    if source.vectors is not None:
        rows = source.vectors.rows(needed, task.name)
        return PreparedTask(task, VectorTable(needed, rows, source.vectors.source), None, partial)
    if source.model is None:
        raise BenchError(f"{task.name}: without a model, image vectors are needed (--vectors)")
    if task.captions is not None:
        return PreparedTask(task, _caption_vectors(task, source.model), None, partial)
    pictures = {name: task.pictures[name] for name in needed}
    table, unreadable = _encoded(pictures, source.model, source)
    if unreadable:
        task, partial = _reduced(whole, frozenset((*absent, *unreadable)))
        task = replace(task, notices=(*task.notices, _unreadable_notice(task, unreadable)))
    return PreparedTask(task, table, openers(pictures), partial)


def _encoded(
    pictures: Mapping[str, ImageFile], model: EmbeddingModel, source: VectorSource
) -> tuple[VectorTable, dict[str, str]]:
    """Vectors of pictures, and why others cannot be read where they may be left out."""
    unreadable: dict[str, str] = {}
    leave_out = unreadable if source.allow_missing else None
    try:
        table = encode_pictures(
            *(model, pictures), cache=source.cache, progress=source.progress, unreadable=leave_out
        )
    except DatasetError as error:
        raise DatasetError(
            f"{error}. {source.way_out}" if source.way_out else str(error)
        ) from error
    return table, unreadable


def _unreadable_notice(task: BenchTask, unreadable: Mapping[str, str]) -> str:
    told = summarised(Problem(repr(name), reason) for name, reason in unreadable.items())
    return f"{task.name}: images that cannot be read and count as missing: {'; '.join(told)}"


def _missing(task: BenchTask, source: VectorSource) -> tuple[list[str], str]:
    """Ids that cannot be had, and what is missing of them."""
    if source.vectors is not None:
        at_hand = set(source.vectors.ids)
        return [name for name in task.needed if name not in at_hand], "vectors"
    if task.captions is not None:
        return [name for name in task.needed if name not in task.captions], "captions"
    absent = [name for name in task.needed if not task.pictures[name].path.is_file()]
    return absent, "images"


def missing_message(task: BenchTask, absent: Sequence[str], what: str, way_out: str = "") -> str:
    """Say how many images are missing, which, where they are to be had, and what else helps."""
    shown = [str(task.pictures[name].path) if what == "images" else name for name in absent]
    return (
        f"{task.name}: {len(absent):,} of {len(task.needed):,} {what} are missing, e.g. "
        f"{first_ten(shown)}. Where to get the images: {task.images_from}. {way_out}"
    ).rstrip()


def _reduced(task: BenchTask, absent: frozenset[str]) -> tuple[BenchTask, Partial]:
    left = without_images(task, absent)
    partial = Partial(
        missing_images=len(absent),
        dropped_queries=len(task.queries) - len(left.queries),
        of_queries=len(task.queries),
    )
    return left, partial


def _caption_vectors(task: BenchTask, model: EmbeddingModel) -> VectorTable:
    """The normalised mean of each image's caption vectors, in place of the image's."""
    assert task.captions is not None
    texts = [(name, text) for name in task.needed for text in task.captions[name]]
    encoded = model.encode_texts([text for _, text in texts])
    place = {name: index for index, name in enumerate(task.needed)}
    sums = np.zeros((len(place), encoded.shape[1]), dtype=np.float32)
    np.add.at(sums, [place[name] for name, _ in texts], encoded)
    unit = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    return VectorTable(task.needed, unit, f"captions (text proxy), encoded by {model.name}")


def precomputed_queries(task: BenchTask, path: Path) -> ComposedQueries:
    """Query vectors that somebody else's method made: `ids` are those of the queries."""
    table = load_vectors(path)
    rows = table.rows([query.id for query in task.queries], f"{task.name}'s queries")
    return ComposedQueries(rows[:, None, :])


def evaluate(
    prepared: Sequence[PreparedTask],
    setup: Setup,
    model: EmbeddingModel | None,
    composer: Composer | None,
    *,
    tuning: Tuning | None = None,
    rankings_of: Callable[[BenchTask, Rankings], None] | None = None,
    costs: bool = True,
) -> Result:
    """Score one composer on a data set's tasks.

    Args:
        prepared: The tasks with their vectors.
        setup: What is run; says the composer.
        model: The model; None where query vectors are precomputed.
        composer: The composer, which may remember what it has encoded; None likewise.
        tuning: Where the settings come from.
        rankings_of: Called with every task's rankings, e.g. to write a submission.
        costs: Whether to measure what a query costs.
    """
    tasks: list[TaskResult] = []
    measured = Efficiency()
    for part in prepared:
        composed = _composed(part, setup, composer)
        rankings = rank(part.task, composed, part.table.rows(part.task.gallery, part.task.name))
        if costs and model is not None and not tasks:
            own = load_composer(setup.composer, model, **setup.settings)
            measured = measure(part.task, model, own, part.table.by_id(), part.openers, composed)
        if rankings_of:
            rankings_of(part.task, rankings)
        tasks.append(_scored(part, rankings, setup))
    return Result(
        header=_header(prepared, setup, model, composer, tuning),
        tasks=tuple(tasks),
        mean=mean_figures(tasks, seed=setup.seed, resamples=setup.resamples),
        efficiency=measured,
    )


def _composed(part: PreparedTask, setup: Setup, composer: Composer | None) -> ComposedQueries:
    if setup.query_vectors is not None:
        return precomputed_queries(part.task, Path(setup.query_vectors))
    if composer is None:
        raise BenchError("without a model, query vectors are needed (--query-vectors)")
    return compose(
        part.task.queries,
        composer,
        part.table.by_id(),
        part.openers,
        read_negation=setup.read_negation,
    )


def _scored(part: PreparedTask, rankings: Rankings, setup: Setup) -> TaskResult:
    return task_result(
        part.task, rankings, part.partial, seed=setup.seed, resamples=setup.resamples
    )


def _header(
    prepared: Sequence[PreparedTask],
    setup: Setup,
    model: EmbeddingModel | None,
    composer: Composer | None,
    tuning: Tuning | None,
) -> Header:
    first = prepared[0]
    info = None
    if model is not None:
        spec = model.image_spec.model_dump(mode="json")
        info = ModelInfo(name=model.name, fingerprint=model.fingerprint, preprocess=spec)
    return Header(
        dataset=first.task.name if len(prepared) == 1 else setup.dataset,
        split=first.task.split,
        variant=first.task.variant,
        checksum=_joint_checksum(prepared),
        model=info,
        composer=setup.composer if composer is None else composer.name,
        settings=dict(setup.settings) if composer is None else composer.settings,
        image_vectors=first.table.source,
        seed=setup.seed,
        resamples=setup.resamples,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        packages={name: version(name) for name in _PACKAGES},
        setup=setup,
        tuning=tuning,
        composer_fingerprint=_fingerprint(composer),
    )


def _fingerprint(composer: Composer | None) -> str | None:
    """Of trained composers."""
    folder = composer.traits.folder if composer else None
    return folder.fingerprint if folder else None


def _joint_checksum(prepared: Sequence[PreparedTask]) -> str:
    sums = [part.task.checksum for part in prepared]
    return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()
