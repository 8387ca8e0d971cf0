"""Things are cut out along their regions, and what is no whole thing is left out with a reason."""

from __future__ import annotations

import numpy as np
import pytest

from composir.triplets.staged.cut_outs import NO_CUT_OUT, CutOut, cut_out, patch_of

BEHIND, THING = (20, 200, 40), (190, 60, 60)
Box = tuple[slice, slice]


def picture(*boxes: Box) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((200, 260), dtype=bool)
    for box in boxes:
        mask[box] = True
    return np.where(mask[..., None], THING, BEHIND).astype(np.uint8), mask


def test_a_cut_out_shows_the_thing_and_nothing_of_what_was_behind_it() -> None:
    thing = cut_out("box", "set/1", *picture((slice(60, 140), slice(80, 180))))
    assert isinstance(thing, CutOut)
    assert thing.group == "set/1/box"
    seen = thing.rgb[thing.alpha > 0].astype(float)
    assert np.abs(seen - THING).max() < 12
    assert np.abs(thing.colour - THING).max() < 2
    middle = thing.alpha[thing.alpha.shape[0] // 2]
    assert middle[0] == middle[-1] == 0
    assert (middle > 250).mean() > 0.8


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        ([(slice(0, 5), slice(0, 9))], "less than 1.5 %"),
        ([(slice(0, 200), slice(0, 230))], "more than 60 %"),
        ([(slice(10, 90), slice(10, 90)), (slice(100, 180), slice(110, 200))], "several pieces"),
        ([(slice(50, 90), slice(50, 150))], "48 pixels"),
        ([(slice(70, 120), slice(20, 230))], "slender"),
        ([(slice(0, 100), slice(0, 100))], "border"),
        ([(slice(row, row + 5), slice(60, 160)) for row in range(40, 140, 12)]
         + [(slice(40, 141), slice(60, 65))], "shreds"),
    ],
)  # fmt: skip
def test_what_is_no_whole_thing_is_left_out(boxes: list[Box], why: str) -> None:
    told = cut_out("box", "set/1", *picture(*boxes))
    assert isinstance(told, str)
    assert why in told


def test_what_is_black_is_left_out() -> None:
    rgb, mask = picture((slice(60, 140), slice(80, 180)))
    assert cut_out("box", "set/1", rgb // 12, mask) == "too dark"


def test_a_patch_lies_within_its_region() -> None:
    rgb, mask = picture((slice(60, 140), slice(80, 250)), (slice(100, 190), slice(30, 50)))
    patch = patch_of(rgb, mask)
    assert patch is not None
    assert patch.side == 80
    assert (patch.rgb == THING).all()
    assert patch_of(rgb // 6, mask) is None
    assert patch_of(*picture((slice(60, 100), slice(80, 120)))) is None


@pytest.mark.parametrize(
    "name", ["wall", "sky", "grass", "person", "skin", "window", "swimming pool"]
)
def test_stuff_and_people_are_no_things(name: str) -> None:
    assert name in NO_CUT_OUT


@pytest.mark.parametrize("name", ["sofa", "dress", "car", "shoes", "dog"])
def test_things_are_things(name: str) -> None:
    assert name not in NO_CUT_OUT
