"""Dev sets: composed queries that runs are judged by and blends are chosen on, encoded once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.bench.evaluation import PreparedTask, VectorSource, load_tasks, prepare
from composir.bench.task import LoadOptions
from composir.compose import open_trained
from composir.compose.base import QueryBatch
from composir.compose.blend import Terms
from composir.compose.changes import Changes
from composir.compose.description import described_if_any
from composir.compose.spread import evening_by
from composir.compose.template import filled, without_reference
from composir.compose.token_graph import LightTokens
from composir.compose.trained import Templates
from composir.encode.feature_store import FeatureStore
from composir.errors import TrainingError
from composir.model import Model
from composir.model.base import SplicingEncoder
from composir.types import FloatArray

Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DevSet:
    """The composed queries of one data set folder, encoded as far as no composer is needed.

    Attributes:
        prepared: Task and vectors; queries without an image or without words are left out.
        gallery: (g, D) float32.
        words: Of each of the n queries, the modification.
        references: Ids of the m distinct references.
        place: (n,) int64, which reference each query has.
        vectors: (m, D) float32, the references' vectors.
        texts: (n, D) float32, the modifications' vectors.
    """

    prepared: PreparedTask
    gallery: FloatArray
    words: tuple[str, ...]
    references: tuple[str, ...]
    place: NDArray[np.int64]
    vectors: FloatArray
    texts: FloatArray

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.prepared.task.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The references' pictures."""
        return tuple(self.prepared.task.pictures[name].path for name in self.references)

    @property
    def asked_about(self) -> set[Path]:
        """Pictures that must not be trained on: references and targets of the queries."""
        task = self.prepared.task
        ids = {target for query in task.queries for target in query.targets}
        return {task.pictures[name].path for name in (*self.references, *ids)}


def open_dev_set(
    folder: Path, model: Model, cache: Path, progress: Progress | None = None
) -> DevSet:
    """Read a data set folder with `queries.jsonl` and encode its pictures and texts."""
    _, root, tasks = load_tasks(str(folder.expanduser().absolute()), None, LoadOptions())
    task = tasks[0]
    # A folder's queries have one text each, which may be empty.
    asked = tuple(q for q in task.queries if q.reference is not None and q.texts[0])
    if not asked:
        raise TrainingError(f"{root}: no dev query has both a reference image and a text")
    prepared = prepare(
        replace(task, queries=asked),
        VectorSource(model=model, cache=FeatureStore(cache), progress=progress),
    )
    words = tuple(query.texts[0] for query in asked)
    references = tuple(dict.fromkeys(str(query.reference) for query in asked))
    places = {name: place for place, name in enumerate(references)}
    return DevSet(
        prepared=prepared,
        gallery=prepared.table.rows(task.gallery, task.name),
        words=words,
        references=references,
        place=np.array([places[str(query.reference)] for query in asked]),
        vectors=prepared.table.rows(references, task.name),
        texts=model.encode_texts([without_reference(text) for text in words]),
    )


def terms_of(
    dev: DevSet,
    tokens: LightTokens,
    templates: Templates,
    plain: SplicingEncoder,
    adapted: SplicingEncoder | None = None,
    changes: Changes | None = None,
    spread: FloatArray | None = None,
) -> Terms:
    """Encode the sentences of a dev set.

    Args:
        dev: The dev set.
        tokens: Of its references: (m, L, Dw) pseudo-words; vectors of the light side take the
            place of the gallery's.
        templates: The sentences.
        plain: The model's text encoder.
        adapted: Encodes the composed sentences instead, if given.
        changes: Gives what the texts change, if that is part of the blend.
        spread: The model's, (r, D) float32; None if unknown.
    """
    evening = evening_by(spread)
    composed = [filled(templates.composed, text) for text in dev.words]
    words = [tokens.words[place] for place in dev.place]
    asked = (adapted or plain).encode_spliced(composed, words)[0]
    alone = [templates.image] * len(tokens.words)
    own = plain.encode_spliced(alone, list(tokens.words))[0][dev.place]
    image = (dev.vectors if tokens.vectors is None else tokens.vectors)[dev.place]
    described = described_if_any(dev.words)
    four = (lambda: asked, lambda: own, lambda: image, lambda: dev.texts)
    if changes is None:
        return Terms(*four, described=described, evening=evening)
    made = changes(image, dev.words)
    return Terms(*four, lambda: made[0], lambda: made[1], described, evening)


def composer_terms(folder: Path, model: Model, dev: DevSet) -> Terms:
    """The terms of a dev set as a trained composer of any kind makes them."""
    composer = open_trained(folder, model)
    openers = dev.prepared.openers or {}
    batch = QueryBatch(
        ("",) * len(dev.references), dev.vectors, [openers[name] for name in dev.references]
    )
    tokens = composer.tokens(batch)
    templates = composer.folder.manifest.templates
    encoders = (model.texts, composer.composed_texts())
    return terms_of(dev, tokens, templates, *encoders, composer.changes(), model.spread)
