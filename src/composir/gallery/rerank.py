"""The first hits of a search, looked at again by a joint encoder.

The gallery finds them by its own vectors, fast and roughly; the joint encoder orders these few by
its own. Their pictures are encoded from their files, or from their thumbnails where a file is gone
or has changed, and kept in the gallery's folder by model and content.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image

from composir.compose.base import QueryBatch
from composir.compose.joint import Joint
from composir.data.outputs import inside
from composir.encode.feature_store import FeatureStore, Memory
from composir.encode.stored import RowKind
from composir.errors import CacheError, ImageReadError, ModelError, QueryError
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.ranking import Candidate
from composir.gallery.remains import CACHE_NAME
from composir.gallery.rows import hash_content
from composir.images import read_image
from composir.images.containers import read_picture
from composir.limits import MOST_RERANKED
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, Query, Reranked

RERANKED_NAME = f"{CACHE_NAME}/reranked"
_AT_ONCE = 4
_FROM_THUMBNAIL = "|thumbnail"

Thumbnails = Callable[[Sequence[str]], Mapping[str, bytes]]


@dataclass(frozen=True, slots=True)
class Reranker:
    """Orders the first hits of one gallery anew."""

    model: EmbeddingModel  # a joint encoder
    top: int  # how many of the first hits
    folder: Path  # the gallery's
    thumbnails: Thumbnails  # gives JPEGs by the gallery's ids
    # Told how far the encoding of new pictures is; None for nobody.
    progress: ProgressCallback | None = None

    def __post_init__(self) -> None:
        check_joint(self.model)
        if not isinstance(self.top, Integral) or not 1 <= self.top <= MOST_RERANKED:
            raise QueryError(f"rerank_top is {self.top!r}; it goes from 1 to {MOST_RERANKED:,}")

    def order(
        self, groups: list[list[Candidate]], query: Query, images: Sequence[Image.Image]
    ) -> tuple[list[list[Candidate]], Reranked]:
        """Order the first groups of duplicates by their first pictures; the others stay behind."""
        if query.from_device:
            raise QueryError("a device's message holds no picture, so hits cannot be re-ranked")
        first, rest = groups[: self.top], groups[self.top :]
        if not first:
            return groups, Reranked(self.model.name)
        leaders = [group[0] for group in first]
        vectors, thumbnails = self._vectors(leaders)
        scores = self._scores(query, images, vectors)
        ordered = [
            [replace(first[place][0], score=float(scores[place])), *first[place][1:]]
            for place in np.argsort(-scores, kind="stable")
        ]
        return ordered + rest, Reranked(self.model.name, len(first), thumbnails)

    def _scores(
        self, query: Query, images: Sequence[Image.Image], vectors: FloatArray
    ) -> FloatArray:
        """(n,) scores of the pictures for a query, composed as in a gallery of this model."""
        count = max(len(images), 1)
        batch = QueryBatch(
            (query.text,) * count,
            images=[partial(_itself, image) for image in images] or None,
            negatives=(query.negatives,) * count,
        )
        scores: FloatArray = Joint(self.model).compose(batch).averaged().scores(vectors)[0]
        return scores

    def _vectors(self, candidates: Sequence[Candidate]) -> tuple[FloatArray, int]:
        """(n, D) float32, unit norm, and how many of them are those of thumbnails."""
        kind = RowKind("vectors", self.model.fingerprint, (self.model.dimension,), is_unit=True)
        keys = [_key(one) for one in candidates]
        store, whole = self._store(kind, keys)
        chosen = {one.id: _key(one) for one in candidates if _key(one) in whole}
        todo = [one for one in candidates if one.id not in chosen]
        meter = ProgressMeter(self.progress)
        if todo:
            meter.start("encoding", len(todo))
        for start in range(0, len(todo), _AT_ONCE):
            some = todo[start : start + _AT_ONCE]
            opened = list(self._pictures(some))
            chosen |= {one.id: key for one, (key, _) in zip(some, opened, strict=True)}
            pictures = dict(opened)  # of several with one content once
            known = store.known(kind, pictures)
            new = {key: picture for key, picture in pictures.items() if key not in known}
            if new:
                encoded = self.model.encode_images([picture() for picture in new.values()])
                store.put(kind, dict(zip(new, encoded, strict=True)))
            meter.done += len(some)
            meter.report()
        keys = [chosen[one.id] for one in candidates]
        rows = np.asarray(store.rows(kind, keys), dtype=np.float32)
        return rows, sum(key.endswith(_FROM_THUMBNAIL) for key in keys)

    def _pictures(
        self, candidates: Sequence[Candidate]
    ) -> Iterator[tuple[str, Callable[[], Image.Image]]]:
        """A key for each picture, and what opens it."""
        for one in candidates:
            rgb = self._file(one)
            if rgb is not None:
                yield _key(one), partial(_itself, rgb)
            else:
                yield f"{_key(one)}{_FROM_THUMBNAIL}", partial(self._thumbnail, one)

    def _file(self, candidate: Candidate) -> Image.Image | None:
        """The picture, if its file is there and holds what was indexed."""
        try:
            content = read_picture(candidate.path)
            if hash_content(content) != candidate.appearance.content_hash:
                return None
            return read_image(content, min_side=self.model.image_spec.min_side).rgb
        except (OSError, ValueError, ImageReadError):  # names that are no paths, among others
            return None

    def _thumbnail(self, candidate: Candidate) -> Image.Image:
        return read_image(self.thumbnails([candidate.id])[candidate.id]).rgb

    def _store(
        self, kind: RowKind, keys: Sequence[str]
    ) -> tuple[FeatureStore | Memory, Mapping[str, int]]:
        """What keeps vectors, and what it has of some.

        It keeps them for this search alone where the gallery cannot be written, or what was kept is
        damaged.
        """
        try:
            store = FeatureStore(inside(self.folder, RERANKED_NAME))
            return store, store.known(kind, keys)
        except CacheError:
            return Memory(), {}


def check_joint(model: EmbeddingModel) -> None:
    """Refuse a model that cannot re-rank, being no joint encoder."""
    if model.joint is None:
        raise ModelError(
            f"the model {model.name} encodes pictures and words apart: hits are re-ranked by a "
            "joint encoder (composir models lists them)"
        )


def forget_reranked(folder: Path) -> None:
    """Remove what was kept for re-ranking, of all pictures: what is forgotten leaves the disk."""
    kept = inside(folder, RERANKED_NAME)
    if kept.exists():
        shutil.rmtree(kept)


def _itself(image: Image.Image) -> Image.Image:
    return image


def _key(candidate: Candidate) -> str:
    return candidate.appearance.content_hash or candidate.id
