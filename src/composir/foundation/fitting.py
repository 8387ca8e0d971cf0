"""What of a model's space the product must know, measured on the packaged sample.

Three things: from which cosine on two pictures may be copies, which composer is the default and how
much its words weigh, and how likely the best hit is right. Where the model tells the sample's
pictures apart no better than chance, its confidence stays the general one, and that is told.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.compose.arithmetic import slerp, weighted_sum
from composir.compose.base import ComposedQueries
from composir.compose.spread import factor_of
from composir.foundation.calibration import auc, chosen_limits, coefficients, logistic
from composir.gallery.confidence import ConfidenceCalibration, expected_best
from composir.gallery.opinion import FIRST
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

PHRASES = ("{}", "a {}", "a picture of a {}")
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(2, 19))
"""Of the words, for the composers that have one weight."""
SIZES = (16, 32, 64, 90)
COPIED = 6
"""One of so many pictures is copied."""
LEAST_AUC = 0.6
Truth: TypeAlias = NDArray[np.bool_]
Blend: TypeAlias = Callable[[FloatArray, FloatArray, float], FloatArray]
BLENDS: tuple[tuple[str, Blend], ...] = (("sum", weighted_sum), ("slerp", slerp))
_SEED = 16
_ABSENT_WEIGHT = 0.5  # who searches pictures of their own mostly knows that they have it


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """A composed query; pictures are named by their places."""

    reference: int
    text: str
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """The pictures that settings are fitted on, rendered, CC0, in nouns, and queries over them.

    They are of the dev part of the sample catalogue (`benchmarks/pack_sample.py` packs them).
    """

    pictures: tuple[Image.Image, ...]
    kinds: tuple[str, ...]
    queries: tuple[SampleQuery, ...]


def read_sample() -> Sample:
    """The packaged one."""
    folder = files("composir.foundation") / "sample"
    told = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    pictures = []
    for row in told["pictures"]:
        with (folder / f"{row['id']}.jpg").open("rb") as file:
            pictures.append(Image.open(file).convert("RGB"))
    return Sample(
        tuple(pictures),
        tuple(row["kind"] for row in told["pictures"]),
        tuple(
            SampleQuery(query["reference"], query["text"], tuple(query["targets"]))
            for query in told["queries"]
        ),
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """Settings as a bundle's manifest has them, and what is known of its pictures' vectors.

    Attributes:
        fields: The settings.
        mean: Their mean, (D,) float32.
        spread: Factor of their covariance, (D, D) float32.
    """

    fields: dict[str, Any]
    mean: FloatArray
    spread: FloatArray


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of query over all pictures of the sample.

    Attributes:
        scores: (q, n) of every picture.
        right: (q, n) bool.
        zero: (q,) scores of the mean picture.
        allowed: (q, n) bool: pictures that may be in a gallery; a reference is not in its own.
    """

    scores: FloatArray
    right: Truth
    zero: FloatArray
    allowed: Truth


@dataclass(frozen=True, slots=True)
class Example:
    """The first hits of one query in one gallery: is the first one right?"""

    judged: float
    zero: float
    size: int
    answered: bool
    absent: bool


def fit_settings(model: EmbeddingModel, sample: Sample, say: Callable[[str], None]) -> Fitted:
    """Measure a model's settings."""
    vectors = model.encode_images(sample.pictures)
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    limit = copy_limit(model, sample.pictures)
    say(f"  two pictures may be copies from a cosine of {limit:.3f} on")
    images = vectors[[query.reference for query in sample.queries]]
    texts = model.encode_texts([query.text for query in sample.queries])
    weights = {name: _best_weight(blend, sample, images, texts, vectors) for name, blend in BLENDS}
    default = max(weights, key=lambda name: weights[name].score)
    chosen = weights[default]
    say(f"  default composer: {default}, {chosen.alpha} of it the words")
    blended = dict(BLENDS)[default](images, texts, chosen.alpha)
    composed = {
        "both": ComposedQueries(blended[:, None]),
        "product": ComposedQueries(np.stack([images, texts], axis=1), "product"),
    }
    asked = {
        "words": _in_words(model, sample, vectors, mean),
        "image": _by_pictures(sample, vectors, mean),
        **{kind: _by_both(sample, queries, vectors, mean) for kind, queries in composed.items()},
    }
    confidence = {kind: made for kind, one in asked.items() if (made := fitted(kind, one, say))}
    fields = {
        "copy_similarity": limit,
        "default_composer": default,
        "composers": {name: {"alpha": one.alpha} for name, one in weights.items()},
        "confidence": confidence,
    }
    return Fitted(fields, mean, factor_of(vectors))


def copy_limit(model: EmbeddingModel, pictures: Sequence[Image.Image]) -> float:
    """The least cosine of pictures and their copies, and a tenth of what it lacks to 1 below that.

    The pictures are small ones, of a third of the size: those lose most by being copied.
    """
    small = [_resized(picture, 1 / 3) for picture in pictures[::COPIED]]
    originals = model.encode_images(small)
    made = zip(*map(copies, small), strict=True)
    cosines = [(model.encode_images(one) * originals).sum(axis=1) for one in made]
    least = float(np.min(cosines))
    return math.floor(1000 * (least - 0.1 * (1.0 - least))) / 1000


