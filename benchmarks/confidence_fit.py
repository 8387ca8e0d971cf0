"""From labelled queries to a bundle's confidence: what is seen of each, the fit, the thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from confidence_pictures import ALTERATIONS, asked_by_both, asked_by_pictures
from confidence_queries import (
    Asked,
    Pools,
    asked_in_words,
    asked_of_photographs,
    load_pools,
    reference_pictures,
)
from PIL import Image

from composir.bench.encode import encode_pictures
from composir.compose import composer_names, load_composer
from composir.compose.base import ComposedQueries, QueryBatch
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.foundation.calibration import Numbers, logistic
from composir.gallery.confidence import ConfidenceCalibration, expected_best, standout
from composir.gallery.opinion import FIRST
from composir.images import read_image
from composir.model import Model
from composir.types import FloatArray

COMPOSERS = (
    "compose",
    "sum",
    "slerp",
    "isa",
    "isa-compose",
    "map",
    "text-map",
    "pic2word",
    "product",
)
FRAMED = 1.0
ABSENT_WEIGHT = 0.5  # who searches pictures of their own mostly knows that they have it
KINDS = ("words", "image", "both", "product")
Calibrations = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Example:
    """One judged query.

    Attributes:
        asked: What was asked of which gallery.
        kind: Which coefficients judge it.
        composer: Who composed it; empty for words or a picture alone.
        scores: (n,) what is judged of each picture: for words those of both sentences, mixed.
        best: The best of these among the first five hits.
        plain_best: The first hit's own score.
        zero: Of the mean picture, mixed likewise.
        standout: Of the first hit.
        answered: Whether the answer is good.
        right_of_five: How many of the first five hits are right.
    """

    asked: Asked
    kind: str
    composer: str
    scores: FloatArray
    best: float
    plain_best: float
    zero: float
    standout: float
    answered: bool
    right_of_five: int

    @property
    def size(self) -> int:
        """Pictures searched."""
        return len(self.scores)


@dataclass(frozen=True, slots=True)
class Material:
    """Everything measured: the mean picture, the examples, and some to look at."""

    mean: FloatArray
    examples: list[Example]
    everyday: list[Example]

    def of(self, kind: str) -> list[Example]:
        """Those that one set of coefficients judges, copies left out: a rule of their own does."""
        return [e for e in self.examples if e.kind == kind and e.asked.kind != "copy"]


def gather(model: Model, data: Path, cache: FeatureStore) -> Material:
    """Ask all labelled queries.

    Args:
        model: Whose confidence it is.
        data: Folder of the data sets.
        cache: Where vectors of pictures are kept.
    """
    pools = load_pools(model, data, cache)
    files = {str(path): ImageFile(path) for path in reference_pictures(data)}
    mean = encode_pictures(model, files, cache=cache).matrix.mean(axis=0, dtype=np.float64)
    asker = Asker(model, pools, mean.astype(np.float32))
    examples = list(asker.words(asked_in_words(pools)))
    examples += asker.pictures(asked_by_pictures(pools))
    examples += asker.both(list(asked_by_both(pools, data)))
    return Material(asker.mean, examples, list(asker.words(asked_of_photographs(pools))))


@dataclass(frozen=True, slots=True)
class Asker:
    """Turns what is asked into examples."""

    model: Model
    pools: Pools
    mean: FloatArray

    def words(self, asked: Iterable[Asked]) -> Iterator[Example]:
        """Words alone, as they are and in the model's sentence."""
        everything = list(asked)
        vectors = self._text_vectors({form for one in everything for form in self._forms(one.text)})
        for one in everything:
            plain, framed = (vectors[form] for form in self._forms(one.text))
            mixed = (1 - FRAMED) * plain + FRAMED * framed
            gallery = self.pools.matrix[one.gallery]
            zero = float(self.mean @ mixed)
            yield self._example(one, "words", "", gallery @ plain, gallery @ mixed, zero)

    def _forms(self, text: str) -> tuple[str, str]:
        before, _, after = self.model.sentence.partition("{}")
        return text, text if text.startswith(before) else f"{before}{text}{after}"

    def _text_vectors(self, texts: set[str]) -> dict[str, FloatArray]:
        ordered = sorted(texts)
        parts = [ordered[start : start + 64] for start in range(0, len(ordered), 64)]
        encoded = np.concatenate([self.model.encode_texts(part) for part in parts])
        return dict(zip(ordered, encoded, strict=True))

    def pictures(self, asked: Iterable[Asked]) -> Iterator[Example]:
        """Pictures alone, altered or not."""
        for one in asked:
            vector = self._reference(one)
            if one.altered:
                rgb = ALTERATIONS[one.altered](self._opener(one)())
                vector = self.model.encode_images([rgb])[0]
            yield self._composed(one, "image", "", ComposedQueries(vector[None, None]))

    def both(self, asked: Sequence[Asked]) -> Iterator[Example]:
        """Pictures with words, by several composers."""
        known = composer_names(self.model)
        for name in (name for name in COMPOSERS if name in known):
            composer = load_composer(name, self.model)
            memo: dict[tuple[str, int | None, str], ComposedQueries] = {}
            for one in asked:
                key = (one.domain, one.reference, one.text)
                if key not in memo:
                    batch = QueryBatch((one.text,), self._reference(one)[None], [self._opener(one)])
                    memo[key] = composer.compose(batch)
                kind = "product" if memo[key].rule == "product" else "both"
                yield self._composed(one, kind, name, memo[key])

    def _reference(self, asked: Asked) -> FloatArray:
        return self.pools.by_name[asked.domain].vectors[asked.reference]

    def _opener(self, asked: Asked) -> Callable[[], Image.Image]:
        file = self.pools.by_name[asked.domain].files[asked.reference or 0]
        return lambda: read_image(file).rgb

    def _composed(
        self, asked: Asked, kind: str, composer: str, composed: ComposedQueries
    ) -> Example:
        scores = composed.scores(self.pools.matrix[asked.gallery])[0]
        zero = float(composed.scores(self.mean[None])[0, 0])
        return self._example(asked, kind, composer, scores, scores, zero)

    @staticmethod
    def _example(
        asked: Asked,
        kind: str,
        composer: str,
        plain: FloatArray,
        judged: FloatArray,
        zero: float,
    ) -> Example:
        first = np.argsort(-plain, kind="stable")[:FIRST]
        best = float(plain[first[0]])
        return Example(
            asked,
            kind,
            composer,
            judged,
            float(judged[first].max()),
            best,
            zero,
            standout(best, plain, len(plain)),
            asked.answered(plain),
            int(asked.right[first].sum()),
        )


