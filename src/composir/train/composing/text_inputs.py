"""From text triplets to what a run trains on: split, drawn ahead, encoded once.

Only texts that the planned steps draw are encoded, and the triplets that choose and judge; their
vectors are kept in the cache like all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from composir.compose.trained import ComposerFolder
from composir.train.composing.anchors import spread
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.frozen_triplets import FrozenTriplets, IndexedTriplets
from composir.train.composing.query_tokens import ModalityGap, TextReader, maps_vectors
from composir.train.composing.text_batches import (
    FrozenTexts,
    TextBatches,
    TextTraining,
    TextVectors,
)
from composir.train.composing.text_rows import TextSplit, split_texts, text_subset
from composir.train.composing.triplet_split import MOST_EVALUATED
from composir.train.config import at_temperature
from composir.train.run import Run
from composir.triplets.caption_edits import TextTriplet
from composir.types import FloatArray

MOST_TRIED = 256
ENOUGH_FOUND = 0.5
"""Share of the texts that are tried on a mapping before it reads texts."""


def freeze_texts(
    config: ComposeConfig,
    run: Run,
    starts: Sequence[ComposerFolder],
    triplets: Sequence[TextTriplet],
    pictures: FloatArray | None,
) -> FrozenTexts:
    """Everything about text triplets that does not change while adapters are trained.

    Vectors of the run's pictures, (n, D), say where pictures lie if the model does not.
    """
    split = _split(config, triplets)
    batches, drawn = _planned(config, split.train)
    run.log(
        f"{len(split.train):,} text triplets to train on, of which {config.loop.steps:,} steps "
        f"draw {len(drawn):,}; {len(split.dev):,} dev, {len(split.held_out):,} held out"
    )
    judging = (*split.dev, *split.held_out)
    texts = _named((*drawn, *judging))
    known = TextVectors(texts, run.encoded_texts(texts))
    mean = run.foundation.model.mean_image
    if mean is None and pictures is not None:
        mean = np.asarray(pictures.mean(axis=0), dtype=np.float32)
    gap = ModalityGap.between(run.foundation, known.vectors, mean)
    readers = [_reader(run, one, gap, config.text_batch.read, known) for one in starts]
    searched = TextVectors(_named(judging), known.of(_named(judging)))
    training = None
    if batches is not None:
        asked = at_temperature(config.text_batch, run.foundation.temperature)
        training = TextTraining(split.train, batches, known, readers, asked)
    dev, held_out = (
        {r.start.manifest.name: _frozen(run, part, searched, r) for r in readers}
        for part in (split.dev, split.held_out)
    )
    captions = spread(triplet.reference for triplet in drawn)
    return FrozenTexts(training, dev, held_out, searched.vectors, captions)


def _split(config: ComposeConfig, triplets: Sequence[TextTriplet]) -> TextSplit:
    """The table is of pictures where there are some."""
    held_out = 0.0 if config.triplets else config.held_out
    split = split_texts(triplets, (config.dev, held_out), MOST_EVALUATED)
    train = text_subset(split.train, config.max_text_triplets)
    return TextSplit(train, split.dev, split.held_out)


def _planned(
    config: ComposeConfig, train: Sequence[TextTriplet]
) -> tuple[TextBatches | None, list[TextTriplet]]:
    """Batches, and what they draw in all."""
    if not train:
        return None, []
    asked = config.text_batch
    batches = TextBatches(train, asked.rows, asked.alike, config.seed)
    return batches, [train[row] for row in batches.drawn(config.loop.steps)]


def _named(triplets: Iterable[TextTriplet]) -> list[str]:
    """References and targets of triplets, each once."""
    return list(dict.fromkeys(text for t in triplets for text in (t.reference, t.target)))


def _reader(
    run: Run, start: ComposerFolder, gap: ModalityGap, read: str, known: TextVectors
) -> TextReader:
    """How a start reads texts: `auto` maps them if most find themselves that way."""
    name = start.manifest.name
    if read == "words" or (read == "auto" and not maps_vectors(start)):
        run.log(f"{name} reads the own words of texts")
        return TextReader(start, run.foundation, gap, maps=False)
    mapping = TextReader(start, run.foundation, gap, maps=True)
    step = -(-len(known.texts) // MOST_TRIED) or 1
    share = mapping.found(known.texts[::step], known.vectors[::step])
    maps = read == "mapped" or share >= ENOUGH_FOUND
    run.log(
        f"{share:.0%} of texts are found by what {name} maps them to: it reads "
        f"{'texts so' if maps else 'their own words'}"
    )
    return mapping if maps else TextReader(start, run.foundation, gap, maps=False)


def _frozen(
    run: Run, part: Sequence[TextTriplet], searched: TextVectors, reader: TextReader
) -> FrozenTriplets:
    """Triplets as a start reads them; what is searched are texts."""
    model, templates = run.foundation.model, reader.start.manifest.templates
    names = [triplet.reference for triplet in part]
    vectors = torch.from_numpy(searched.of(names))
    tokens = tuple(one.cpu() for one in reader.tokens(names, vectors)) if names else ()
    words = [one.numpy() for one in tokens]
    sentences, _ = model.texts.encode_spliced([templates.image] * len(words), words)
    texts = tuple(triplet.text for triplet in part)
    indexed = IndexedTriplets(
        references=np.array(searched.rows(names), dtype=np.int64),
        texts=texts,
        targets=tuple(frozenset({row}) for row in searched.rows([t.target for t in part])),
        shown=((),) * len(part),
        text_vectors=model.encode_texts(texts),
    )
    return FrozenTriplets(indexed, templates, tokens, torch.from_numpy(sentences), vectors)
