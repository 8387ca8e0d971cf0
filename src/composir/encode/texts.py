"""Texts to vectors: what is known is read, the rest is computed and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from composir.encode.encoders import Progress
from composir.encode.feature_store import FeatureStore, Memory
from composir.encode.stored import RowKind
from composir.model.base import EmbeddingModel
from composir.types import FloatArray

BATCH = 256
_PROBE = "a red bicycle beside two dogs on a wooden bridge, seen from above"


def encode_texts(
    texts: Sequence[str],
    model: EmbeddingModel,
    store: FeatureStore | None = None,
    *,
    progress: Progress | None = None,
    batch: int = BATCH,
) -> FloatArray:
    """Encode texts, each once; a stopped run goes on where it was.

    Args:
        texts: n texts.
        model: Encodes them.
        store: Where vectors are kept; None keeps nothing.
        progress: Told after every batch.
        batch: Texts between two writes.

    Returns:
        (n, D) float32, unit norm.
    """
    keeper = store or Memory()
    side = _text_side(model) if store else ""
    kind = RowKind("texts", side, (model.dimension,), is_unit=True)
    keys = {text: _key(text) for text in texts}
    with keeper.filling(kind):
        known = keeper.known(kind, keys.values())
        todo = [text for text, key in keys.items() if key not in known]
        for start in range(0, len(todo), batch):
            part = todo[start : start + batch]
            vectors = model.encode_texts(part)
            keeper.put(kind, dict(zip((keys[text] for text in part), vectors, strict=True)))
            if progress:
                progress(len(keys) - len(todo) + start + len(part), len(keys))
    return np.asarray(keeper.rows(kind, [keys[text] for text in texts]))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _text_side(model: EmbeddingModel) -> str:
    """Identifies a text side, which fingerprints leave out: by its graph, or by what it answers."""
    if model.splicing is not None:
        return f"texts {model.fingerprint} {model.splicing.text_checksum}"
    answer = np.round(model.encode_texts([_PROBE])[0].astype(np.float64), 3)
    return f"texts {model.fingerprint} {hashlib.sha256(answer.tobytes()).hexdigest()}"
