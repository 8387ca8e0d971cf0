"""Text triplets from captions alone: hundreds of thousands, without a picture or a model.

A line a triplet, written as they are made: `reference` and `target` are captions, `text` leads from
one to the other, `edit` says what changed. The edits of one caption stand together, so that a
batch can hold the same reference with other edits.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from composir.data.captions import texts_of
from composir.data.files import replaced_atomically
from composir.data.outputs import inside
from composir.data.tables import read_table
from composir.errors import DatasetError
from composir.triplets.caption_edits import CaptionEditor, TextTriplet
from composir.triplets.triplet_folder import claim_folder
from composir.triplets.words import content_stems

FILE = "text-triplets.jsonl"
_COLUMNS = ("captions", "caption", "description", "sentence", "text", "title")
_CHANGED = "changed"
_RAREST, _SHARED, _TRIED = 4, 2, 32
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class CaptionTexts:
    """Captions, each once, and captions beside the same with one thing changed."""

    captions: tuple[str, ...]
    changed: tuple[tuple[str, str], ...]


def read_caption_texts(files: Sequence[Path]) -> CaptionTexts:
    """Read tables (CSV, JSONL, Parquet) with a column of captions, and perhaps one `changed`."""
    captions: list[str] = []
    changed: list[tuple[str, str]] = []
    for file in files:
        table = read_table(file)
        columns = [name for name in _COLUMNS if name in table.columns]
        if not columns:
            raise DatasetError(f"{file}: no column of captions; call it caption or captions")
        for row in range(len(table.lines)):
            texts = [t for name in columns for t in texts_of(table.columns[name][row])]
            captions += texts
            other = [*texts_of(table.columns[_CHANGED][row])] if _CHANGED in table.columns else []
            changed += [(texts[0], text) for text in other if texts]
    if not captions:
        raise DatasetError(f"{', '.join(map(str, files)) or 'no file'}: there are no captions")
    return CaptionTexts(tuple(dict.fromkeys(captions)), tuple(dict.fromkeys(changed)))


def make_texts(
    files: Sequence[Path], out: Path, settings: tuple[int, int], progress: Progress | None = None
) -> Counter[str]:
    """Make triplets of the captions of some files and write them.

    `settings` are how many triplets at most, and the seed.

    Returns:
        How many there are of each kind of edit.
    """
    captions, (count, seed) = read_caption_texts(files), settings
    said = json.dumps([captions.captions, captions.changed]).encode()
    checksum = hashlib.sha256(said).hexdigest()
    claim_folder(out, {"captions": checksum, "count": count, "seed": seed})
    return _write(islice(text_triplets(captions, seed), count), out, count, progress)


def text_triplets(texts: CaptionTexts, seed: int) -> Iterator[TextTriplet]:
    """Triplets without end or until nothing new comes, each once, the same for the same seed.

    Changed captions come first, once; then turn after turn over all captions in a new order.
    """
    editor, known = CaptionEditor(seed), set[tuple[str, str]]()
    for pair in texts.changed:
        yield from _fresh(editor.changed(*pair), known)
    alike, turn, made = _Alike(texts.captions, seed), 0, 1
    while made:
        made, order = 0, np.random.default_rng((seed, turn)).permutation(len(texts.captions))
        for row in order:
            caption = texts.captions[row]
            edits = [*editor.edits(caption)]
            edits += [t for other in alike.others(int(row)) for t in editor.towards(caption, other)]
            for triplet in _fresh(edits, known):
                made += 1
                yield triplet
        turn += 1


def _write(
    triplets: Iterable[TextTriplet], out: Path, count: int, progress: Progress | None
) -> Counter[str]:
    kinds = Counter[str]()
    try:
        with replaced_atomically(inside(out, FILE)) as file:
            for number, triplet in enumerate(triplets, start=1):
                file.write(json.dumps(asdict(triplet)).encode() + b"\n")
                kinds[triplet.edit.partition(":")[0]] += 1
                if progress and number % 1000 == 0:
                    progress(number, count)
    except OSError as error:
        raise DatasetError(f"cannot write to {out}: {error.strerror or error}") from error
    return kinds


def _fresh(triplets: Iterable[TextTriplet], known: set[tuple[str, str]]) -> Iterator[TextTriplet]:
    for triplet in triplets:
        key = (triplet.reference, triplet.text)
        if triplet.reference != triplet.target and key not in known:
            known.add(key)
            yield triplet


class _Alike:
    """Captions that share rare words: of photographs that look alike, as far as words tell."""

    def __init__(self, captions: Sequence[str], seed: int) -> None:
        self._captions = captions
        stems = [content_stems([caption]) for caption in captions]
        counts = Counter(stem for own in stems for stem in own)
        self._stems = [sorted(own, key=lambda s: (counts[s], s))[:_RAREST] for own in stems]
        self._rows: dict[str, list[int]] = defaultdict(list)
        for row, own in enumerate(self._stems):
            for stem in own:
                self._rows[stem].append(row)
        self._draw = np.random.default_rng(seed)

    def others(self, row: int) -> Iterator[str]:
        """A caption that shares some of the rarest words, if a few draws find one."""
        own = self._stems[row]
        rows = self._rows[own[0]] if own else [row]
        for place in self._draw.integers(len(rows), size=min(len(rows), _TRIED)):
            other = rows[place]
            if other != row and len({*own} & {*self._stems[other]}) >= min(len(own), _SHARED):
                yield self._captions[other]
                return
