"""What words change of a picture's vector: what they replace, and which way pictures really move.

The difference of two phrases ("red" less "blue") is the way that texts know. Which way pictures
move when a phrase comes true of them is learned from triplets: the mean difference of target and
reference by phrase, smooth over phrases that mean the same (`train.composing.picture_moves`). Texts
know nothing of a vector's appearance part and little of number and pattern; pictures do. [ours]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError

from composir.compose.exchanges import Exchange, read_exchanges
from composir.compose.retrieved import PhraseVectors
from composir.compose.unlisted import shares, unlisted_changes
from composir.data.fields import ManifestPart
from composir.data.schema import first_problem
from composir.data.untrusted_arrays import read_array
from composir.errors import BundleError
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

SETTINGS = "changes"
"""Where a bundle's settings of composers hold these numbers of its space."""

_ROUNDING = 1e-4


class PhraseSpace(ManifestPart):
    """How far apart a model's space puts what is alike; the defaults are of the packaged model.

    Attributes:
        temperature: At which a picture is taken to fit phrases, of cosines.
        sharpness: Of the likeness of phrases, by which what was learned of one holds for another.
        nearness: Temperature at which texts of no phrase are taken to be of groups; 0 for none.
        drawn: How far what such texts ask for is drawn to phrases; see `compose.unlisted`.
    """

    temperature: float = Field(default=0.05, gt=0.0, allow_inf_nan=False)
    sharpness: float = Field(default=12.0, gt=0.0, allow_inf_nan=False)
    nearness: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    drawn: float = Field(default=0.0, ge=0.0, le=1.0)

    @classmethod
    def of(cls, model: EmbeddingModel) -> PhraseSpace:
        """What a model's bundle says of it.

        Raises:
            BundleError: If it says something else, or what is out of range.
        """
        try:
            return cls.model_validate(dict(model.composer_settings.get(SETTINGS, {})))
        except ValidationError as error:
            why = first_problem(error)
            raise BundleError(f"{model.name}: its settings of {SETTINGS}: {why}") from error


_USUAL = PhraseSpace()


@dataclass(frozen=True, slots=True)
class PictureMoves:
    """Which way pictures move, by phrase.

    Attributes:
        phrases: (m, D) float32, unit norm: vectors of the phrases that were learned.
        weights: (m, D) float32: a move is the sum of these, each as far as its phrase is alike.
        sharpness: Of that likeness, as they were learned with it.
    """

    phrases: FloatArray
    weights: FloatArray
    sharpness: float = _USUAL.sharpness

    @classmethod
    def load(cls, path: Path, dimension: int, sharpness: float) -> PictureMoves:
        """Read what a composer's folder holds.

        Raises:
            BundleError: If the file is damaged or of another width.
        """
        shape = (2, None, dimension)
        table = read_array(path, BundleError, shape=shape, dtypes=("float16",), finite=True)
        phrases, weights = table.astype(np.float32)
        return cls(phrases, weights, sharpness)

    def __call__(self, phrases: FloatArray) -> FloatArray:
        """The moves of some phrases' vectors, (n, D) -> (n, D); zero for what is like none."""
        alike = likeness(phrases, self.phrases, self.sharpness)
        return np.asarray(alike @ self.weights, dtype=np.float32)


def likeness(phrases: FloatArray, known: FloatArray, sharpness: float) -> FloatArray:
    """How much phrases mean the same, (n, D) and (m, D) of unit norm -> (n, m), 1 for the same."""
    return np.asarray(np.exp(sharpness * (phrases @ known.T - 1.0)), dtype=np.float32)


def asked_phrases(text: str) -> tuple[str, ...]:
    """The phrases that a text asks for, as the lexicon calls them; itself where it knows none."""
    return tuple(one.wanted for one in read_exchanges(text)) or (text,)


@dataclass(frozen=True, slots=True)
class Changes:
    """Both ways of a change, for references and texts.

    Attributes:
        encode: Gives phrases' vectors.
        moves: What was learned; None for nothing.
        space: How far apart the model's space puts things.
    """

    encode: PhraseVectors
    moves: PictureMoves | None = None
    space: PhraseSpace = _USUAL

    def __call__(self, images: FloatArray, texts: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """What texts exchange and how pictures move, (n, D) float32 each.

        Args:
            images: (n, D) float32, unit norm.
            texts: n texts.
        """
        read = [read_exchanges(text) for text in texts]
        asked = [asked_phrases(text) for text in texts]
        shown = (phrase for each in read for one in each for phrase in one.shown)
        self.encode([*shown, *(phrase for phrases in asked for phrase in phrases)])
        exchanged = np.stack([self._exchanged(v, r) for v, r in zip(images, read, strict=True)])
        unlisted = [row for row, one in enumerate(read) if not one]
        if self.space.nearness and unlisted:
            exchanged[unlisted] = self._unlisted(images[unlisted], [texts[row] for row in unlisted])
        moved = [self._moved(e, p) for e, p in zip(exchanged, asked, strict=True)]
        return exchanged, np.stack(moved)

    def _unlisted(self, images: FloatArray, texts: Sequence[str]) -> FloatArray:
        space = self.space
        return unlisted_changes(
            images,
            self.encode(texts),
            self.encode,
            temperature=space.temperature,
            nearness=space.nearness,
            drawn=space.drawn,
        )

    def _exchanged(self, image: FloatArray, read: Sequence[Exchange]) -> FloatArray:
        """What is wanted, less what the picture shows of the same group; (D,)."""
        change = np.zeros_like(image)
        for one in read:
            shown = self.encode(one.shown)
            fits = shares(shown @ image, self.space.temperature)
            change += self.encode([one.wanted])[0] - fits @ shown
        return change

    def _moved(self, exchanged: FloatArray, asked: Sequence[str]) -> FloatArray:
        """The learned moves, the less of each the more the texts know of it; (D,)."""
        if self.moves is None:
            return np.zeros_like(exchanged)
        moves = self.moves(self.encode(asked))
        # What phrases that mean the same leave of each other is rounding, and has no direction.
        said = max(float(np.linalg.norm(exchanged)), _ROUNDING)
        length = np.linalg.norm(moves, axis=1) * np.float32(said)
        known = np.abs(moves @ exchanged) / np.maximum(length, np.float32(1e-9))
        return np.asarray((1.0 - known) ** 2 @ moves, dtype=np.float32)
