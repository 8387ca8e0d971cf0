"""Dev sets: composed queries that runs are judged by and blends are chosen on, encoded once.

Trials of blends on one are as cheap as adding numbers: a blend is a sum of terms before its norm is
made 1 (`compose.blend.mix`), and a norm orders no pictures. So what each term of a query scores
every picture is computed once, and the scores of a blend are the sum of these with the blend's
weights. Only the ranks of targets are read off, nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.bench.evaluation import PreparedTask, VectorSource, load_tasks, prepare
from composir.bench.metrics import CRITERION, Ranks, TargetPlaces, refuse_unranked
from composir.bench.protocol import Rankings, outcomes
from composir.bench.task import LoadOptions
from composir.compose import open_trained
from composir.compose.base import QueryBatch
from composir.compose.blend import BlendWeights, Terms, described_if_any, mix
from composir.compose.changes import Changes
from composir.compose.token_graph import LightTokens
from composir.compose.trained import Templates, filled, without_reference
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
    """
    composed = [filled(templates.composed, text) for text in dev.words]
    words = [tokens.words[place] for place in dev.place]
    asked = (adapted or plain).encode_spliced(composed, words)[0]
    alone = [templates.image] * len(tokens.words)
    own = plain.encode_spliced(alone, list(tokens.words))[0][dev.place]
    image = (dev.vectors if tokens.vectors is None else tokens.vectors)[dev.place]
    described = described_if_any(dev.words)
    four = (lambda: asked, lambda: own, lambda: image, lambda: dev.texts)
    if changes is None:
        return Terms(*four, described=described)
    made = changes(image, dev.words)
    return Terms(*four, lambda: made[0], lambda: made[1], described)


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
    return terms_of(dev, tokens, templates, *encoders, composer.changes())


MAY_BE_NOTHING = {"exchange": "exchange", "learned": "learned", "description": "described"}
"""Weights of what a composer, or a dev set, may have nothing of, and that field of `Terms`."""
Scores = tuple[float, float]
"""Recall@10 and mAP@10 (`CRITERION`), percent."""

_AT_ONCE = 2**15
"""Scores of one blend that are ranked at once: eight times as many stay in a processor's cache."""
_MOST_KEPT = 2**26
"""Scores of terms that are kept, 256 MB; what is more is computed anew for each trial."""


class BlendTrials:
    """Blends of a dev set's queries, ranked; each is ranked once.

    Attributes:
        dev: The dev set.
        idle: Weights that count in none of its queries.
    """

    def __init__(self, dev: DevSet, terms: Terms) -> None:
        """Compute the terms, which are of queries with a reference and a text."""
        self.dev = dev
        self.idle = frozenset(
            weight for weight, field in MAY_BE_NOTHING.items() if not _counts(terms, field)
        )
        names = ["composed", "sentence", "image", "text"]
        names += [name for name in ("exchange", "learned") if name not in self.idle]
        self._vectors = np.stack([getattr(terms, name)() for name in names], axis=1)
        self._alone = replace(_units(names, len(self._vectors)), described=terms.described)
        self._places = _places(dev)
        self._kept: dict[int, FloatArray] = {}
        self._known: dict[BlendWeights, Scores] = {}

    def scores(self, tried: Sequence[BlendWeights]) -> list[Scores]:
        """Score blends; the more of them at once, the less each costs."""
        new = [one for one in dict.fromkeys(tried) if one not in self._known]
        if new:
            self._known.update(zip(new, map(_scored, self._ranks(new)), strict=True))
        return [self._known[one] for one in tried]

    def _ranks(self, tried: Sequence[BlendWeights]) -> Ranks:
        """(blends, queries, targets) int64, padded with `ABSENT`."""
        shares = np.stack([mix(weights, self._alone) for weights in tried], axis=1)
        ranks = [
            self._places.part(rows).ranks(shares[rows] @ of_terms)
            for rows, of_terms in self._scores_of_terms()
        ]
        return np.concatenate(ranks).swapaxes(0, 1)

    def _scores_of_terms(self) -> Iterator[tuple[slice, FloatArray]]:
        """Some queries after the other, and what their terms score every picture: (., terms, g)."""
        gallery = self.dev.gallery
        step = max(1, _AT_ONCE // len(gallery))
        for start in range(0, len(self._vectors), step):
            rows = slice(start, start + step)
            found = self._kept.get(start)
            if found is None:
                some = self._vectors[rows]
                flat = some.reshape(-1, some.shape[2]) @ gallery.T
                refuse_unranked(flat, self.dev.name)
                found = flat.reshape(*some.shape[:2], -1)
                if (len(self._kept) + 1) * found.size <= _MOST_KEPT:
                    self._kept[start] = found
            yield rows, found


def _counts(terms: Terms, field: str) -> bool:
    term = getattr(terms, field)
    return term is not None and bool(np.any(term()))


def _units(names: Sequence[str], count: int) -> Terms:
    """Terms whose mix says how much of each is in it: (n, terms) for n queries."""
    units = np.eye(len(names), dtype=np.float32)[:, None].repeat(count, axis=1)
    return Terms(**{name: unit.view for name, unit in zip(names, units, strict=True)})


def _places(dev: DevSet) -> TargetPlaces:
    task = dev.prepared.task
    column = {name: place for place, name in enumerate(task.gallery)}
    references = [column.get(query.reference or "") for query in task.queries]
    return TargetPlaces.of(
        [[column[name] for name in query.targets] for query in task.queries],
        references if task.exclude_reference else None,
    )


def _scored(ranks: Ranks) -> Scores:
    """Of the (queries, targets) ranks of one blend."""
    rankings = Rankings(ranks, None, None, ranks[:, :0], None)
    recall, precision = 100.0 * outcomes(rankings, CRITERION).mean(axis=0)
    return float(recall), float(precision)
