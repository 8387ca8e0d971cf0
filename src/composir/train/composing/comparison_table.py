"""The before/after table of one query side: arithmetic, stage 1, the model's own, stage 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from composir.compose.blend import BlendWeights
from composir.compose.spliced import changes_of
from composir.compose.trained import ComposerManifest
from composir.model import Model
from composir.model.text_encoder import TextEncoder
from composir.train.blend import best_of_grid, best_sum
from composir.train.composing.before_after import BlendScores, MethodRow, as_markdown, compared, row
from composir.train.composing.data import FrozenInputs, QueryVariant, vectors_of
from composir.train.composing.frozen_triplets import FrozenTriplets
from composir.train.composing.packaged import Packaged, names_for
from composir.types import FloatArray

CHANGES = ("exchange", "learned")
"""Terms of a blend that `compose.changes.Changes` gives, in its order."""


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
        told = [_difference(self.rows[-1], *one) for one in self.against]
        return "\n".join([as_markdown(self.rows, self.asked, self.searched), "", *told])


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

    model, made = inputs.foundation.model, variant.start.manifest
    plain = model.texts
    others = [packaged[name] for name in names_for(made.name) if name in packaged]
    own = [one.row for one in others if not one.is_in(composer)]
    before, after = scores(variant.dev, plain), scores(variant.dev, adapted)
    tuned, chosen = (best_of_grid(one.mean_recall, fixed) for one in (before, after))
    first, second = scores(variant.held_out, plain), scores(variant.held_out, adapted)
    came = made.settings.model_dump(exclude={"negative_weight"})
    as_it_came = _with_changes(variant, model, inputs.images) if _weighs_changes(came) else first
    rows = [
        row("image alone", first, {"image": 1.0}),
        row("text alone", first, {"text": 1.0}),
        row("sum", first, best_sum(before.mean_recall)),
        row("stage 1, sentence alone", first, {"sentence": 1.0}),
        row("stage 1, as it came", as_it_came, came),
        row("stage 1, weights chosen on dev", first, tuned),
        *own,
        row("stage 2, sentence alone", second, {"sentence": 1.0}),
        row("stage 2, weights chosen on dev", second, chosen),
    ]
    chosen_both, elsewhere = (
        "both with weights chosen on dev",
        "whose own weights were chosen elsewhere",
    )
    return ComparisonTable(
        rows,
        [
            ("sum", rows[2], chosen_both),
            ("stage 1", rows[5], chosen_both),
            *((f"the {one.name}", one, elsewhere) for one in own),
        ],
        made.settings.changed({**dict.fromkeys(CHANGES, 0.0), **chosen}),
        "chosen on dev triplets",
        f"{len(variant.held_out):,} held-out triplets",
        f"{len(inputs.images):,} images",
    )


def _weighs_changes(weights: Mapping[str, float]) -> bool:
    return any(weights[name] for name in CHANGES)


def _with_changes(variant: QueryVariant, model: Model, images: FloatArray) -> BlendScores:
    """The held-out triplets' scores of stage 1, what words exchange and pictures do included."""
    triplets = variant.held_out
    vectors = vectors_of(triplets, model.texts)
    changes = changes_of(variant.start, model)(vectors.image, triplets.indexed.texts)
    told = replace(vectors, changes=dict(zip(CHANGES, changes, strict=True)))
    return BlendScores(told, images, triplets.indexed)


def compare_texts(
    start: ComposerManifest, inputs: FrozenInputs, adapted: TextEncoder
) -> ComparisonTable:
    """Ask held-out text triplets; the blend stays the start's, since texts know nothing of v."""
    assert inputs.texts is not None
    dev, held_out = inputs.texts.dev[start.name], inputs.texts.held_out[start.name]
    texts, plain = inputs.texts.texts, inputs.foundation.model.texts
    before, first, second = (
        BlendScores(vectors_of(part, encoder), texts, part.indexed)
        for part, encoder in ((dev, plain), (held_out, plain), (held_out, adapted))
    )
    rows = [
        row("reference's text alone", first, {"image": 1.0}),
        row("words alone", first, {"text": 1.0}),
        row("sum", first, best_sum(before.mean_recall)),
        row("stage 1, sentence alone", first, {"sentence": 1.0}),
        row("stage 2, sentence alone", second, {"sentence": 1.0}),
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


def _difference(stage2: MethodRow, name: str, other: MethodRow, weights: str) -> str:
    test = compared(other, stage2)
    return (
        f"R@1 of stage 2 minus {name}: {100 * test.difference:+.1f} points "
        f"({100 * test.low:+.1f} to {100 * test.high:+.1f}, p = {test.p_value:.3f}), {weights}."
    )
