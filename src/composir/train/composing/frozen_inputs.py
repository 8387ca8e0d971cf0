"""Everything that does not change while adapters are trained, from the files of a run.

Images are encoded once; what a start's query side makes of the references, once for each start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from composir.compose.template import without_reference
from composir.compose.token_graph import LightTokens
from composir.compose.trained import MANIFEST_NAME, ComposerFolder
from composir.data.problems import Problem
from composir.errors import TrainingError
from composir.model import Model
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.frozen_triplets import FrozenTriplets, IndexedTriplets
from composir.train.composing.query_tokens import query_tokens
from composir.train.composing.text_batches import FrozenTexts
from composir.train.composing.text_inputs import freeze_texts
from composir.train.composing.text_rows import read_text_triplets
from composir.train.composing.triplet_files import TrainingTriplet, TripletData, read_all
from composir.train.composing.triplet_split import limited, split_triplets
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import GalleryFeatures
from composir.train.run import COMPOSER, Run
from composir.train.run_folder import LEFT_OUT
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class EncodedImages:
    """All images of the triplets, encoded.

    Attributes:
        vectors: (n, D) float32, unit norm, of the gallery's encoder.
        row_of: Row of each file that could be read, in the order of the rows.
        references: What each start's query side makes of them, in the order of the starts: tokens
            (n, L, Dw), zeros where an image is nobody's reference, and v of the query, (n, D): the
            graph's own where it gives one, else the gallery's.
    """

    vectors: FloatArray
    row_of: Mapping[Path, int]
    references: tuple[LightTokens, ...]


@dataclass(frozen=True, slots=True)
class QueryVariant:
    """A start, and the triplets as its query side puts them: to train on, to choose, to judge."""

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
        if self.train_count:
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


def freeze_inputs(
    config: ComposeConfig, run: Run, starts: Sequence[ComposerFolder]
) -> FrozenInputs:
    """Read triplets of pictures, of texts, or of both, and encode what is frozen about them.

    What cannot be used is listed in the run folder.
    """
    problems: list[Problem] = []
    data = texts = None
    if config.triplets:
        below = Path(config.images).expanduser() if config.images else None
        data = read_all(config.triplets, below, config.max_bad)
        run.log(data.summary())
        problems += data.problems
    if config.text_triplets:
        texts = read_text_triplets(config.text_triplets, config.max_bad)
        run.log(texts.summary())
        problems += texts.problems
    left_out = "".join(f"{problem.where}: {problem.reason}\n" for problem in problems)
    (run.folder / LEFT_OUT).write_text(left_out, encoding="utf-8")
    inputs = FrozenInputs(run.foundation, tuple(starts))
    if data is not None:
        inputs = _with_pictures(config, run, inputs, data)
    if texts is not None:
        pictures = inputs.images if inputs.files else None
        made = freeze_texts(config, run, starts, texts.triplets, pictures)
        inputs = replace(inputs, texts=made)
    return inputs


def _with_pictures(
    config: ComposeConfig, run: Run, inputs: FrozenInputs, data: TripletData
) -> FrozenInputs:
    starts, model = inputs.starts, run.foundation.model
    files = tuple(dict.fromkeys([*data.gallery, *(f for t in data.triplets for f in t.images)]))
    references = frozenset(t.reference for t in data.triplets)
    spatial = any(start.manifest.input == "patch_tokens" for start in starts)
    features = run.features(files, "images", spatial=spatial)
    images = encode_references(files, references, starts, features)
    usable = _readable(data.triplets, images.row_of)
    if len(usable) < len(data.triplets):
        lost = len(data.triplets) - len(usable)
        run.log(f"{lost:,} triplets are left out because their images cannot be read")
    split = limited(split_triplets(usable, config.dev, config.held_out), config.max_triplets)
    run.log(
        f"{len(split.train):,} triplets to train on, {len(split.dev):,} dev, "
        f"{len(split.held_out):,} held out; {split.dropped:,} left out as ways back of those"
    )
    parts = [index_triplets(part, images, model) for part in split.parts]
    variants = tuple(
        QueryVariant(start, *(freeze_triplets(part, made, start, model) for part in parts))
        for start, made in zip(starts, images.references, strict=True)
    )
    return replace(inputs, images=images.vectors, files=tuple(images.row_of), variants=variants)


def encode_references(
    files: Sequence[Path],
    references: frozenset[Path],
    starts: Sequence[ComposerFolder],
    features: GalleryFeatures,
) -> EncodedImages:
    """Make tokens of the references with every start, in the starts' order."""
    row_of = {files[int(kept)]: row for row, kept in enumerate(features.kept)}
    rows = sorted(row_of[file] for file in references if file in row_of)
    made = tuple(_references(start, files, features, rows) for start in starts)
    return EncodedImages(features.vectors, row_of, made)


def _references(
    start: ComposerFolder, files: Sequence[Path], features: GalleryFeatures, rows: Sequence[int]
) -> LightTokens:
    made, count = start.manifest, len(features.vectors)
    tokens = np.zeros((count, made.tokens, made.word_dimension), dtype=np.float32)
    vectors = np.zeros_like(features.vectors) if made.vector else features.vectors
    if rows:
        given = query_tokens(start, files, features, rows)
        tokens[rows] = given.words
        if given.vectors is not None:
            vectors[rows] = given.vectors
    return LightTokens(tokens, vectors=vectors)


def _readable(
    triplets: Sequence[TrainingTriplet], row_of: Mapping[Path, int]
) -> tuple[TrainingTriplet, ...]:
    """Triplets without the images that cannot be read; those that lose their sense are left out."""
    kept = []
    for triplet in triplets:
        targets = tuple(file for file in triplet.targets if file in row_of)
        shown = tuple(file for file in triplet.shown if file in row_of)
        if targets and triplet.reference in row_of:
            kept.append(replace(triplet, targets=targets, shown=shown))
    return tuple(kept)


def index_triplets(
    triplets: Sequence[TrainingTriplet], images: EncodedImages, model: Model
) -> IndexedTriplets:
    """Triplets as rows of the images, the same for every start; may be empty."""
    row_of, texts = images.row_of, tuple(t.text for t in triplets)
    return IndexedTriplets(
        references=np.array([row_of[t.reference] for t in triplets], dtype=np.int64),
        texts=texts,
        targets=tuple(frozenset(row_of[f] for f in t.targets) for t in triplets),
        shown=tuple(tuple(row_of[f] for f in t.shown) for t in triplets),
        text_vectors=model.encode_texts([without_reference(text) for text in texts]),
        kept_back=tuple(frozenset(row_of[f] for f in t.kept_back) for t in triplets),
    )


def freeze_triplets(
    triplets: IndexedTriplets, made: LightTokens, start: ComposerFolder, model: Model
) -> FrozenTriplets:
    """Triplets as a start puts them: its tokens, its v and the sentences of the references."""
    assert made.vectors is not None  # the gallery's where the start gives none
    tokens, vectors = made.words[triplets.references], made.vectors[triplets.references]
    templates = start.manifest.templates
    sentences, _ = model.texts.encode_spliced([templates.image] * len(tokens), list(tokens))
    words, said, seen = (torch.from_numpy(array) for array in (tokens, sentences, vectors))
    return FrozenTriplets(triplets, templates, tuple(words), said, seen)
