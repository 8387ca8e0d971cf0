"""Arithmetic of region masks: pieces, thin parts, holes, the largest square; all (h, w) bool."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Mask: TypeAlias = NDArray[np.bool_]


def pieces(mask: Mask) -> NDArray[np.int32]:
    """Number the pieces of a mask that hang together over pixels' sides, from 1; 0 is outside."""
    width = mask.shape[1] + 1  # a column of nothing ends every row's last run
    inside = np.pad(mask, ((0, 0), (0, 1))).ravel()
    steps = np.diff(inside.astype(np.int8), prepend=0)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    # Runs of the next row that a run touches are neighbours in the list of all runs.
    first = np.searchsorted(stops, starts + width, side="right")
    last = np.searchsorted(starts, stops + width, side="left")
    _, numbers = np.unique(_joined(first, last), return_inverse=True)
    labels = np.zeros(mask.shape, dtype=np.int32)
    labels[mask] = np.repeat(numbers + 1, stops - starts)
    return labels


def _joined(first: NDArray[np.intp], last: NDArray[np.intp]) -> list[int]:
    """The first run of the piece that each run belongs to."""
    parents = list(range(len(first)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = parents[parents[run]]
            run = parents[run]
        return run

    for run, (start, stop) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for other in range(start, stop):
            low, high = sorted((root(run), root(other)))
            parents[high] = low
    return [root(run) for run in range(len(parents))]


def largest_piece(mask: Mask) -> Mask:
    """The piece with most pixels; all False where there is none."""
    labels = pieces(mask)
    sizes = np.bincount(labels.ravel())
    return mask & (labels == 1 + int(sizes[1:].argmax())) if len(sizes) > 1 else mask


def without_holes(mask: Mask, share: float) -> Mask:
    """Fill holes smaller than a share of the mask: they are noise of whoever drew it."""
    labels = pieces(~mask)
    small = np.bincount(labels.ravel()) < share * np.count_nonzero(mask)
    small[0] = True
    return np.asarray(small[labels])


def eroded(mask: Mask, side: int) -> Mask:
    """Take a rim of half of `side` away."""
    return _filtered(mask, ImageFilter.MinFilter(side))


def grown(mask: Mask, side: int) -> Mask:
    """Add a rim of half of `side`."""
    return _filtered(mask, ImageFilter.MaxFilter(side))


def opened(mask: Mask, side: int) -> Mask:
    """Take away what is thinner than `side` pixels."""
    padded = np.pad(mask, side)
    return grown(eroded(padded, side), side)[side:-side, side:-side]


def _filtered(mask: Mask, rim: ImageFilter.Filter) -> Mask:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(rim)) > 127


def largest_square(mask: Mask) -> tuple[int, int, int]:
    """Top, left and side of the largest square within a mask; side 0 where there is none."""
    sums = np.pad(np.cumsum(np.cumsum(mask, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    best, too_large = (0, 0, 0), min(mask.shape) + 1
    while too_large - best[2] > 1:
        side = (best[2] + too_large) // 2
        filled = _counts(sums, side) == side * side
        if filled.any():
            top, left = np.unravel_index(int(filled.argmax()), filled.shape)
            best = (int(top), int(left), side)
        else:
            too_large = side
    return best


def _counts(sums: NDArray[np.int64], side: int) -> NDArray[np.int64]:
    """How many pixels of a mask lie in every square of a side."""
    below, above = sums[side:], sums[:-side]
    return np.asarray(below[:, side:] - below[:, :-side] - above[:, side:] + above[:, :-side])
