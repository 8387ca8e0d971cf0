"""Triplets with everything frozen about them: image vectors, tokens of references, sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from composir.compose.template import filled, without_reference
from composir.compose.trained import MANIFEST_NAME, ComposerFolder
from composir.errors import TrainingError
from composir.model import Model
from composir.model.text_encoder import TextEncoder
from composir.train.gallery_features import gallery_features
from composir.train.map_to_compose.before_after import Vectors
from composir.train.map_to_compose.mining import Questions
from composir.train.map_to_compose.own_data import Triplet, TripletSplit, subset
from composir.train.map_to_compose.query_tokens import query_tokens
from composir.train.map_to_compose.stage2 import Part
from composir.types import FloatArray

Say: TypeAlias = Callable[[str], None]
COMPOSER = "composer"
# More dev or held-out triplets would only cost time: R@1 is known to about 3 points by then.
MOST_EVALUATED = 1000
SAY_EVERY = 1024


@dataclass(frozen=True, slots=True)
class Images:
    """All images of the triplets, encoded.

    Attributes:
        vectors: (n, D) float32, unit norm.
        row_of: Row of each file that could be read.
        tokens: (n, L, Dw) float32; zeros where an image is nobody's reference.
    """

    vectors: FloatArray
    row_of: Mapping[Path, int]
    tokens: FloatArray


def open_start(start: str, model: Model) -> ComposerFolder:
    """Find the first stage.

    Args:
        start: Run or composer folder, a packaged composer's name, or empty for the packaged one.
        model: That it has to be for.

    Raises:
        TrainingError: If there is none, or it has been adapted already.
        ModelError: If it was trained for another model.
        BundleError: If it is damaged.
    """
    found = ComposerFolder.load(_start_folder(start, model))
    words = model.manifest.word_dimension
    found.check_model(model.name, model.fingerprint, model.text_checksum, words)
    if found.manifest.kind == "adapted":
        raise TrainingError(
            f"{found.folder} is of stage 2 already: start from the first stage it was made of"
        )
    return found


def encode_images(
    cache: Path,
    files: Sequence[Path],
    references: frozenset[Path],
    start: ComposerFolder,
    model: Model,
    say: Say,
) -> Images:
    """Encode all images, and make tokens of the references.

    Args:
        cache: Folder of cached features.
        files: All images.
        references: Those that need tokens.
        start: Its query graph makes them.
        model: The foundation model.
        say: Takes notices and progress.
    """

    def progress(done: int, total: int) -> None:
        if done % SAY_EVERY == 0 or done == total:
            say(f"encoded {done:,} of {total:,} images")

    spatial = start.manifest.input == "patch_tokens"
    features = gallery_features(cache, files, model, progress, spatial=spatial)
    for failed, reason in features.failures:
        say(f"skipping {failed}: {reason}")
    row_of = {files[int(kept)]: row for row, kept in enumerate(features.kept)}
    rows = sorted(row_of[file] for file in references if file in row_of)
    made = start.manifest
    tokens = np.zeros((len(row_of), made.tokens, made.word_dimension), dtype=np.float32)
    if rows:
        tokens[rows] = query_tokens(start, files, features, rows)
    return Images(features.vectors, row_of, tokens)


def readable(triplets: Sequence[Triplet], images: Images) -> tuple[Triplet, ...]:
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


def make_part(
    triplets: Sequence[Triplet], images: Images, start: ComposerFolder, model: Model
) -> Part:
    """Triplets as rows, with tokens, texts and the references' own sentences; may be empty."""
    references = np.array([images.row_of[t.reference] for t in triplets], dtype=np.int64)
    texts = tuple(t.text for t in triplets)
    questions = Questions(
        references=references,
        texts=texts,
        targets=tuple(frozenset(images.row_of[f] for f in t.targets) for t in triplets),
        shown=tuple(tuple(images.row_of[f] for f in t.shown) for t in triplets),
        text_vectors=model.encode_texts([without_reference(text) for text in texts]),
        kept_back=tuple(frozenset(images.row_of[f] for f in t.kept_back) for t in triplets),
    )
    tokens = images.tokens[references]
    template = start.manifest.templates.image
    sentences, _ = model.texts.encode_spliced([template] * len(tokens), list(tokens))
    return Part(questions, torch.from_numpy(tokens), torch.from_numpy(sentences))


def vectors_of(part: Part, images: Images, template: str, composed: TextEncoder) -> Vectors:
    """What queries are blended from, through the runtime as at query time.

    Args:
        part: The triplets.
        images: Their images.
        template: Of composed sentences.
        composed: Encodes them: the model's own encoder, or the adapted one.
    """
    sentences = [filled(template, text) for text in part.questions.texts]
    return Vectors(
        composed=composed.encode_spliced(sentences, list(part.tokens.numpy()))[0],
        sentence=part.sentences.numpy(),
        image=images.vectors[part.questions.references],
        text=part.questions.text_vectors,
    )


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
