"""Trials of blends on one dev set, as cheap as adding numbers.

A blend is a sum of terms before its norm is made 1 (`compose.blend.mix`), and a norm orders no
pictures. So what each term of a query scores every picture is computed once, and the scores of a
blend are the sum of these with the blend's weights: many blends by one small product of matrices a
query. Only the ranks of targets are read off, nothing is sorted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from composir.bench.metrics import CRITERION, Ranks, TargetPlaces, refuse_unranked
from composir.bench.protocol import Rankings, outcomes
from composir.compose.blend import BlendWeights, Terms, mix
from composir.compose.spread import Evening
from composir.train.dev_set import DevSet
from composir.types import FloatArray

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
        units = _units(names, len(self._vectors))
        evening = None if terms.evening is None else self._evening(terms.evening, names)
        self._alone = replace(units, described=terms.described, evening=evening)
        self._places = _places(dev)
        self._kept: dict[int, FloatArray] = {}
        self._known: dict[BlendWeights, Scores] = {}

    def _evening(self, evening: Evening, names: Sequence[str]) -> Evening:
        """The factors of the vectors that the units stand for."""
        vectors = dict(zip(names, self._vectors.swapaxes(0, 1), strict=True))
        vectors["direction"] = vectors["composed"] - vectors["sentence"]
        factors = {name: evening(name, those) for name, those in vectors.items()}
        return lambda name, _: factors[name]

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
