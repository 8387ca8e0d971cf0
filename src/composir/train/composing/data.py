"""Triplets with everything frozen about them: vectors, tokens of references, sentences.

Images are encoded once; what a start's query side makes of the references, once for each start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from composir.compose.template import filled, without_reference
from composir.compose.trained import MANIFEST_NAME, ComposerFolder
from composir.errors import TrainingError
from composir.model import Model
from composir.model.text_encoder import TextEncoder
from composir.train.composing.before_after import Vectors
from composir.train.composing.frozen_texts import FrozenTexts
from composir.train.composing.frozen_triplets import FrozenTriplets
from composir.train.composing.mining import IndexedTriplets
from composir.train.composing.query_tokens import query_tokens
from composir.train.composing.triplet_files import TrainingTriplet
from composir.train.composing.triplet_split import TripletSplit, subset
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import GalleryFeatures
from composir.train.run import COMPOSER
from composir.types import FloatArray

# More dev or held-out triplets would only cost time: R@1 is known to about 3 points by then.
MOST_EVALUATED = 1000


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """All images of the triplets, encoded.

    Attributes:
        vectors: (n, D) float32, unit norm, of the gallery's encoder.
        row_of: MethodRow of each file that could be read.
        references: What each start's query side makes of them, in the order of the starts.
    """

    vectors: FloatArray
    row_of: Mapping[Path, int]
    references: tuple[EncodedReferences, ...]


@dataclass(frozen=True, slots=True)
class EncodedReferences:
    """What one query side makes of all images; zeros where an image is nobody's reference.

    Attributes:
        tokens: (n, L, Dw) float32.
        vectors: (n, D) float32, v of the query: the graph's own where it gives one, else the
            gallery's.
    """

    tokens: FloatArray
    vectors: FloatArray


@dataclass(frozen=True, slots=True)
class QueryVariant:
    """A start, and the triplets as its query side puts them.

    Attributes:
        start: Its manifest and files.
        train: To train on.
        dev: To choose the checkpoint and the weights on.
        held_out: For the table.
    """

    start: ComposerFolder
    train: FrozenTriplets
    dev: FrozenTriplets
    held_out: FrozenTriplets


@dataclass(frozen=True, slots=True)
class FrozenInputs:
    """Everything that is frozen in a run.

    Attributes:
        foundation: The model.
        starts: The first stages.
        images: (n, D) float32, unit norm: vectors of all images; n is 0 for texts alone.
        files: The n images.
        variants: What each start makes of the triplets of pictures; none for texts alone.
        texts: The text triplets; None where there are none.
    """

    foundation: FrozenFoundation
    starts: tuple[ComposerFolder, ...]
    images: FloatArray = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    files: tuple[Path, ...] = ()
    variants: tuple[QueryVariant, ...] = ()
    texts: FrozenTexts | None = None

    @property
    def train_count(self) -> int:
        """Training triplets of pictures."""
        return len(self.variants[0].train) if self.variants else 0

    @property
    def text_count(self) -> int:
        """Training triplets of texts."""
        return self.texts.train_count if self.texts else 0

    @property
    def plain_texts(self) -> tuple[str, ...]:
        """What the anchor holds where no captions are named."""
        if self.variants and self.train_count:
            return self.variants[0].train.indexed.texts
        return self.texts.captions if self.texts else ()


def open_starts(starts: Sequence[str], model: Model) -> tuple[ComposerFolder, ...]:
    """Find the first stages."""
    found = tuple(open_start(start, model) for start in starts or ("",))
    folders: dict[str, Path] = {}
    for one in found:
        name = one.manifest.name
        if name in folders:
            raise TrainingError(
                f"two starts are named {name}, {folders[name]} and {one.folder}, but each start's "
                "composer is written to a folder of its name: name one of them once, or train one "
                "again with another name (--set name=...)"
            )
        folders[name] = one.folder
    return found


def open_start(start: str, model: Model) -> ComposerFolder:
    """Find the first stage."""
    found = ComposerFolder.load(_start_folder(start, model))
    words = model.manifest.word_dimension
    found.check_model(model.name, model.fingerprint, model.text_checksum, words)
    if found.manifest.kind == "adapted":
        raise TrainingError(
            f"{found.folder} is of stage 2 already: start from the first stage it was made of"
        )
    return found


def encode_references(
    files: Sequence[Path],
    references: frozenset[Path],
    starts: Sequence[ComposerFolder],
    features: GalleryFeatures,
) -> EncodedImages:
    """Make tokens of the references with every start."""
    row_of = {files[int(kept)]: row for row, kept in enumerate(features.kept)}
    rows = sorted(row_of[file] for file in references if file in row_of)
    made = tuple(_references(start, files, features, rows) for start in starts)
    return EncodedImages(features.vectors, row_of, made)


def readable(
    triplets: Sequence[TrainingTriplet], images: EncodedImages
) -> tuple[TrainingTriplet, ...]:
    """Triplets without the images that cannot be read; those that lose their sense are left out."""
    kept = []
    for triplet in triplets:
        targets = tuple(file for file in triplet.targets if file in images.row_of)
        shown = tuple(file for file in triplet.shown if file in images.row_of)
        if targets and triplet.reference in images.row_of:
            kept.append(replace(triplet, targets=targets, shown=shown))
    return tuple(kept)


def limited(split: TripletSplit, max_triplets: int) -> TripletSplit:
    """At most so many training triplets (negative: all), and not too many to evaluate."""
    return replace(
        split,
        train=subset(split.train, max_triplets),
        dev=subset(split.dev, MOST_EVALUATED),
        held_out=subset(split.held_out, MOST_EVALUATED),
    )


def index_triplets(
    triplets: Sequence[TrainingTriplet], images: EncodedImages, model: Model
) -> IndexedTriplets:
    """Triplets as rows of the images, the same for every start; may be empty."""
    references = np.array([images.row_of[t.reference] for t in triplets], dtype=np.int64)
    texts = tuple(t.text for t in triplets)
    return IndexedTriplets(
        references=references,
        texts=texts,
        targets=tuple(frozenset(images.row_of[f] for f in t.targets) for t in triplets),
        shown=tuple(tuple(images.row_of[f] for f in t.shown) for t in triplets),
        text_vectors=model.encode_texts([without_reference(text) for text in texts]),
        kept_back=tuple(frozenset(images.row_of[f] for f in t.kept_back) for t in triplets),
    )


def freeze_triplets(
    triplets: IndexedTriplets, made: EncodedReferences, start: ComposerFolder, model: Model
) -> FrozenTriplets:
    """Triplets as a start puts them: its tokens, its v and the sentences of the references."""
    tokens, vectors = made.tokens[triplets.references], made.vectors[triplets.references]
    templates = start.manifest.templates
    sentences, _ = model.texts.encode_spliced([templates.image] * len(tokens), list(tokens))
    words, said, seen = (torch.from_numpy(array) for array in (tokens, sentences, vectors))
    return FrozenTriplets(triplets, templates, tuple(words), said, seen)


def vectors_of(part: FrozenTriplets, composed: TextEncoder) -> Vectors:
    """What queries are blended from, through the runtime as at query time."""
    sentences = [filled(part.templates.composed, text) for text in part.indexed.texts]
    return Vectors(
        composed=composed.encode_spliced(sentences, [one.numpy() for one in part.tokens])[0],
        sentence=part.sentences.numpy(),
        image=part.vectors.numpy(),
        text=part.indexed.text_vectors,
    )


def _references(
    start: ComposerFolder, files: Sequence[Path], features: GalleryFeatures, rows: Sequence[int]
) -> EncodedReferences:
    made, count = start.manifest, len(features.vectors)
    tokens = np.zeros((count, made.tokens, made.word_dimension), dtype=np.float32)
    vectors = np.zeros_like(features.vectors) if made.vector else features.vectors
    if rows:
        given = query_tokens(start, files, features, rows)
        tokens[rows] = given.words
        if given.vectors is not None:
            vectors[rows] = given.vectors
    return EncodedReferences(tokens, vectors)


def _start_folder(start: str, model: Model) -> Path:
    packaged = model.composer_folders()
    if start in packaged:
        return packaged[start]
    if not start:
        if "map" in packaged:
            return packaged["map"]
        raise TrainingError(
            f"the model {model.name} brings no composer named map to start from: train one "
            "(composir train map) and name its run folder with --from"
        )
    path = Path(start).expanduser()
    for folder in (path, path / COMPOSER):
        if (folder / MANIFEST_NAME).is_file():
            return folder
    raise TrainingError(
        f"{start} is no run of stage 1: neither it nor its folder {COMPOSER} holds a "
        f"{MANIFEST_NAME} (is that run finished?); packaged: {', '.join(packaged) or 'none'}"
    )
