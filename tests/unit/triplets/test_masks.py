"""Arithmetic of masks, against what one counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from composir.triplets.staged.masks import (
    Mask,
    largest_piece,
    largest_square,
    opened,
    pieces,
    without_holes,
)


def drawn(*rows: str) -> Mask:
    return np.array([[cell == "#" for cell in row] for row in rows])


def test_pieces_hang_together_over_sides_and_not_over_corners() -> None:
    mask = drawn("##.#", "..#.", "#.##", "###.")
    assert pieces(mask).tolist() == [[1, 1, 0, 2], [0, 0, 3, 0], [3, 0, 3, 3], [3, 3, 3, 0]]
    assert largest_piece(mask).sum() == 7


def test_a_row_that_ends_and_the_next_that_begins_are_two_pieces() -> None:
    assert pieces(drawn("..##", "##..")).max() == 2


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_those_that_a_flood_reaches(seed: int) -> None:
    mask = np.random.default_rng(seed).random((40, 61)) < 0.45 + seed / 20
    labels = pieces(mask)
    assert ((labels > 0) == mask).all()
    found = [np.argwhere(labels == number)[0] for number in range(1, labels.max() + 1)]
    for number, (row, column) in enumerate(found, start=1):
        assert (flooded(mask, int(row), int(column)) == (labels == number)).all()


def flooded(mask: Mask, row: int, column: int) -> Mask:
    picture = Image.fromarray(mask.astype(np.uint8)).copy()
    ImageDraw.floodfill(picture, (column, row), 2)
    return np.asarray(np.asarray(picture) == 2)


@pytest.mark.parametrize("full", [True, False])
def test_masks_of_everything_and_of_nothing(full: bool) -> None:
    mask = np.full((6, 9), full)
    assert pieces(mask).max() == largest_piece(mask).any() == full
    assert largest_square(mask)[2] == 6 * full
    assert (without_holes(mask, 0.1) == mask).all()


def test_the_largest_square_lies_within() -> None:
    mask = np.zeros((40, 50), dtype=bool)
    mask[5:9, :] = mask[3:30, 20:37] = True
    top, left, side = largest_square(mask)
    assert side == 17
    assert mask[top : top + side, left : left + side].all()


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    mask = np.ones((30, 30), dtype=bool)
    mask[3, 3] = mask[10:20, 10:20] = False
    assert without_holes(mask, 0.01).sum() == 800
    assert (~without_holes(mask, 0.01)[10:20, 10:20]).all()


def test_opening_takes_what_is_thin() -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[:20, :20] = mask[8:12, :] = True
    kept = opened(mask, 7)
    assert kept[:20, :20].all()
    assert not kept[:, 24:].any()
