"""What stage 2 changed: arithmetic, stage 1 and stage 2 on held-out triplets, side by side.

A query is a blend of four vectors, and so are its scores; each vector's scores are computed once,
and trying weights is adding them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from composir.bench.significance import Interval, Outcomes, bootstrap, paired_test
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.description import described_if_any
from composir.compose.spliced import changes_of
from composir.compose.spread import evening_by
from composir.compose.template import filled
from composir.compose.trained import ComposerManifest
from composir.errors import TrainingError
from composir.model.text_encoder import TextEncoder
from composir.train.blend import best_of_grid, best_sum
from composir.train.composing.frozen_inputs import FrozenInputs, QueryVariant
from composir.train.composing.frozen_triplets import CUTS, FrozenTriplets, found_within
from composir.types import FloatArray

UNCHOSEN = {"exchange": 0.0, "learned": 0.0, "description": 0.0, "evened": None}
"""Weights of a blend that the table does not choose; `train blend` does."""
Weights = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Vectors:
    """What queries are blended from, q, s, v and t, (m, D) float32 each, unit norm.

    The image is as the gallery or the query side's own graph gives it.
    """

    composed: FloatArray
    sentence: FloatArray
    image: FloatArray
    text: FloatArray


@dataclass(frozen=True, slots=True)
class MethodRow:
    """One line of the table.

    Attributes:
        name: The method, as shown.
        weights: Of its blend, without zeros.
        recall: Shares with 95 % intervals, by `CUTS`.
        found: (m, len(CUTS)) float64, whether each triplet found a target, for paired comparisons.
    """

    name: str
    weights: Weights
    recall: tuple[Interval, ...]
    found: Outcomes

    @classmethod
    def of(cls, name: str, found: Outcomes, weights: Weights) -> MethodRow:
        """The line of a method that found these."""
        chosen = {key: value for key, value in weights.items() if value}
        return cls(name, chosen, bootstrap([found], seed=0), found)

    @property
    def markdown(self) -> str:
        """For the card."""
        shares = [
            f"{100 * r.value:.1f} ({100 * r.low:.1f}-{100 * r.high:.1f})" for r in self.recall
        ]
        weights = ", ".join(f"{name} {value:g}" for name, value in self.weights.items())
        return f"| {' | '.join([self.name, *shares, weights])} |"

    @property
    def record(self) -> dict[str, object]:
        """For programs."""
        recalls = {f"recall@{c}": 100.0 * r.value for c, r in zip(CUTS, self.recall, strict=True)}
        return {"method": self.name, "weights": dict(self.weights), **recalls}


class BlendScores:
    """Scores of every part of a blend over all images, (m, n) each."""

    def __init__(
        self,
        vectors: Vectors,
        images: FloatArray,
        triplets: FrozenTriplets,
    ) -> None:
        """Score m triplets over images, (n, D) float32, unit norm."""
        self._triplets = triplets.indexed
        self._parts = {
            "sentence": vectors.composed @ images.T,
            "direction": (vectors.composed - vectors.sentence) @ images.T,
            "image": vectors.image @ images.T,
            "text": vectors.text @ images.T,
        }

    def found(self, weights: Weights) -> Outcomes:
        """(m, len(CUTS)) float64, 1 where a target is among the first k."""
        total = sum(np.float32(w) * self._parts[name] for name, w in weights.items() if w)
        if isinstance(total, int):
            raise TrainingError("all weights of a blend are 0")
        return found_within(total, self._triplets)

    def mean_recall(self, weights: Weights) -> float:
        """Mean of R@1, R@5 and R@10, percent: what choices go by."""
        return 100.0 * float(self.found(weights).mean())

    def row(self, name: str, weights: Weights) -> MethodRow:
        """Measure one method."""
        return MethodRow.of(name, self.found(weights), weights)


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """What the held-out triplets say of a composer.

    Attributes:
        rows: Lines of the table; stage 2, as it is judged, is the last.
        against: What stage 2 is tested against: as told, its line, and where weights are from.
        weights: Of stage 2's blend.
        chosen_on: Where these come from.
        asked: How many triplets were held out, in words.
        searched: What they were asked about, in words.
    """

    rows: Sequence[MethodRow]
    against: Sequence[tuple[str, MethodRow, str]]
    weights: BlendWeights
    chosen_on: str
    asked: str
    searched: str

    def markdown(self) -> str:
        """The table, and what stage 2 gains."""
        head = " | ".join(f"R@{cut}" for cut in CUTS)
        lines = [f"| method | {head} | weights |", f"|---|{'---|' * len(CUTS)}---|"]
        lines += [one.markdown for one in self.rows]
        note = f"{self.asked}, {self.searched}, percent, 95 % intervals."
        told = [self._gained(*one) for one in self.against]
        return "\n".join([*lines, "", note, "", *told])

    def _gained(self, name: str, other: MethodRow, weights: str) -> str:
        """Difference in R@1 on the same triplets."""
        test = paired_test([other.found[:, :1]], [self.rows[-1].found[:, :1]], seed=0)[0]
        return (
            f"R@1 of stage 2 minus {name}: {100 * test.difference:+.1f} points "
            f"({100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p_value:.3f}), {weights}."
        )


def vectors_of(part: FrozenTriplets, composed: TextEncoder) -> Vectors:
    """What queries are blended from, through the runtime as at query time."""
    sentences = [filled(part.templates.composed, text) for text in part.indexed.texts]
    return Vectors(
        composed=composed.encode_spliced(sentences, [one.numpy() for one in part.tokens])[0],
        sentence=part.sentences.numpy(),
        image=part.vectors.numpy(),
        text=part.indexed.text_vectors,
    )


def compare(
    variant: QueryVariant,
    inputs: FrozenInputs,
    adapted: TextEncoder,
    packaged: Sequence[MethodRow],
    fixed: Weights,
) -> ComparisonTable:
    """Ask the held-out triplets, with weights that the dev triplets choose; beside the model's."""

    def scores(triplets: FrozenTriplets, encoder: TextEncoder) -> BlendScores:
        return BlendScores(vectors_of(triplets, encoder), inputs.images, triplets)

    plain, made = inputs.foundation.model.texts, variant.start.manifest
    before, after = scores(variant.dev, plain), scores(variant.dev, adapted)
    tuned, chosen = (best_of_grid(one.mean_recall, fixed) for one in (before, after))
    held_out = vectors_of(variant.held_out, plain)
    first = BlendScores(held_out, inputs.images, variant.held_out)
    second = scores(variant.held_out, adapted)
    rows = [
        first.row("image alone", {"image": 1.0}),
        first.row("text alone", {"text": 1.0}),
        first.row("sum", best_sum(before.mean_recall)),
        first.row("stage 1, sentence alone", {"sentence": 1.0}),
        _as_it_came(variant, held_out, inputs),
        first.row("stage 1, weights chosen on dev", tuned),
        *packaged,
        second.row("stage 2, sentence alone", {"sentence": 1.0}),
        second.row("stage 2, weights chosen on dev", chosen),
    ]
    chosen_both = "both with weights chosen on dev"
    elsewhere = "whose own weights were chosen elsewhere"
    return ComparisonTable(
        rows,
        [
            ("sum", rows[2], chosen_both),
            ("stage 1", rows[5], chosen_both),
            *((f"the {one.name}", one, elsewhere) for one in packaged),
        ],
        BlendWeights.model_validate({**made.settings.model_dump(), **UNCHOSEN, **chosen}),
        "chosen on dev triplets",
        f"{len(variant.held_out):,} held-out triplets",
        f"{len(inputs.images):,} images",
    )


