"""What triplets are made of, on every step of the way."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np

PairKind: TypeAlias = Literal["image", "caption", "attribute"]


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One picture and what is known about it.

    Attributes:
        id: Unique within its source.
        file: Absolute path.
        captions: Descriptions, any number.
        attributes: Other text columns, e.g. `{"colour": "Black", "title": "..."}`.
        row: Everything that its source says, for the gallery of the result.
    """

    id: str
    file: Path
    captions: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Pictures to make triplets of.

    Attributes:
        name: What the result is called after.
        images: The pictures, ids unique.
        licence: Of the pictures, as far as it is known.
        checksum: SHA-256 over what was said about the pictures: another checksum, other triplets.
        notices: What was left out and why, for people.
    """

    name: str
    images: tuple[SourceImage, ...]
    licence: str
    checksum: str
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures that a text may lead between.

    Attributes:
        kind: What they have in common: near as pictures, near by caption, or all attributes but
            one.
        reference: Place in the source.
        target: Place in the source.
        column: The attribute that differs.
        old: Its value in the reference.
        new: Its value in the target.
        equal: Places of other pictures that would be just as right as the target.
    """

    kind: PairKind
    reference: int
    target: int
    column: str = ""
    old: str = ""
    new: str = ""
    equal: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """Kind and column, e.g. `attribute:colour`."""
        return f"{self.kind}:{self.column}" if self.column else self.kind


@dataclass(frozen=True, slots=True)
class WrittenText:
    """A modification text.

    Attributes:
        text: As a person would type it.
        claim: What it says about the target alone: the filter compares this with both pictures
            ("blue" where the text says "blue instead of red").
        origin: Who wrote it, for the row's provenance: writer, template or model.
    """

    text: str
    claim: str
    origin: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a pair got no text, in words that can be counted."""

    reason: str


class TextWriter(Protocol):
    """Writes texts for pairs."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes what it writes."""

    @property
    def is_spent(self) -> bool:
        """Whether it will write no more: its budget is used up."""

    def write(
        self, pairs: list[Pair], images: tuple[SourceImage, ...]
    ) -> list[WrittenText | Skipped]:
        """One text, or the reason for none, a pair, in order."""


@dataclass(frozen=True, slots=True)
class SyntheticTriplet:
    """A pair with its text, past all filters.

    Cosines are of reference and target, and of the claim with each of them.
    """

    pair: Pair
    written: WrittenText
    image_similarity: float
    target_fit: float
    reference_fit: float


def pair_rng(seed: int, *parts: str) -> np.random.Generator:
    """Dice that depend on the seed and on names alone, not on the order of the work."""
    digest = hashlib.sha256("\x1f".join((str(seed), *parts)).encode("utf-8", "replace")).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
