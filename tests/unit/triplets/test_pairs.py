"""Pairs of pictures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from composir.triplets.pairs import Grouping, alternate, attribute_pairs, near_pairs, neighbours
from composir.types import FloatArray
from tests.unit.triplets.world import picture, shop_source


def unit(rows: int, seed: int = 0) -> FloatArray:
    matrix = np.random.default_rng(seed).standard_normal((rows, 6)).astype(np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True), dtype=np.float32)


def test_neighbours_in_blocks_are_those_of_a_full_sort() -> None:
    matrix = unit(1100)
    scores = matrix @ matrix.T
    np.fill_diagonal(scores, -2)
    found = neighbours(matrix, 4, below=2.0)
    assert np.array_equal(found, np.argsort(-scores, axis=1)[:, :4])


def test_near_duplicates_are_no_neighbours() -> None:
    matrix = unit(40)
    matrix[1] = matrix[0]
    found = neighbours(matrix, 39, below=0.999)
    assert 1 not in found[0]
    assert found[0][-1] == -1


def test_neighbours_come_in_rounds_and_by_seed() -> None:
    images = [picture(str(n)) for n in range(30)]
    near = neighbours(unit(30), 5, below=2.0)
    pairs = list(near_pairs("image", near, images, seed=1))
    assert len(pairs) == 150
    assert sorted(pair.reference for pair in pairs[:30]) == list(range(30))
    assert pairs == list(near_pairs("image", near, images, seed=1))
    assert pairs != list(near_pairs("image", near, images, seed=2))


def test_attribute_pairs_differ_in_one_column_alone(tmp_path: Path) -> None:
    images = shop_source(tmp_path).images
    grouping = Grouping("colour", ("kind",), ())
    pairs = list(attribute_pairs(grouping, images, unit(15), 2.0, seed=0))
    assert len(pairs) == 15 * 4  # every other colour once
    for pair in pairs:
        old, new = images[pair.reference].attributes, images[pair.target].attributes
        assert old["kind"] == new["kind"]
        assert (old["colour"].lower(), new["colour"].lower()) == (pair.old, pair.new)
        assert pair.target in pair.equal


def test_without_anything_in_common_the_look_decides() -> None:
    images = [picture(str(n), kind="a" if n < 3 else "b") for n in range(6)]
    matrix = unit(6)
    pairs = list(attribute_pairs(Grouping("kind", (), ()), images, matrix, 2.0, seed=0))
    first = next(pair for pair in pairs if pair.reference == 0)
    assert first.target == 3 + int(np.argmax(matrix[3:] @ matrix[0]))
    assert first.equal == ()


def test_streams_take_turns() -> None:
    images = [picture(str(n)) for n in range(4)]
    near = neighbours(unit(4), 1, below=2.0)
    streams = [near_pairs("image", near, images, 0), near_pairs("caption", near, images, 0)]
    kinds = [pair.kind for pair in islice(alternate(streams), 6)]
    assert kinds == ["image", "caption"] * 3