def _as_it_came(variant: QueryVariant, vectors: Vectors, inputs: FrozenInputs) -> MethodRow:
    """The held-out triplets, asked by stage 1 with all of its own blend."""
    start, asked, model = variant.start, variant.held_out.indexed, inputs.foundation.model
    changed = cache(lambda: changes_of(start, model)(vectors.image, asked.texts))
    terms = Terms(
        composed=lambda: vectors.composed,
        sentence=lambda: vectors.sentence,
        image=lambda: vectors.image,
        text=lambda: vectors.text,
        exchange=lambda: changed()[0],
        learned=lambda: changed()[1],
        described=described_if_any(asked.texts),
        evening=evening_by(model.spread),
    )
    settings = start.manifest.settings
    found = found_within(blend(settings, terms) @ inputs.images.T, asked)
    came = settings.model_dump(exclude={"negative_weight"})
    return MethodRow.of("stage 1, as it came", found, came)


def compare_texts(
    start: ComposerManifest, inputs: FrozenInputs, adapted: TextEncoder
) -> ComparisonTable:
    """Ask held-out text triplets; the blend stays the start's, since texts know nothing of v."""
    assert inputs.texts is not None
    dev, held_out = inputs.texts.dev[start.name], inputs.texts.held_out[start.name]
    texts, plain = inputs.texts.texts, inputs.foundation.model.texts
    before, first, second = (
        BlendScores(vectors_of(part, encoder), texts, part)
        for part, encoder in ((dev, plain), (held_out, plain), (held_out, adapted))
    )
    rows = [
        first.row("reference's text alone", {"image": 1.0}),
        first.row("words alone", {"text": 1.0}),
        first.row("sum", best_sum(before.mean_recall)),
        first.row("stage 1, sentence alone", {"sentence": 1.0}),
        second.row("stage 2, sentence alone", {"sentence": 1.0}),
    ]
    return ComparisonTable(
        rows,
        [
            ("sum", rows[2], "with a weight chosen on dev, against the sentence alone"),
            ("stage 1", rows[3], "both as a sentence alone"),
        ],
        start.settings,
        "as of the first stage",
        f"{len(held_out):,} held-out text triplets",
        f"{len(texts):,} texts",
    )
