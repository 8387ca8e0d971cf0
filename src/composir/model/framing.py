"""How a text encoder wants its sentences framed, as data of the bundle.

Families differ in what stands around the words (an opening token, a closing one), in whether
sentences are padded to one length with real embeddings, and in the place that becomes the vector.
Bundles without a framing are those of earlier versions: their tokeniser frames.
"""

from __future__ import annotations

import string
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from composir.data.fields import ManifestPart

_TokenId: TypeAlias = Annotated[int, Field(ge=0)]
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Framing(ManifestPart):
    """What happens to a text's tokens before the encoder reads them.

    Attributes:
        opening: Id of the token before the words, if there is one.
        closing: Id of the token behind the words, if there is one.
        pad: Id of the token that fills sentences up to `length`.
        length: All sentences are padded to so many tokens, and the encoder reads the padding too;
            None where sentences have their own length.
        padding_side: Where that padding stands.
        pooling: The place that becomes the vector: the closing token (`eot`), the last position,
            padding included (`last`), the first token (`cls`), or all of them (`mean`).
        causal: Whether tokens see only what stands before them; a record, the graph does it.
        lower: Whether texts are lower-cased first.
        strip_punctuation: Whether ASCII punctuation is taken out first, and white space made one
            space, as SigLIP's tokeniser does.
        temperature: What similarities are divided by in a softmax, from the logit scale.
    """

    opening: tuple[_TokenId, ...] = Field(default=(), max_length=1)
    closing: tuple[_TokenId, ...] = Field(default=(), max_length=1)
    pad: _TokenId
    length: int | None = Field(default=None, gt=2)
    padding_side: Literal["right", "left"] = "right"
    pooling: Literal["eot", "last", "cls", "mean"]
    causal: bool = False
    lower: bool = False
    strip_punctuation: bool = False
    temperature: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _ends_where_it_pools(self) -> Self:
        if self.pooling == "eot" and not self.closing:
            raise ValueError("pooling at the end-of-text token needs a closing token")
        return self

    @property
    def ids(self) -> tuple[int, ...]:
        """All token ids that it names."""
        return (*self.opening, *self.closing, self.pad)

    def clean(self, text: str) -> str:
        """A text as the tokeniser is to get it; a space at either end stays one."""
        text = text.lower() if self.lower else text
        if not self.strip_punctuation:
            return text
        words = " ".join(text.translate(_NO_PUNCTUATION).split())
        return " " * text[:1].isspace() + words + " " * (bool(words) and text[-1:].isspace())

    def padding(self, length: int) -> tuple[int, int]:
        """How many pads stand before and behind a sentence of so many tokens."""
        missing = max(0, (self.length or length) - length)
        return (missing, 0) if self.padding_side == "left" else (0, missing)

    def place(self, length: int) -> int:
        """Where a sentence of so many tokens is pooled, its padding counted."""
        before, behind = self.padding(length)
        first, last = before, before + length - 1
        return {"eot": last, "last": last + behind, "cls": first, "mean": 0}[self.pooling]


def dropped(framing: Framing | None, before: int, after: int, room: int) -> tuple[int, int] | None:
    """How many tokens of a sentence with pseudo-words have to go.

    What stands before the pseudo-words goes first, from its front, so that the end of what people
    wrote stays as long as it can. Of bundles without framing only the end is cut, as ever.

    Returns:
        How many go from the front of the words before, and from the end of those behind; None
        where pseudo-words do not fit at all.
    """
    excess = max(0, before + after - room)
    if framing is None:
        return (0, excess) if excess <= after else None
    first = min(excess, before)
    return (first, excess - first) if room >= 0 else None