def copies(rgb: Image.Image) -> tuple[Image.Image, ...]:
    """A picture as it comes back from elsewhere: compressed, of half the size, trimmed."""
    x, y = max(1, rgb.width // 50), max(1, rgb.height // 50)
    trimmed = rgb.crop((x, y, rgb.width - x, rgb.height - y))
    return _compressed(rgb, 50), _resized(rgb, 0.5), trimmed


def _resized(rgb: Image.Image, share: float) -> Image.Image:
    size = (max(1, round(rgb.width * share)), max(1, round(rgb.height * share)))
    return rgb.resize(size, Image.Resampling.LANCZOS)


def _compressed(rgb: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    rgb.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight of the words, and the mean reciprocal rank of the first target by it."""

    alpha: float
    score: float


def _best_weight(
    blend: Blend, sample: Sample, images: FloatArray, texts: FloatArray, vectors: FloatArray
) -> _Weight:
    tried = {
        alpha: _rank_score(blend(images, texts, alpha) @ vectors.T, sample) for alpha in WEIGHTS
    }
    best = [alpha for alpha, score in tried.items() if score == max(tried.values())]
    return _Weight(best[len(best) // 2], max(tried.values()))


def _rank_score(scores: FloatArray, sample: Sample) -> float:
    targets = _targets(sample)
    allowed = np.where(_without_references(sample), scores, -np.inf)
    best = np.where(targets, allowed, -np.inf).max(axis=1, keepdims=True)
    return float(np.mean(1.0 / (1.0 + (allowed > best).sum(axis=1))))


def _targets(sample: Sample) -> Truth:
    right = np.zeros((len(sample.queries), len(sample.pictures)), dtype=bool)
    for row, query in zip(right, sample.queries, strict=True):
        row[list(query.targets)] = True
    return right


def _without_references(sample: Sample) -> Truth:
    allowed = np.ones((len(sample.queries), len(sample.pictures)), dtype=bool)
    allowed[np.arange(len(allowed)), [query.reference for query in sample.queries]] = False
    return allowed


def _in_words(
    model: EmbeddingModel, sample: Sample, vectors: FloatArray, mean: FloatArray
) -> Asked:
    """Every kind's noun, in the model's own sentence, as the gallery judges words."""
    nouns = sorted(set(sample.kinds))
    before, _, after = model.sentence.partition("{}")
    texts = model.encode_texts([f"{before}{p.format(n)}{after}" for n in nouns for p in PHRASES])
    kinds = np.asarray(sample.kinds)
    right = np.repeat([kinds == noun for noun in nouns], len(PHRASES), axis=0)
    return Asked(texts @ vectors.T, right, texts @ mean, np.ones_like(right))


def _by_pictures(sample: Sample, vectors: FloatArray, mean: FloatArray) -> Asked:
    """Every picture; right are others of its kind."""
    kinds = np.asarray(sample.kinds)
    others = ~np.eye(len(vectors), dtype=bool)
    same = (kinds[:, None] == kinds) & others
    return Asked(vectors @ vectors.T, same, vectors @ mean, others)


def _by_both(
    sample: Sample, composed: ComposedQueries, vectors: FloatArray, mean: FloatArray
) -> Asked:
    zero = composed.scores(mean[None])[:, 0]
    return Asked(composed.scores(vectors), _targets(sample), zero, _without_references(sample))


def fitted(kind: str, asked: Asked, say: Callable[[str], None]) -> dict[str, float]:
    """Coefficients of one kind of query; none where answers cannot be told apart."""
    examples = list(_examples(asked))
    unrelated = asked.allowed & ~asked.right
    spread = float((asked.scores - asked.zero[:, None])[unrelated].std())
    excess = np.array([e.judged - e.zero - spread * expected_best(e.size) for e in examples])
    right = np.array([float(e.answered) for e in examples])
    told = auc(excess, right)
    if not told >= LEAST_AUC:
        say(f"  confidence of {kind}: good answers look like bad ones; the general one stays")
        return {}
    weights = np.array([_ABSENT_WEIGHT if e.absent else 1.0 for e in examples])
    bias, slope = logistic(np.stack([np.ones_like(excess), excess], axis=1), right, weights)
    values = 1.0 / (1.0 + np.exp(-(bias + slope * excess)))
    good, poor = chosen_limits(values, right, weights)
    say(f"  confidence of {kind}: tells good answers from bad ones in {told:.0%} of pairs")
    return coefficients(
        ConfidenceCalibration(
            bias=float(bias),
            standout_weight=0.0,
            excess_weight=float(slope),
            spread=spread,
            framed=1.0 if kind == "words" else 0.0,
            good=good,
            poor=poor,
        )
    )


def _examples(asked: Asked) -> Iterator[Example]:
    """Each query, of galleries of several sizes: with right pictures among them, and without."""
    draw = np.random.default_rng(_SEED)
    for scores, right, zero, allowed in zip(
        asked.scores, asked.right, asked.zero, asked.allowed, strict=True
    ):
        others, targets = np.flatnonzero(allowed & ~right), np.flatnonzero(right)
        for size in SIZES:
            some = draw.permutation(targets)[: draw.integers(1, len(targets), endpoint=True)]
            rest = draw.permutation(others)
            for there in (some, some[:0]):
                gallery = np.concatenate([there, rest[: size - len(there)]])
                first = gallery[np.argsort(-scores[gallery], kind="stable")[:FIRST]]
                answered = bool(right[first[0]])
                best = float(scores[first].max())
                yield Example(best, float(zero), len(gallery), answered, not len(there))
