"""A text in the place of a reference picture, as a query side reads it.

A mapping takes a picture's vector, and a text's in its place, once the gap between the two kinds is
closed: moved by the difference of their means and blurred by noise, as text-only mapping does
(arXiv 2312.01998). Where patches are injected into a pseudo-word, a text has none to show, and what
is left may say nothing. Such query sides, and those that look at pixels, get the text's own words,
which are a sentence already.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from composir.compose.trained import ComposerFolder
from composir.errors import TrainingError
from composir.train.composing.query_tokens import tokens_of_vectors
from composir.train.frozen import FrozenFoundation, with_noise
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class ModalityGap:
    """How vectors of texts become like those of pictures.

    Attributes:
        shift: (D,), from the mean of texts to that of what texts can say of pictures.
        scale: Length of that part of a picture's vector.
        appearance: (D,), zeros and the mean appearance of pictures, which no text tells.
    """

    shift: Tensor
    scale: float
    appearance: Tensor

    @classmethod
    def between(
        cls, foundation: FrozenFoundation, texts: FloatArray, picture: FloatArray | None
    ) -> Self:
        """From vectors of many texts, (n, D), to the mean of many pictures' vectors, (D,).

        Where nobody knows that mean, nothing is moved.
        """
        fields = foundation.model.manifest.image.appearance
        width = foundation.appearance_width
        scale = 1.0 / math.sqrt(1.0 + fields.weight**2) if fields else 1.0
        if picture is None:
            none = torch.zeros(foundation.dimension)
            return cls(none, scale, none)
        meaning, appearance = torch.from_numpy(picture).clone(), torch.from_numpy(picture).clone()
        end = len(picture) - width
        meaning[end:], appearance[:end] = 0.0, 0.0
        return cls(meaning / scale - torch.from_numpy(texts.mean(axis=0)), scale, appearance)

    def crossed(self, vectors: Tensor) -> Tensor:
        """Vectors of texts (n, D), unit norm, as those of pictures."""
        moved = functional.normalize(vectors + self.shift, dim=-1)
        return self.scale * moved + self.appearance


class TextReader:
    """Reads texts as one start's query side: by its mapping, or their own words (`maps`)."""

    def __init__(
        self, start: ComposerFolder, foundation: FrozenFoundation, gap: ModalityGap, *, maps: bool
    ) -> None:
        """Read as `start` does; `maps`: by its mapping, which has to take vectors."""
        if maps and not maps_vectors(start):
            raise TrainingError(
                f"{start.folder} maps no vectors ({start.manifest.kind} of "
                f"{start.manifest.input}), so it cannot read texts so: set text_batch.read=words"
            )
        self.start, self.maps = start, maps
        self._foundation, self._gap = foundation, gap
        self._most_words = foundation.model.texts.max_tokens // 2
        self._mapping = tokens_of_vectors(start, foundation) if maps else None

    def found(self, texts: Sequence[str], vectors: FloatArray) -> float:
        """Share of n texts that the sentence made of their pseudo-words is nearest to."""
        model, template = self._foundation.model, self.start.manifest.templates.image
        words = [one.cpu().numpy() for one in self.tokens(texts, torch.from_numpy(vectors))]
        sentences, _ = model.texts.encode_spliced([template] * len(words), words)
        nearest = (sentences @ vectors.T).argmax(axis=1)
        return float((nearest == np.arange(len(nearest))).mean())

    def tokens(
        self, texts: Sequence[str], vectors: Tensor, noise: float = 0.0
    ) -> tuple[Tensor, ...]:
        """Pseudo-words of n texts, n of (L, Dw), where the foundation is.

        `vectors` are theirs, (n, D), on the CPU; `noise` is as of `with_noise`.
        """
        if self._mapping is None:
            embed, ids = self._foundation.embed, self._foundation.word_ids
            return tuple(embed(ids(text)[: self._most_words]) for text in texts)
        noisy = with_noise(self._foundation, vectors, noise) if noise else vectors
        mapped = self._mapping(np.asarray(self._gap.crossed(noisy), dtype=np.float32))
        return tuple(torch.from_numpy(mapped).to(self._foundation.device))


def maps_vectors(start: ComposerFolder) -> bool:
    """Whether a first stage makes pseudo-words of vectors, and of patches at most beside them."""
    return start.manifest.kind == "pseudo_word" and start.manifest.input != "pixels"
