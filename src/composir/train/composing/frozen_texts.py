"""Text triplets with everything frozen about them: vectors, and what query sides read in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from composir.compose.trained import Templates
from composir.train.composing.frozen_triplets import FrozenTriplets
from composir.train.composing.text_batches import TextBatchConfig, TextBatches
from composir.train.composing.text_references import TextReader
from composir.triplets.caption_edits import TextTriplet
from composir.types import FloatArray


class TextVectors:
    """Vectors of texts in the frozen tower.

    Attributes:
        texts: Those that are known, each once.
        vectors: (n, D) float32, unit norm.
    """

    def __init__(self, texts: Sequence[str], vectors: FloatArray) -> None:
        """Keep the vectors of n texts."""
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


class TextTraining:
    """Batches of text triplets; the query sides take turns.

    Attributes:
        config: What they add to a step.
        count: Text triplets to train on.
    """

    def __init__(
        self,
        triplets: Sequence[TextTriplet],
        batches: TextBatches,
        vectors: TextVectors,
        readers: Sequence[TextReader],
        config: TextBatchConfig,
    ) -> None:
        """Prepare.

        Args:
            triplets: To train on.
            batches: Which of them a step sees.
            vectors: Of the references and targets of all that are drawn.
            readers: One for each start.
            config: Settings.
        """
        self.config, self.count = config, len(triplets)
        self._triplets, self._batches = triplets, batches
        self._vectors, self._readers = vectors, readers

    def batch(self, step: int) -> TextBatch:
        """The triplets of a step; noise is drawn with torch."""
        chosen = [self._triplets[row] for row in self._batches.rows(step)]
        reader = self._readers[step % len(self._readers)]
        names = [triplet.reference for triplet in chosen]
        references = torch.from_numpy(self._vectors.of(names))
        further = references[:, None][:, : self.config.reference]
        others = torch.from_numpy(_others(chosen))
        counts = torch.ones(len(chosen), further.shape[1], dtype=torch.bool)
        targets = torch.from_numpy(self._vectors.of([triplet.target for triplet in chosen]))
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
        return self.training.count if self.training else 0


def _others(chosen: Sequence[TextTriplet]) -> NDArray[np.bool_]:
    """Which targets are no answer to a row's question, (b, b); a row's own target counts."""
    targets = np.array([triplet.target for triplet in chosen])
    questions = np.array([f"{triplet.reference}\n{triplet.text}" for triplet in chosen])
    others: NDArray[np.bool_] = targets[:, None] != targets
    others &= questions[:, None] != questions
    np.fill_diagonal(others, val=True)
    return others
