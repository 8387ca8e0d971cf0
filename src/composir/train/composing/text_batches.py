"""Which text triplets stand together at a step: the same reference, the same edit, and others.

Beside triplets of the same reference with other edits a query cannot answer by the reference alone,
and beside triplets of the same edit of other references not by the words alone: hard negatives
without mining (the ideas of RTD, arXiv 2406.09188, and DeCIR, arXiv 2605.08389).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.compose.trained import Templates
from composir.errors import TrainingError
from composir.train.composing.frozen_triplets import FrozenTriplets, Rows
from composir.train.composing.query_tokens import TextReader
from composir.train.config import Between, Length, Pairs, Settings, Temperature, Weight
from composir.train.loop import drawn_rows
from composir.triplets.caption_edits import TextTriplet
from composir.types import FloatArray


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
        """Find who shares a reference or an edit; so many rows a batch, so many alike together."""
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


class TextVectors:
    """Vectors of n texts in the frozen tower, (n, D) float32, unit norm."""

    def __init__(self, texts: Sequence[str], vectors: FloatArray) -> None:
        self.texts, self.vectors = tuple(texts), vectors
        self._rows = {text: row for row, text in enumerate(texts)}

    def rows(self, texts: Sequence[str]) -> list[int]:
        """Where texts are."""
        return [self._rows[text] for text in texts]

    def of(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of some of the texts, (m, D)."""
        return self.vectors[self.rows(texts)]


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Text triplets of a step as one query side puts them.

    Attributes:
        templates: The query side's sentences.
        tokens: b of (L, Dw), read in the references.
        texts: b modification texts.
        targets: (b, D), vectors of the targets' texts.
        negatives: (b, h, D), each row's own further negatives.
        valid: (b, b + h) bool, which columns count for each row.
        temperature: τ of the contrast.
        weight: Of the loss.
    """

    templates: Templates
    tokens: tuple[Tensor, ...]
    texts: tuple[str, ...]
    targets: Tensor
    negatives: Tensor
    valid: Tensor
    temperature: float
    weight: float


@dataclass(frozen=True, slots=True)
class TextTraining:
    """Text triplets to train on, a batch at a time; the query sides' readers take turns."""

    triplets: Sequence[TextTriplet]
    batches: TextBatches
    vectors: TextVectors
    readers: Sequence[TextReader]
    config: TextBatchConfig

    def batch(self, step: int) -> TextBatch:
        """The triplets of a step; noise is drawn with torch."""
        chosen = [self.triplets[row] for row in self.batches.rows(step)]
        reader = self.readers[step % len(self.readers)]
        names = [triplet.reference for triplet in chosen]
        references = torch.from_numpy(self.vectors.of(names))
        further = references[:, None][:, : self.config.reference]
        others = torch.from_numpy(_others(chosen))
        counts = torch.ones(len(chosen), further.shape[1], dtype=torch.bool)
        targets = torch.from_numpy(self.vectors.of([triplet.target for triplet in chosen]))
        tokens = reader.tokens(names, references, self.config.noise)
        device = tokens[0].device
        return TextBatch(
            templates=reader.start.manifest.templates,
            tokens=tokens,
            texts=tuple(triplet.text for triplet in chosen),
            targets=targets.to(device),
            negatives=further.to(device),
            valid=torch.cat([others, counts], dim=1).to(device),
            temperature=self.config.temperature,
            weight=self.config.weight,
        )


@dataclass(frozen=True, slots=True)
class FrozenTexts:
    """Text triplets of a run.

    Attributes:
        training: To train on; None where nothing is.
        dev: By start, to choose by.
        held_out: By start, for the table where there are no pictures.
        texts: (n, D) float32, vectors of all texts of dev and held-out triplets: what is searched.
        captions: Texts of the references that are trained on, plain captions as a rule.
    """

    training: TextTraining | None
    dev: Mapping[str, FrozenTriplets]
    held_out: Mapping[str, FrozenTriplets]
    texts: FloatArray
    captions: tuple[str, ...]

    @property
    def train_count(self) -> int:
        """Text triplets to train on."""
        return len(self.training.triplets) if self.training else 0


def _others(chosen: Sequence[TextTriplet]) -> NDArray[np.bool_]:
    """Which targets are no answer to a row's question, (b, b); a row's own target counts."""
    targets = np.array([triplet.target for triplet in chosen])
    questions = np.array([f"{triplet.reference}\n{triplet.text}" for triplet in chosen])
    others: NDArray[np.bool_] = targets[:, None] != targets
    others &= questions[:, None] != questions
    np.fill_diagonal(others, val=True)
    return others
