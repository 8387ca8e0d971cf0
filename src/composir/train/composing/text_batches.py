"""Which text triplets stand together at a step: the same reference, the same edit, and others.

Beside triplets of the same reference with other edits a query cannot answer by the reference alone,
and beside triplets of the same edit of other references not by the words alone: hard negatives
without mining (the ideas of RTD, arXiv 2406.09188, and DeCIR, arXiv 2605.08389).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import numpy as np

from composir.errors import TrainingError
from composir.train.composing.mining import Rows
from composir.train.config import Between, Length, Pairs, Settings, Temperature, Weight
from composir.train.draws import drawn_rows
from composir.triplets.caption_edits import TextTriplet


class TextBatchConfig(Settings):
    """What text triplets add to a step.

    Attributes:
        rows: Text triplets a step.
        alike: How many of one reference, or of one edit, stand together at most; up to a quarter of
            the rows are of such references, and of such edits, the rest is drawn from all.
        reference: Whether the reference's own text is a negative, 1 or 0.
        weight: Of their loss.
        temperature: τ of their contrast.
        read: How a query side reads a text in the place of a picture: `mapped`, its mapping on the
            text's vector; `words`, the text's own words, which is all that a query side on pixels
            can do; `auto`, mapped where most texts find themselves by what they are mapped to.
        noise: Largest length of the random vector added to a mapped text's, as of text-map.
    """

    rows: Pairs = 128
    alike: Annotated[int, Between(2, 1024)] = 4
    reference: Annotated[int, Between(0, 1)] = 1
    weight: Weight = 1.0
    temperature: Temperature = 0.05
    read: Literal["auto", "mapped", "words"] = "auto"
    noise: Length = 0.5


class TextBatches:
    """Rows of text triplets by step, a function of the step's number alone."""

    def __init__(self, triplets: Sequence[TextTriplet], rows: int, alike: int, seed: int) -> None:
        """Find who shares a reference or an edit.

        Args:
            triplets: To train on.
            rows: Of a batch.
            alike: How many that share something stand together.
            seed: Of the draws.
        """
        if len(triplets) < rows:
            raise TrainingError(
                f"{len(triplets):,} text triplets to train on are fewer than the {rows} of a "
                "step: bring more, or set text_batch.rows lower (--set text_batch.rows=16)"
            )
        self._count, self._rows, self._alike, self._seed = len(triplets), rows, alike, seed
        targets = [triplet.target for triplet in triplets]
        self._kinds = [
            _sharing(((t.reference, row) for row, t in enumerate(triplets)), targets),
            _sharing(((t.edit, row) for row, t in enumerate(triplets) if t.edit), targets),
        ]

    def rows(self, step: int) -> Rows:
        """Triplets of a step, each once, (b,); b is rarely a little less than `rows`."""
        generator = np.random.default_rng((self._seed, step))
        chosen: dict[int, None] = {}
        together = self._rows // (4 * self._alike)
        for sharing in self._kinds:
            count = min(together, len(sharing))
            for place in drawn_rows(len(sharing), step, count, self._seed) if count else ():
                some = generator.permutation(sharing[place])[: self._alike]
                chosen |= dict.fromkeys(some.tolist())
        for row in drawn_rows(self._count, step, self._rows, self._seed):
            if len(chosen) == self._rows:
                break
            chosen.setdefault(row)
        return np.fromiter(chosen, dtype=np.int64)

    def drawn(self, steps: int) -> Rows:
        """Every triplet that the first steps draw, ascending."""
        seen = np.zeros(self._count, dtype=bool)
        for step in range(1, steps + 1):
            seen[self.rows(step)] = True
            if step % 1000 == 0 and seen.all():
                break
        return np.flatnonzero(seen)


def _sharing(keyed: Iterable[tuple[str, int]], targets: Sequence[str]) -> list[Rows]:
    """Rows by what they share, one of each target; two at least."""
    groups: dict[str, dict[str, int]] = defaultdict(dict)
    for key, row in keyed:
        groups[key].setdefault(targets[row], row)
    return [np.array([*own.values()]) for own in groups.values() if len(own) > 1]
