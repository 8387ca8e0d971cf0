"""Vectors of a benchmark's images by id, as `encode` makes them or a file holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from composir.bench.task import refuse_duplicates
from composir.data.untrusted_arrays import ArrayFaultError, read_arrays
from composir.errors import DatasetError
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class VectorTable:
    """Vectors by id.

    Attributes:
        ids: n unique ids.
        matrix: (n, D) float32, unit norm.
        source: Where they come from, for result files.
    """

    ids: tuple[str, ...]
    matrix: FloatArray
    source: str

    def by_id(self) -> dict[str, FloatArray]:
        """Every vector, (D,) float32, under its id."""
        return dict(zip(self.ids, self.matrix, strict=True))

    def rows(self, ids: Sequence[str], what: str) -> FloatArray:
        """Vectors of some ids.

        Returns:
            (len(ids), D) float32.
        """
        place = {name: index for index, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in place]
        if missing:
            raise DatasetError(
                f"{self.source}: {len(missing):,} of {len(ids):,} vectors of {what} are missing: "
                f"{first_ten(missing)}"
            )
        return self.matrix[[place[name] for name in ids]]


def first_ten(names: Sequence[str]) -> str:
    """The first ten names, and a sign that there are more."""
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def load_vectors(path: Path, *, dimension: int | None = None) -> VectorTable:
    """Read precomputed vectors: an `.npz` with `ids` (n) and `matrix` (n, D).

    Args:
        path: The file; ids may be numbers or strings, rows need not be of unit norm.
        dimension: The width that the model at hand makes, or None for any.
    """
    ids, matrix = _read_npz(path)
    _check_kinds(path, ids, matrix)
    if matrix.ndim != 2 or ids.ndim != 1 or len(ids) != len(matrix):
        raise DatasetError(
            f"{path}: `ids` has shape {ids.shape} and `matrix` {matrix.shape}; "
            f"they must be (n,) and (n, D)"
        )
    if dimension is not None and matrix.shape[1] != dimension:
        raise DatasetError(
            f"{path}: vectors of {matrix.shape[1]} numbers, but the model makes {dimension}; "
            f"were they computed with another model?"
        )
    names = tuple(str(name) for name in ids.tolist())
    refuse_duplicates(names, f"{path}: id")
    norms = np.linalg.norm(matrix.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise DatasetError(
            f"{path}: {len(bad):,} vectors are NaN, infinite or zero; the first is row {bad[0]} "
            f"(id {names[bad[0]]!r})"
        )
    digest = hashlib.sha256(np.ascontiguousarray(matrix).tobytes()).hexdigest()[:16]
    unit = (matrix / norms[:, None]).astype(np.float32)
    return VectorTable(names, unit, f"{path.name} (sha256 {digest})")


def _read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    try:
        ids, matrix = read_arrays(path, ("ids", "matrix"))
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: there is no such file of vectors") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ArrayFaultError as error:
        raise DatasetError(
            f"{path}: {error}; write it with numpy.savez(file, ids=..., matrix=...)"
        ) from error
    return ids, matrix


def _check_kinds(path: Path, ids: NDArray[Any], matrix: NDArray[Any]) -> None:
    if ids.dtype.kind not in "Uiu":
        raise DatasetError(
            f"{path}: `ids` holds values of type {ids.dtype}; they must be strings or whole numbers"
        )
    if matrix.dtype.kind not in "fiu":
        raise DatasetError(
            f"{path}: `matrix` holds values of type {matrix.dtype}; they must be real numbers, "
            f"e.g. float32"
        )
