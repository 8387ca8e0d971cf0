"""What rows of a store are, and how they are read where they are used."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Index: TypeAlias = int | slice | list[int] | NDArray[Any]


@dataclass(frozen=True, slots=True)
class RowKind:
    """Rows of one shape and type that one encoder makes.

    Attributes:
        what: In words, e.g. `vectors`; part of file names.
        encoder: Identifies the encoder: its weights and how it takes its input.
        shape: Of one row.
        dtype: As numpy names it, e.g. `float16`.
        is_unit: Whether every row is a vector of unit norm, by which damage is told.
    """

    what: str
    encoder: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    is_unit: bool = False

    @property
    def id(self) -> str:
        """A name that no other kind has."""
        said = f"{self.encoder}\n{self.shape}\n{self.dtype}"
        digest = hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return f"{self.what}-{digest}".replace(" ", "-")

    @property
    def file(self) -> str:
        """Name of the file of its rows."""
        return f"{self.id}.rows"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class StoredRows:
    """(n, ...) rows that lie anywhere in an array on disk; indexing reads those that are asked for.

    Attributes:
        shape: As of an array.
        dtype: As of an array.
    """

    def __init__(self, data: NDArray[Any], places: NDArray[np.int64]) -> None:
        """Keep what rows are where.

        Args:
            data: (m, ...), memory-mapped as a rule.
            places: (n,) of the rows in it.
        """
        self._data, self._places = data, places
        self.shape = (len(places), *data.shape[1:])
        self.dtype = data.dtype

    def __len__(self) -> int:
        """How many rows."""
        return len(self._places)

    def __getitem__(self, index: Index) -> NDArray[Any]:
        """Rows, copied into memory; the first index alone is taken."""
        return np.asarray(self._data[self._places[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows in memory."""
        return np.asarray(self._data[self._places], dtype)

    def part(self, places: NDArray[np.int64]) -> StoredRows:
        """Some of the rows, still on disk."""
        return StoredRows(self._data, self._places[places])
