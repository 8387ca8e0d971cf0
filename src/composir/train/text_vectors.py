"""Vectors of training texts through the frozen text encoder, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from composir.data.files import remove_abandoned, replaced_atomically
from composir.data.untrusted_arrays import read_array
from composir.errors import TrainingError
from composir.model import Model
from composir.types import FloatArray

BATCH = 1024

_ROUNDING = 0.01


def text_vectors(
    cache: Path,
    model: Model,
    texts: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Encode texts, or open what an earlier run encoded; a damaged file is computed anew.

    Args:
        cache: Folder of caches; made if missing.
        model: Encodes them.
        texts: In order; at least one.
        progress: Called with (done, total).

    Returns:
        (n, D) float32, unit norm.
    """
    path = cache / f"texts-{_key(model, texts)}.npy"
    known = _kept(path, (len(texts), model.dimension))
    if known is not None:
        return known
    vectors = _encoded(model, texts, progress)
    cache.mkdir(parents=True, exist_ok=True)
    remove_abandoned(cache)
    with replaced_atomically(path) as file:
        np.save(file, vectors)
    return vectors


def _kept(path: Path, shape: tuple[int, int]) -> FloatArray | None:
    """What an earlier run left; None where there is nothing, or nothing to be believed.

    Numbers have no checksum, but hardly any damage leaves every vector at unit norm.
    """
    try:
        found = read_array(path, TrainingError, shape=shape, dtypes=("float32",))
    except TrainingError:
        return None
    norms = np.einsum("nd,nd->n", found, found)
    return found if np.all(np.abs(norms - 1) < _ROUNDING) else None


def _encoded(
    model: Model, texts: Sequence[str], progress: Callable[[int, int], None] | None
) -> FloatArray:
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(model.encode_texts(texts[start : start + BATCH]))
        if progress:
            progress(min(start + BATCH, len(texts)), len(texts))
    return np.concatenate(parts).astype(np.float32, copy=False)


def _key(model: Model, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{model.text_checksum} {len(texts)}".encode())
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()[:16]
