"""The before/after table of one query side: arithmetic, stage 1, the model's own, stage 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.compose.blend import BlendWeights
from composir.model.text_encoder import TextEncoder
from composir.train.blend import best_of_grid, best_sum
from composir.train.composing.before_after import BlendScores, MethodRow, as_markdown, compared, row
from composir.train.composing.data import FrozenInputs, QueryVariant, vectors_of
from composir.train.composing.packaged import Packaged, names_for
from composir.train.composing.task import FrozenTriplets

COMPARED = (("sum", 2), ("stage 1", 5))
"""What stage 2 is tested against: as told, and its line of the table."""


@dataclass(frozen=True, slots=True)
class ComparisonTable:
    """What the held-out triplets say of a composer.

    Attributes:
        rows: Lines of the table; stage 2 with chosen weights is the last.
        packaged: Which of them are the model's own composers.
        weights: What the dev triplets choose for stage 2.
        triplets: How many triplets were held out.
        images: How many images they were asked about.
    """

    rows: Sequence[MethodRow]
    packaged: Sequence[MethodRow]
    weights: BlendWeights
    triplets: int
    images: int

    def markdown(self) -> str:
        """The table, and what stage 2 gains."""
        last, chosen = self.rows[-1], "both with weights chosen on dev"
        own = "whose own weights were chosen elsewhere"
        return "\n".join(
            [
                as_markdown(self.rows, self.triplets, self.images),
                "",
                *(_difference(last, name, self.rows[place], chosen) for name, place in COMPARED),
                *(_difference(last, f"the {one.name}", one, own) for one in self.packaged),
            ]
        )


def compare(
    variant: QueryVariant,
    inputs: FrozenInputs,
    adapted: TextEncoder,
    packaged: Mapping[str, Packaged],
    fixed: Mapping[str, float],
    composer: Path,
) -> ComparisonTable:
    """Ask the held-out triplets, with weights that the dev triplets choose."""

    def scores(triplets: FrozenTriplets, encoder: TextEncoder) -> BlendScores:
        return BlendScores(vectors_of(triplets, encoder), inputs.images, triplets.indexed)

    plain, made = inputs.foundation.model.texts, variant.start.manifest
    others = [packaged[name] for name in names_for(made.name) if name in packaged]
    own = [one.row for one in others if not one.is_in(composer)]
    before, after = scores(variant.dev, plain), scores(variant.dev, adapted)
    tuned, chosen = (best_of_grid(one.mean_recall, fixed) for one in (before, after))
    first, second = scores(variant.held_out, plain), scores(variant.held_out, adapted)
    rows = [
        row("image alone", first, {"image": 1.0}),
        row("text alone", first, {"text": 1.0}),
        row("sum", first, best_sum(before.mean_recall)),
        row("stage 1, sentence alone", first, {"sentence": 1.0}),
        row("stage 1, as it came", first, made.settings.model_dump(exclude={"negative_weight"})),
        row("stage 1, weights chosen on dev", first, tuned),
        *own,
        row("stage 2, sentence alone", second, {"sentence": 1.0}),
        row("stage 2, weights chosen on dev", second, chosen),
    ]
    asked = len(variant.held_out.indexed)
    return ComparisonTable(rows, own, made.settings.changed(chosen), asked, len(inputs.images))


def _difference(stage2: MethodRow, name: str, other: MethodRow, weights: str) -> str:
    test = compared(other, stage2)
    return (
        f"R@1 of stage 2 minus {name}: {100 * test.difference:+.1f} points "
        f"({100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p_value:.3f}), {weights}."
    )
