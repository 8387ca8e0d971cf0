"""What text-only mapping trains: from a noisy caption back to its content."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from composir.errors import TrainingError
from composir.train.baselines.content_words import GAP, with_gaps
from composir.train.config import Batch, LearningRate, Length, Settings
from composir.train.draws import drawn_rows
from composir.train.frozen import FrozenFoundation
from composir.train.loop import ParameterGroup
from composir.train.mapping.dev_check import DevCheck
from composir.train.mapping.mapper import Mapper
from composir.train.sentences import framed, read_embedded

MOST_DEV = 256


class TextObjective(Settings):
    """What is asked of the mapper.

    Attributes:
        batch: Captions a step.
        rate: Peak learning rate.
        noise: Largest length of the random vector added to a caption's vector; its length is drawn
            uniformly up to this.
    """

    batch: Batch = 256
    rate: LearningRate = 5e-4
    noise: Length = 1.5


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption with gaps: token ids, and `None` where pseudo-words go."""

    text: str
    pieces: tuple[int | None, ...]


class TextMapTask:
    r"""Back from a noisy caption to its content (a `loop.TrainingTask`).

    $$ L = \frac1n \sum_i \| T(c_i \text{ with its content replaced by } w_i) - T(c_i) \|^2,
       \quad w_i = \phi(\mathrm{normalise}(T(c_i) + u_i \epsilon_i)) $$

    with $u_i$ uniform up to `noise` and $\epsilon_i$ of unit length (arXiv 2312.01998, section 3.2;
    the noise's scale is ours).
    """

    def __init__(
        self,
        foundation: FrozenFoundation,
        mapper: Mapper,
        captions: tuple[Sequence[Caption], Sequence[Caption]],
        vectors: tuple[Tensor, Tensor],
        objective: TextObjective,
        seed: int,
        dev_checks: Sequence[DevCheck] = (),
    ) -> None:
        """Prepare.

        Args:
            foundation: The frozen text tower.
            mapper: Trained here.
            captions: Training and dev captions.
            vectors: Theirs, (n, D) and (m, D), unit norm.
            objective: Loss and batches.
            seed: Of the order and the noise.
            dev_checks: Called at every evaluation.
        """
        if len(captions[0]) < objective.batch:
            raise TrainingError(
                f"{len(captions[0])} captions with content words are fewer than a batch of "
                f"{objective.batch}: add captions, or set objective.batch lower"
            )
        self.foundation, self.mapper, self.captions = foundation, mapper, captions
        self.vectors, self.objective, self.seed = vectors, objective, seed
        self.dev_checks = dev_checks

    def groups(self) -> Sequence[ParameterGroup]:
        """The mapper."""
        return [ParameterGroup(tuple(self.mapper.parameters()), self.objective.rate)]

    def loss(self, step: int) -> Tensor:
        """Squared distance of one batch."""
        self.mapper.train()
        rows = drawn_rows(len(self.captions[0]), step, self.objective.batch, self.seed)
        vectors = self.vectors[0][rows]
        noisy = with_noise(self.foundation, vectors, self.objective.noise)
        back = self.filled([self.captions[0][row] for row in rows], self.mapper(noisy)[0])
        return (back - vectors).square().sum(1).mean()

    def evaluate(self) -> dict[str, float]:
        """Mean cosine of dev captions to themselves with content replaced, and the dev checks."""
        self.mapper.eval()
        figures: dict[str, float] = {}
        with torch.no_grad():
            if len(self.captions[1]):
                vectors = self.vectors[1][:MOST_DEV]
                back = self.filled(self.captions[1][:MOST_DEV], self.mapper(vectors)[0])
                figures["caption_cosine"] = float((back * vectors).sum(1).mean())
            for check in self.dev_checks:
                figures |= check(self.mapper)
        return figures

    def filled(self, captions: Sequence[Caption], tokens: Tensor) -> Tensor:
        """Vectors of captions whose gaps are filled with pseudo-words.

        Args:
            captions: n captions.
            tokens: (n, L, Dw); every gap of caption i gets all of row i.

        Returns:
            (n, D), unit norm.
        """
        sentences = [
            framed(self.foundation, [words if piece is None else piece for piece in caption.pieces])
            for caption, words in zip(captions, tokens, strict=True)
        ]
        return read_embedded(self.foundation, self.foundation.text, sentences).vectors


def with_noise(foundation: FrozenFoundation, vectors: Tensor, longest: float) -> Tensor:
    """Vectors of texts, moved as if they were pictures': the gap between the two is like noise.

    Args:
        foundation: Says which coordinates are appearance; texts have none, so noise has none.
        vectors: (n, D), unit norm.
        longest: Largest length of the random vector that is added; its length is uniform up to
            this, drawn with torch.

    Returns:
        (n, D), unit norm.
    """
    direction = foundation.text_aligned(torch.randn_like(vectors))
    direction = functional.normalize(direction, dim=-1)
    length = longest * torch.rand(len(vectors), 1, device=vectors.device)
    return functional.normalize(vectors + length * direction, dim=-1)


def gapped(foundation: FrozenFoundation, texts: Sequence[str]) -> list[Caption]:
    """Captions with gaps; those without content words are left out."""
    captions = []
    for text in texts:
        parts = with_gaps(text)
        if GAP not in parts:
            continue
        pieces: list[int | None] = []
        for part in parts:
            pieces += [None] if part is GAP else foundation.word_ids(part)
        captions.append(Caption(text, tuple(pieces)))
    return captions
