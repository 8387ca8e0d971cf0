"""The bundle: a model is a folder, described by its `bundle.json`, loaded without pickle.

A query that needs the text side alone does not read the rest: `checked_files`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import Field, PositiveInt, model_validator

from composir.data.fields import ManifestPart
from composir.errors import BundleError
from composir.images.preprocess import PreprocessSpec
from composir.model.checked_files import (
    CheckedFolder,
    FileEntry,
    list_files,
    read_manifest,
    write_manifest,
)
from composir.model.framing import Framing
from composir.model.known_texts import KnownTexts, read_known
from composir.names import NAME_PATTERN
from composir.types import FloatArray

MANIFEST_NAME = "bundle.json"
JOINT_NAME = "joint.json"
"""Manifest of the other kind of bundle, `joint.bundle`."""
COMPOSERS, COMPOSER_MANIFEST = "composers", "composer.json"
SCHEMA = 1
MOST_WIDTH = 65_536
"""Of any vector, and of a text in tokens."""


class AppearanceFields(ManifestPart):
    """The last `width` coordinates of gallery vectors: what texts do not say of a picture.

    Their norm is `weight` times that of the coordinates before, so of a cosine between two pictures
    they make up `weight ** 2` parts to one. Vectors of texts are zero there, so cosines of texts
    and pictures reach `1 / sqrt(1 + weight ** 2)` at most.
    """

    width: int = Field(gt=0, le=MOST_WIDTH)
    weight: float = Field(gt=0, le=1e6, allow_inf_nan=False)


class ImageSide(ManifestPart):
    """The gallery's image encoder: a graph from `pixels` to `vector`, and its preprocessing."""

    later: ClassVar[frozenset[str]] = frozenset({"grid"})
    graph: str
    preprocess: PreprocessSpec
    appearance: AppearanceFields | None = None
    grid: tuple[PositiveInt, PositiveInt] | None = None
    """Rows and columns of patch tokens, which come row by row; None where they are as many."""

    @property
    def appearance_width(self) -> int:
        """How many of the last coordinates are appearance; 0 where there is no such part."""
        return self.appearance.width if self.appearance else 0


class WordTable(ManifestPart):
    """Word embeddings, (vocabulary, Dw): int8 with a scale a row, or float16 without scales."""

    values: str
    scales: str | None = None


class TextSide(ManifestPart):
    """The text encoder: from `word_embeddings` and `mask` to `vector` and `token_states`.

    A graph of a bundle with a framing takes the place where it pools, `eot`, besides.

    Attributes:
        graph: The `.onnx` file.
        tokenizer: Of the tokenizers library.
        words: The table of word embeddings.
        max_tokens: Longer sentences are cut, the frame included.
        attention_heads: Not to be read off the graph's weights; training through a tower that is
            read back from the graph needs it.
        framing: What stands around the words; None where the tokeniser frames, and the mean of
            the tokens is the vector.
        tower: Weights of the torch text tower, as safetensors, where training needs them.
        spec: Fields of that tower's `foundation.text_tower.TextTowerSpec`.
        matching: Weights of what makes that tower tell whether a sentence and a picture belong
            together (`foundation.text_tower`), as safetensors; None where the model cannot.
    """

    later: ClassVar[frozenset[str]] = frozenset({"framing", "tower", "spec", "matching"})

    graph: str
    tokenizer: str
    words: WordTable
    max_tokens: int = Field(gt=2, le=MOST_WIDTH)
    attention_heads: int | None = Field(default=None, gt=0, le=MOST_WIDTH)
    framing: Framing | None = None
    tower: str | None = None
    spec: dict[str, Any] | None = None
    matching: str | None = None

    @model_validator(mode="after")
    def _matching_has_a_tower(self) -> Self:
        if self.matching is not None and self.tower is None:
            raise ValueError("a matching encoder needs the text tower's weights beside it")
        return self

    @model_validator(mode="after")
    def _length_is_the_limit(self) -> Self:
        length = self.framing.length if self.framing else None
        if length not in (None, self.max_tokens):
            raise ValueError(
                f"sentences are padded to {length} tokens, but cut at {self.max_tokens}"
            )
        return self


class Source(ManifestPart):
    """One data set or set of weights that went into the model."""

    name: str
    licence: str
    use: str


class ModelManifest(ManifestPart):
    """What manifests of models of both kinds hold.

    Attributes:
        schema_version: Version of its format.
        name: What people call the model.
        dimension: D, width of the shared space.
        default_composer: Composer of `search` when none is asked for.
        composers: Settings by composer name, chosen on dev splits; under `changes`, numbers of the
            space that trained composers share (`compose.changes.PhraseSpace`).
        confidence: Calibrated coefficients of the gallery's confidence by field name, for `words`
            alone, an `image` alone, `both`, and scores that are a `product`.
        copy_similarity: Least cosine between a picture and a copy of it, for the gallery's rule of
            near duplicates; None where nobody measured it: vectors then have no say.
        licence: Of the weights in this bundle.
        sources: Data and weights that went into it.
        training: How it was made: command, seed, figures.
        efficiency: Parameters, FLOPs and the like, by name.
        family: Whose architecture it is, e.g. `clip`; None for composir's own.
        files: All other files.
    """

    later: ClassVar[frozenset[str]] = frozenset({"family", "copy_similarity"})

    schema_version: int
    name: str = Field(pattern=NAME_PATTERN)
    dimension: int = Field(gt=0, le=MOST_WIDTH)
    default_composer: str
    composers: dict[str, dict[str, float | int | str]] = Field(default_factory=dict)
    confidence: dict[str, dict[str, float]] = Field(default_factory=dict)
    copy_similarity: float | None = Field(default=None, ge=-1, le=1)
    licence: str
    sources: list[Source] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)
    efficiency: dict[str, float] = Field(default_factory=dict)
    family: str | None = None
    files: dict[str, FileEntry]


