"""All vectors in a quarter of the memory: eight-bit codes, and how far off they can be.

Exact search waits for memory, not for arithmetic. So each vector `x` is kept a second time as whole
numbers `c` with a scale `s`, and its error `e = |x - s c|` is measured when they are made. For a
direction `q` with codes `p`, scale `t` and error `f`, both of unit length, Cauchy and Schwarz give

    |x q - s t c p|  <=  f + e |t p|

so what cannot be among the best is known from the codes alone, and the rest is scored as ever
(`CodedRanking`). NumKong multiplies the codes; numpy has no fast product of bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.compose.base import ComposedQueries
from composir.compose.unwanted import Penalties
from composir.data.untrusted_arrays import read_array
from composir.gallery.disk_errors import VersionGoneError
from composir.gallery.matrix import CODES, MatrixDamagedError, NoMatrixError, cached, write_cached
from composir.gallery.ranking import Candidate, CandidateRows, Scores, best_positions, candidates
from composir.gallery.store import Store
from composir.model.sessions import default_threads
from composir.types import FloatArray

_BLOCK = 16_384  # rows that are worth a thread
_LARGEST = 127
_NUMBERS = 8  # bytes a row: scale and error
_ROUNDING = 2e-6  # of single precision, in products of unit vectors
_SLACK = 1e-5  # of single precision, in scores
_SCORED = 128  # vectors scored at a time: fresh memory costs more than what is done with it
_GATHERED = 0.2  # of the codes: below this share, gathering rows beats multiplying all of them

Positions: TypeAlias = slice | NDArray[np.int64]
ALL = slice(None)


@dataclass(frozen=True, slots=True)
class Products:
    """Products of n vectors with v directions, as far as the codes tell."""

    middle: FloatArray  # (n, v) float32, from the codes
    margin: FloatArray  # (n, v) float32, how far off they may be

    def at(self, positions: NDArray[np.int64]) -> Products:
        """Those of some vectors."""
        return Products(self.middle[positions], self.margin[positions])


@dataclass(frozen=True)
class Codes:
    """Codes of n vectors of unit length."""

    codes: NDArray[np.int8]  # (n, D) int8, from -127 to 127
    scale: FloatArray  # (n,) float32, what a unit of a vector's codes stands for
    # (n,) float32, at least the distance of the vector from what its codes stand for.
    error: FloatArray

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Codes, scales and errors."""
        return self.codes, self.scale, self.error

    @classmethod
    def of(cls, vectors: FloatArray) -> Codes:
        """Code (n, D) vectors."""
        scale = np.maximum(np.abs(vectors).max(axis=1, initial=0.0) / _LARGEST, 1e-12)
        scale = scale.astype(np.float32)
        codes = np.rint(vectors / scale[:, None]).clip(-_LARGEST, _LARGEST)
        error = np.linalg.norm(vectors.astype(np.float64) - codes * scale[:, None], axis=1)
        return cls(codes.astype(np.int8), scale, (error * (1 + 1e-6)).astype(np.float32))

    def products(
        self, directions: FloatArray, positions: NDArray[np.int64] | None = None
    ) -> Products:
        """Multiply with (v, D) directions: all vectors, or those at some positions."""
        asked = Codes.of(directions)
        length = np.linalg.norm(directions, axis=1) + asked.error  # at least that of the codes
        count = len(self.codes) if positions is None else len(positions)
        step = max(_BLOCK, -(-count // default_threads()))
        middle = np.empty((count, len(directions)), dtype=np.float32)
        margin = np.empty_like(middle)

        def fill(begin: int) -> None:
            import numkong

            block = slice(begin, begin + step)
            rows = block if positions is None else positions[block]
            numkong.cdist(self.codes[rows], asked.codes, "dot", out=middle[block])
            middle[block] *= self.scale[rows, None] * asked.scale
            np.multiply(self.error[rows, None], length, out=margin[block])
            margin[block] += asked.error + _ROUNDING

        list(self._threads.map(fill, range(0, count, step)))
        return Products(middle, margin)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(default_threads())


def load_codes(store: Store, matrix: FloatArray, *, anew: bool = False) -> Codes:
    """The codes of a store's matrix, from the cache file or made now."""
    path = cached(CODES, store, store.folder)
    try:
        if anew or not path.exists():
            write_cached(path, store, lambda file: _write(matrix, file))
        return _open(path, matrix.shape)
    except (VersionGoneError, MatrixDamagedError):
        raise
    except (OSError, NoMatrixError):  # read-only or full disk, or a cache file cut short
        parts = zip(*(part.arrays for part in _coded(matrix)), strict=True)
        return Codes(*map(np.concatenate, parts))


def have_sound_codes(store: Store, matrix: FloatArray) -> bool:
    """Whether the codes in the cache, if there are any, are those of a store's matrix."""
    path = cached(CODES, store, store.folder)
    if not path.exists():
        return True
    try:
        kept = _open(path, matrix.shape)
    except NoMatrixError:
        return False
    for number, part in enumerate(_coded(matrix)):
        block = slice(number * _BLOCK, (number + 1) * _BLOCK)
        pairs = zip(part.arrays, kept.arrays, strict=True)
        if not all(np.allclose(made, found[block], atol=0.0) for made, found in pairs):
            return False
    return True


def _coded(matrix: FloatArray) -> Iterator[Codes]:
    """A matrix block by block; NaN has no code."""
    for begin in range(0, len(matrix), _BLOCK):
        block = matrix[begin : begin + _BLOCK]
        if not np.isfinite(block).all():
            raise MatrixDamagedError
        yield Codes.of(block)


def _open(path: Path, shape: tuple[int, ...]) -> Codes:
    count, dimension = shape
    size = count * (dimension + _NUMBERS)
    flat = read_array(path, NoMatrixError, shape=(size,), dtypes=("int8",), mapped=True)
    split = count * dimension
    numbers = np.asarray(flat[split:]).view(np.float32).reshape(2, count).copy()
    if not (np.isfinite(numbers).all() and (numbers >= 0).all()):
        raise NoMatrixError(f"{path}: scales that are no numbers")
    return Codes(np.asarray(flat[:split]).reshape(shape), *numbers)


def _write(matrix: FloatArray, file: IO[bytes]) -> None:
    """All codes, then all scales, then all errors."""
    count, dimension = matrix.shape
    shape = (count * (dimension + _NUMBERS),)
    header = {"descr": "|i1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    numbers = np.empty((2, count), dtype=np.float32)
    for number, part in enumerate(_coded(matrix)):
        file.write(part.codes.tobytes())
        block = slice(number * _BLOCK, (number + 1) * _BLOCK)
        numbers[:, block] = part.scale, part.error
    file.write(numbers.tobytes())


class _Bounds:
    """Between which bounds the scores of n images lie."""

    def __init__(
        self, composed: ComposedQueries, penalties: Penalties | None, products: Products
    ) -> None:
        self._products, wanted = products, composed.vectors.shape[1]
        axes = np.eye(products.middle.shape[1], dtype=np.float32)
        # The query's own rules, applied to images whose coordinates are their products.
        self._ruled = replace(composed, vectors=axes[None, :wanted], unwanted=())
        self._taken = penalties and replace(penalties, directions=axes[wanted:])

    @property
    def similarities(self) -> FloatArray:
        """(n,) float32, in the middle, to what is wanted alone."""
        return self._similarities(self._products.middle)

    def at(self, positions: Positions = ALL) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bounds of some, float32."""
        return self._shifted(positions, -1.0), self._shifted(positions, 1.0)

    def survivors(self, count: int) -> NDArray[np.int64]:
        """Positions of all that may be among the best, in order."""
        size = len(self._products.middle)
        if count >= size:
            return np.arange(size)
        low = self._shifted(ALL, -1.0)
        low.partition(size - count)
        least = low[size - count]
        return np.flatnonzero(self._shifted(ALL, 1.0) >= least - _SLACK * (1.0 + abs(least)))

    def _shifted(self, positions: Positions, sign: float) -> FloatArray:
        middle, margin = self._products.middle[positions], self._products.margin[positions]
        scores = self._similarities(middle + sign * margin)
        return scores if self._taken is None else scores - self._taken(middle - sign * margin)

    def _similarities(self, products: FloatArray) -> FloatArray:
        if self._ruled.rule == "dot":
            return products[:, 0]
        found: FloatArray = self._ruled.similarities(products)[0]
        return found


class CodedRanking:
    """The ranking of all images that passed the filter."""

    def __init__(
        self,
        table: CandidateRows,
        matrix: FloatArray,
        codes: Codes,
        composed: ComposedQueries,
        penalties: Penalties | None,
        positions: NDArray[np.int64] | None,
    ) -> None:
        """Look through the codes of an (n, D) matrix.

        `positions` are (m,) rows that passed the filter; None for all.
        """
        self._table, self._matrix, self._positions = table, matrix, positions
        self._composed, self._penalties = composed, penalties
        directions = composed.vectors[0]
        if penalties is not None:
            directions = np.concatenate([directions, penalties.directions])
        if positions is None or len(positions) < _GATHERED * len(matrix):
            products = codes.products(directions, positions)
        else:
            products = codes.products(directions).at(positions)
        self._bounds = _Bounds(composed, penalties, products)
        self.searched = len(products.middle)

    @property
    def background(self) -> FloatArray:
        """All similarities to what is wanted, within the margins of the codes."""
        return self._bounds.similarities

    def best(self, count: int) -> list[Candidate]:
        """The best images, best first; equal scores in the order of the rows."""
        places, scores = self.places(count)
        return candidates(self._table.take(places), scores, self._matrix[places])

    def places(self, count: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Rows and scores of the best."""
        survivors = self._bounds.survivors(count)
        scores = np.concatenate([*self._scored(survivors), np.zeros(0, dtype=np.float32)])
        chosen = best_positions(scores, count)
        return self._rows(survivors[chosen]), scores[chosen]

    def _scored(self, survivors: NDArray[np.int64]) -> Iterator[FloatArray]:
        """In double precision: so equal vectors have equal scores, wherever they lie."""
        for begin in range(0, len(survivors), _SCORED):
            part = survivors[begin : begin + _SCORED]
            vectors: Any = self._matrix[self._rows(part)].astype(np.float64)
            scores = Scores.of(self._composed, self._penalties, vectors).final
            slack = _SLACK * (1.0 + np.abs(scores))
            low, high = self._bounds.at(part)
            if not ((low - slack <= scores) & (scores <= high + slack)).all():  # nor is NaN
                raise MatrixDamagedError
            yield scores

    def _rows(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        return positions if self._positions is None else self._positions[positions]
