"""Vectors of training texts through the frozen text encoder, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from composir.model import Model
from composir.types import FloatArray

BATCH = 1024


def text_vectors(
    cache: Path,
    model: Model,
    texts: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """Encode texts, or open what an earlier run encoded.

    Args:
        cache: Folder of caches; made if missing.
        model: Encodes them.
        texts: In order.
        progress: Called with (done, total).

    Returns:
        (n, D) float32, unit norm.
    """
    path = cache / f"texts-{_key(model, texts)}.npy"
    if path.exists():
        known: FloatArray = np.load(path, allow_pickle=False)
        return known
    parts = []
    for start in range(0, len(texts), BATCH):
        parts.append(model.encode_texts(texts[start : start + BATCH]))
        if progress:
            progress(min(start + BATCH, len(texts)), len(texts))
    vectors = np.concatenate(parts).astype(np.float32, copy=False)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial.npy")
    np.save(unfinished, vectors)
    unfinished.replace(path)
    return vectors


def _key(model: Model, texts: Sequence[str]) -> str:
    digest = hashlib.sha256(f"{model.text_checksum} {len(texts)}".encode())
    for text in texts:
        digest.update(text.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()[:16]