class Manifest(ModelManifest):
    """What `bundle.json` holds beside that.

    Attributes:
        word_dimension: Dw, width of word embeddings.
        image: The gallery side.
        text: The text side.
        templates: Named sentences with `{}` where pseudo-words go.
        mean_image: File with the mean vector of many unrelated pictures, (D,) float32, which
            confidence is judged against; None where there is none.
        spread: File with a factor F, (r, D) float16, of the covariance F'F of the vectors of many
            unrelated pictures, by which composers even what they blend; None where there is none.
        known_texts: Texts that come up in most queries, with their vectors; None where all texts
            are encoded.
    """

    later: ClassVar[frozenset[str]] = ModelManifest.later | {"known_texts", "spread"}

    word_dimension: int = Field(gt=0, le=MOST_WIDTH)
    image: ImageSide
    text: TextSide
    templates: dict[str, str]
    mean_image: str | None = None
    spread: str | None = None
    known_texts: KnownTexts | None = None

    @model_validator(mode="after")
    def _appearance_leaves_room(self) -> Self:
        if self.image.appearance_width >= self.dimension:
            raise ValueError(
                f"an appearance part of {self.image.appearance_width} leaves nothing of "
                f"{self.dimension} dimensions for texts"
            )
        return self


class Bundle(CheckedFolder[Manifest]):
    """A loaded `bundle.json` and checked access to its files."""

    manifest_name = MANIFEST_NAME

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle's manifest and check that all files are there, of the right size.

        Raises:
            BundleError: If it is no bundle, is of another schema, or a file is missing.
        """
        path = folder / MANIFEST_NAME
        bundle = cls(folder, read_manifest(path, Manifest, SCHEMA, "model bundle"))
        for name in bundle.used_files():
            if name not in bundle.manifest.files:
                raise BundleError(f"{path} uses {name} but does not list it")
        return bundle

    def used_files(self) -> tuple[str, ...]:
        """Names of the files that the encoders, and training through them, open."""
        image, text = self.manifest.image, self.manifest.text
        words = text.words
        names = (image.graph, text.graph, text.tokenizer, words.values, words.scales)
        known = self.manifest.known_texts
        brought = (known.vectors, known.texts) if known else ()
        further = (
            text.tower,
            text.matching,
            self.manifest.mean_image,
            self.manifest.spread,
            *brought,
        )
        return tuple(name for name in (*names, *further) if name)

    def mean_image(self) -> FloatArray | None:
        """Mean vector of many unrelated pictures, (D,) float32; None where the bundle has none.

        Raises:
            BundleError: If its file is damaged or holds something else.
        """
        name = self.manifest.mean_image
        if name is None:
            return None
        from composir.data.untrusted_arrays import read_array

        shape = (self.manifest.dimension,)
        path = self.file(name)
        mean = read_array(path, BundleError, shape=shape, dtypes=("float32",), finite=True)
        return np.asarray(mean, dtype=np.float32)

    def spread(self) -> FloatArray | None:
        """Factor of the covariance of pictures' vectors, (r, D) float32; None where it has none.

        Raises:
            BundleError: If its file is damaged or holds something else.
        """
        name = self.manifest.spread
        if name is None:
            return None
        from composir.data.untrusted_arrays import read_array

        shape = (None, self.manifest.dimension)
        path = self.file(name)
        factor = read_array(path, BundleError, shape=shape, dtypes=("float16",), finite=True)
        return np.asarray(factor, dtype=np.float32)

    def known_texts(self) -> dict[str, FloatArray]:
        """Vectors of texts that it brings, (D,) float32 of unit norm; none of another text side.

        Raises:
            BundleError: If their files are damaged.
        """
        known = self.manifest.known_texts
        if known is None or known.encoder != self.text_side_checksum:
            return {}
        return read_known(self.file(known.vectors), self.file(known.texts), self.manifest.dimension)

    @property
    def fingerprint(self) -> str:
        """Identifies the gallery side: the image graph's content and its preprocessing.

        The text side is left out on purpose: a new query side never asks for a new index.
        """
        image = self.manifest.image
        # What is None is left out: fields that came later change no fingerprint of earlier bundles.
        preprocessing = image.preprocess.model_dump_json(exclude_none=True)
        content = self.manifest.files[image.graph].sha256 + preprocessing
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def text_checksum(self) -> str:
        """SHA-256 of the text graph, which trained composers are bound to."""
        return self.manifest.files[self.manifest.text.graph].sha256

    @property
    def text_side_checksum(self) -> str:
        """SHA-256 of all that a text's vector hangs on: graph, tokeniser, words and framing."""
        text, files = self.manifest.text, self.manifest.files
        names = (text.graph, text.tokenizer, text.words.values, text.words.scales)
        framing = text.framing.model_dump_json() if text.framing else ""
        parts = [*(files[name].sha256 for name in names if name), str(text.max_tokens), framing]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def composer_folders(self) -> dict[str, Path]:
        """Folders of the trained composers in this bundle, by name."""
        parts = [Path(name).parts for name in self.manifest.files]
        names = {
            part[1] for part in parts if part[0] == COMPOSERS and part[2:] == (COMPOSER_MANIFEST,)
        }
        return {name: self.folder / COMPOSERS / name for name in sorted(names)}


def save_manifest(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Write `bundle.json` for the files that lie in a folder."""
    manifest = Manifest(schema_version=SCHEMA, files=list_files(folder, MANIFEST_NAME), **fields)
    write_manifest(folder / MANIFEST_NAME, manifest)
    return manifest
