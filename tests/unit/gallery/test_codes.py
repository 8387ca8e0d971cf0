"""Eight-bit codes: their bounds hold, and what is ranked with them is ranked as without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from composir.compose.base import ComposedQueries
from composir.compose.sphere import normalised
from composir.compose.unwanted import Penalties, Unwanted
from composir.gallery import codes
from composir.gallery.codes import Codes, have_sound_codes, load_codes
from composir.gallery.matrix import CODES, MatrixDamagedError, cached, forget_matrices, load_matrix
from composir.gallery.ranking import ExactRanker
from composir.types import FloatArray
from tests.unit.gallery.many import stored

COUNT, DIMENSION, BEST = 700, 24, 100


def unit(vectors: FloatArray) -> FloatArray:
    return np.asarray(normalised(vectors), dtype=np.float32)


def even(random: np.random.Generator) -> FloatArray:
    return unit(random.standard_normal((COUNT, DIMENSION)).astype(np.float32))


def repeated(random: np.random.Generator) -> FloatArray:
    """Eleven vectors in all: whole runs of equal scores, cut anywhere."""
    return even(random)[random.integers(0, 11, COUNT)]


def close(random: np.random.Generator) -> FloatArray:
    """Nearer to each other than the codes can tell."""
    return unit(even(random)[:1] + 1e-3 * even(random))


def spiked(random: np.random.Generator) -> FloatArray:
    """One large number beside small ones, which the codes lose."""
    vectors = 0.003 * even(random)
    vectors[np.arange(COUNT), random.integers(0, 3, COUNT)] += 1.0
    return unit(vectors)


def halved(random: np.random.Generator) -> FloatArray:
    """Zeros in one half, as in text vectors of `mini`, and tiny numbers in the other."""
    vectors = even(random)
    vectors[::2, DIMENSION // 2 :] = 0.0
    vectors[1::2, : DIMENSION // 2] *= 1e-6
    return unit(vectors)


KINDS: tuple[Callable[[np.random.Generator], FloatArray], ...] = (
    *(even, repeated, close, spiked, halved),
)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_no_product_lies_outside_its_margin(
    make: Callable[[np.random.Generator], FloatArray], seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "_BLOCK", 64)
    random = np.random.default_rng(seed)
    vectors, directions = make(random), make(random)[:5]
    some = np.flatnonzero(random.random(COUNT) < 0.3)

    found = Codes.of(vectors).products(directions)
    few = Codes.of(vectors).products(directions, some)

    true = vectors.astype(np.float64) @ directions.T.astype(np.float64)
    assert (np.abs(true - found.middle) <= found.margin).all()
    assert found.margin.max() < 0.1
    assert np.array_equal(few.middle, found.at(some).middle)
    assert np.array_equal(few.margin, found.at(some).margin)


def test_wide_vectors_are_multiplied_exactly_enough() -> None:
    """Of 4,096 numbers at the limits of a byte, sums pass what 16 bits hold."""
    vectors = np.full((3, 4096), 1 / 64, dtype=np.float32) * [[1], [-1], [1]]
    found = Codes.of(vectors.astype(np.float32)).products(vectors[:1].astype(np.float32))
    assert found.middle[:, 0] == pytest.approx([1, -1, 1], abs=1e-5)


def brute(
    composed: ComposedQueries,
    penalties: Penalties | None,
    matrix: FloatArray,
    positions: np.ndarray,
) -> list[str]:
    vectors = matrix[positions].astype(np.float64)
    scores = composed.similarities(vectors)[0]
    scores = scores if penalties is None else scores - penalties(vectors)
    return [f"{n}.jpg" for n in positions[np.argsort(-scores, kind="stable")][:BEST]]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("where", [None, "width <= 15", "width > 20"])
@pytest.mark.parametrize(
    ("rule", "ruled_out"), [("dot", False), ("dot", True), ("product", False), ("product", True)]
)
def test_the_best_are_those_of_all_scores_to_the_tie(
    make: Callable[[np.random.Generator], FloatArray],
    where: str | None,
    rule: Literal["dot", "product"],
    ruled_out: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("composir.gallery.ranking.CODED_FROM", 0)
    monkeypatch.setattr(codes, "_BLOCK", 64)
    monkeypatch.setattr(codes, "_SCORED", 50)
    random = np.random.default_rng(7)
    store = stored(tmp_path, make(random))
    matrix = load_matrix(store, tmp_path)
    asked = make(random)[: 1 if rule == "dot" else 2]
    unwanted = (Unwanted(make(random)[5:7], 0.5),) if ruled_out else ()
    composed = ComposedQueries(asked[None], rule, unwanted)
    widths = np.arange(COUNT) % 100 + 1
    passed = {None: widths > 0, "width <= 15": widths <= 15, "width > 20": widths > 20}[where]

    ranking = ExactRanker(store, matrix, Codes.of(matrix)).rank(composed, where)

    assert isinstance(ranking, codes.CodedRanking)
    penalties = composed.penalties(matrix)[0]
    best = ranking.best(BEST)
    assert [hit.path.name for hit in best] == brute(
        composed, penalties, matrix, np.flatnonzero(passed)
    )
    assert ranking.searched == len(ranking.background) == np.count_nonzero(passed)
    assert len(ranking.best(10 * COUNT)) == ranking.searched


def test_most_vectors_are_never_looked_at() -> None:
    random = np.random.default_rng(1)
    vectors = unit(random.standard_normal((20_000, 64)).astype(np.float32))
    composed = ComposedQueries(vectors[None, :1])
    products = Codes.of(vectors).products(vectors[:1])

    survivors = codes._Bounds(composed, None, products).survivors(50)

    assert 50 <= len(survivors) < 1000


def test_codes_are_kept_mended_and_forgotten(tmp_path: Path) -> None:
    store = stored(tmp_path, even(np.random.default_rng(0)))
    matrix = load_matrix(store, tmp_path)
    path = cached(CODES, store, tmp_path)
    made = Codes.of(matrix)

    for content in (None, b"cut short", b"\xff" * path.parent.stat().st_size):
        if content is not None:
            path.write_bytes(content)
            assert not have_sound_codes(store, matrix)
        loaded = load_codes(store, matrix, anew=content is not None)
        for kept, computed in zip(loaded.arrays, made.arrays, strict=True):
            assert np.array_equal(kept, computed)
    assert have_sound_codes(store, matrix)

    stray = path.with_name(f"codes-1-{len(store)}-{'0' * 16}.npy")
    stray.write_bytes(path.read_bytes())
    forget_matrices(store, tmp_path)
    assert [found.name for found in path.parent.glob("codes-*")] == [path.name]


def test_codes_need_no_folder_to_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = stored(tmp_path, even(np.random.default_rng(0)))
    matrix = load_matrix(store, tmp_path)
    monkeypatch.setattr(codes, "write_cached", full)

    assert np.array_equal(load_codes(store, matrix).codes, Codes.of(matrix).codes)
    assert not cached(CODES, store, tmp_path).exists()


def test_codes_that_are_not_of_the_matrix_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.gallery.ranking.CODED_FROM", 0)
    store = stored(tmp_path, even(np.random.default_rng(0)))
    matrix = load_matrix(store, tmp_path)
    composed = ComposedQueries(matrix[None, :1])

    ranking = ExactRanker(store, matrix, Codes.of(matrix[::-1])).rank(composed, None)

    with pytest.raises(MatrixDamagedError):
        ranking.best(BEST)


def test_what_is_no_number_has_no_code(tmp_path: Path) -> None:
    store = stored(tmp_path, even(np.random.default_rng(0)))
    matrix = load_matrix(store, tmp_path).copy()
    matrix[3, 3] = np.nan
    with pytest.raises(MatrixDamagedError):
        load_codes(store, matrix)
