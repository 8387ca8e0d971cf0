"""Texts whose vectors a bundle brings: what most queries need is not encoded at the first one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from composir.data.fields import ManifestPart
from composir.data.outputs import write_inside
from composir.data.untrusted_arrays import read_array
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.errors import BundleError
from composir.types import FloatArray

VECTORS, TEXTS = "phrases.npy", "phrases.txt"
_ROUNDING = 0.01


class KnownTexts(ManifestPart):
    """Where they are.

    Attributes:
        vectors: File with the vectors of n texts, (n, d) float16. Coordinates from d on, of which
            texts have nothing (the appearance part), are left out.
        texts: File with these texts, one a line.
        encoder: SHA-256 of the text side that encoded them: another one encodes anew.
    """

    vectors: str
    texts: str
    encoder: str = Field(pattern="^[0-9a-f]{64}$")


def read_known(vectors: Path, texts: Path, dimension: int) -> dict[str, FloatArray]:
    """Read the vectors, (D,) float32 of unit norm each, by text.

    Raises:
        BundleError: If one of the files is damaged or they do not belong together.
    """
    lines = read_text(texts, BundleError, limit=MANIFEST_LIMIT).split("\n")[:-1]
    shape = (len(lines), None)
    stored = read_array(vectors, BundleError, shape=shape, dtypes=("float16",), finite=True)
    rows = stored.astype(np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if rows.shape[1] > dimension or np.any(np.abs(lengths - 1.0) > _ROUNDING):
        raise BundleError(f"{vectors}: no unit vectors of at most {dimension} numbers")
    whole = np.zeros((len(rows), dimension), dtype=np.float32)
    whole[:, : rows.shape[1]] = rows / lengths
    return dict(zip(lines, whole, strict=True))


def write_known(folder: Path, known: Mapping[str, FloatArray], encoder: str) -> KnownTexts:
    """Write texts and their vectors into a bundle's folder.

    Args:
        folder: The bundle.
        known: (D,) float32, unit norm, of each text; texts have one line.
        encoder: SHA-256 of the text side that encoded them.

    Returns:
        What the manifest says of them.
    """
    rows = np.stack(list(known.values()))
    width = int(np.flatnonzero(rows.any(axis=0))[-1]) + 1
    np.save(folder / VECTORS, rows[:, :width].astype(np.float16))
    write_inside(folder, TEXTS, "".join(f"{text}\n" for text in known))
    return KnownTexts(vectors=VECTORS, texts=TEXTS, encoder=encoder)