def weights_of(examples: Sequence[Example]) -> Numbers:
    """Every domain's every kind of query by every composer weighs the same.

    Half of the galleries show nothing of what is asked for; they weigh half as much.
    """
    groups = [(e.asked.domain, e.asked.kind, e.composer) for e in examples]
    counts = Counter(groups)
    weights = np.array([1.0 / counts[group] for group in groups])
    weights[[e.asked.share == 0 for e in examples]] *= ABSENT_WEIGHT
    return np.asarray(weights * len(weights) / weights.sum(), dtype=np.float64)


def answers(examples: Sequence[Example]) -> Numbers:
    """1 where the answer is good."""
    return np.array([float(e.answered) for e in examples])


def fitted(kind: str, examples: Sequence[Example]) -> ConfidenceCalibration:
    """Logistic regression of "the answer is good" on what the kind of query looks at."""
    columns = [
        np.ones(len(examples)),
        np.array([e.best - e.zero for e in examples]),
        np.array([expected_best(e.size) for e in examples]),
    ]
    bias, excess, chance = logistic(
        np.stack(columns, axis=1), answers(examples), weights_of(examples)
    )
    return ConfidenceCalibration(
        bias=float(bias),
        standout_weight=0.0,
        excess_weight=float(excess),
        spread=float(-chance / excess),
        framed=FRAMED if kind == "words" else 0.0,
    )
