"""What the pseudo-words of a reference are: where they looked, which words they are like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from composir.compose.base import Composer, QueryBatch
from composir.compose.spliced import SplicedComposer
from composir.images.preprocess import PreprocessSpec
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

WORDS = 6


@dataclass(frozen=True, slots=True)
class TokenLook:
    """One pseudo-word of the sentence that stands for the reference.

    Attributes:
        norm: Its length; those of real words are alike, so one that is far off stands out.
        words: Words of the vocabulary whose embeddings are nearest, nearest first; `##` begins a
            piece of a word.
        attention: (h, w) float32, where it looked, 1 in sum; None where the composer does not tell.
    """

    norm: float
    words: tuple[str, ...]
    attention: FloatArray | None


@dataclass(frozen=True, slots=True)
class Looks:
    """The sentence of a reference, or why there is none.

    Attributes:
        tokens: Its pseudo-words, in order.
        note: What readers should know, e.g. that the composer has no tokens.
        spec: How the picture was laid out for the encoder that attended.
    """

    tokens: tuple[TokenLook, ...] = ()
    note: str = ""
    spec: PreprocessSpec | None = None


def look_at(references: Sequence[Image.Image], composer: Composer, model: EmbeddingModel) -> Looks:
    """Find out what a composer made of a reference."""
    if not references:
        return Looks(note="The query has no reference image, so there are no tokens of it.")
    if len(references) > 1:
        return Looks(
            note=f"The query is the average of {len(references)} references, each with tokens of "
            "its own; to see those, ask with one reference."
        )
    if not isinstance(composer, SplicedComposer):
        instead = "" if model.joint else " A trained composer does, e.g. --composer isa."
        return Looks(
            note=f"The composer {composer.name} works on whole vectors: it makes no tokens that "
            f"could be shown.{instead}"
        )
    opened: Callable[[], Image.Image] = lambda: references[0]  # noqa: E731
    batch = QueryBatch(("",), image_vectors=model.encode_images(references), images=(opened,))
    found = composer.tokens(batch)
    words = composer.model.texts.nearest_words(found.words[0], WORDS)
    maps = [None] * len(words) if found.attention is None else list(found.attention[0])
    tokens = tuple(
        TokenLook(float(np.linalg.norm(word)), tuple(near), attention)
        for word, near, attention in zip(found.words[0], words, maps, strict=True)
    )
    note = "" if found.attention is not None else "This composer does not tell where it looked."
    return Looks(tokens, note, composer.folder.manifest.preprocess or model.image_spec)
