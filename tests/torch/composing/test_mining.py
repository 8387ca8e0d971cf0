"""Hard negatives: the right kinds, never a target, the same at the same step."""

from __future__ import annotations

import numpy as np
import pytest

from composir.errors import TrainingError
from composir.train.composing.frozen_triplets import IndexedTriplets
from composir.train.composing.mining import NONE, HardNegatives, MiningConfig
from composir.types import FloatArray

CONFIG = MiningConfig(reference=1, neighbours=2, text=2, shown=1, pool=4, hardest=3)


def circle(count: int = 12) -> FloatArray:
    """Unit vectors around a circle: neighbours in number are neighbours in angle."""
    angles = np.arange(count) * (2 * np.pi / count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def questions(images: FloatArray) -> IndexedTriplets:
    """Two questions: from image 0 to 1 with a text that points at 6, from 3 to 5 pointing at 9."""
    return IndexedTriplets(
        references=np.array([0, 3]),
        texts=("one", "two"),
        targets=(frozenset({1}), frozenset({5, 2})),
        shown=((8, 1), ()),
        text_vectors=images[[6, 9]],
    )


def miner(**changes: object) -> HardNegatives:
    images = circle()
    return HardNegatives(questions(images), images, CONFIG.changed(**changes), seed=0)


def drawn(found: HardNegatives, row: int, steps: int = 40) -> set[int]:
    return {
        int(image)
        for step in range(1, steps)
        for image in found.draw(np.array([row]), step)[0]
        if image != NONE
    }


def test_each_kind_brings_its_images() -> None:
    nothing = {"reference": 0, "neighbours": 0, "text": 0, "shown": 0}

    assert drawn(miner(**nothing | {"reference": 1}), 0) == {0}
    assert drawn(miner(**nothing | {"neighbours": 2}), 0) == {11, 2, 10}
    assert drawn(miner(**nothing | {"text": 2}), 0) == {6, 5, 7}
    assert drawn(miner(**nothing | {"shown": 1}), 0) == {8}
    assert miner(**nothing).draw(np.array([0, 1]), 1).shape == (2, 0)


def test_a_target_is_never_a_negative() -> None:
    found = miner(pool=12, hardest=12, neighbours=6, text=6)

    assert drawn(found, 0).isdisjoint({1})
    assert drawn(found, 1).isdisjoint({2, 5})


def test_doubles_of_a_target_are_no_negatives_and_neither_is_a_reference_among_them() -> None:
    found = miner(same_picture=np.cos(2 * np.pi / 12) - 1e-3)

    assert found.answers(0) == {0, 1, 2}
    assert drawn(found, 0).isdisjoint({0, 1, 2})


def test_draws_depend_on_the_step_alone() -> None:
    rows = np.array([1, 0])
    first, again = miner(), miner()
    for step in (3, 1, 2):
        first.draw(rows, step)

    assert np.array_equal(first.draw(rows, 7), again.draw(rows, 7))
    assert any(
        not np.array_equal(first.draw(rows, 7), first.draw(rows, step)) for step in range(8, 20)
    )


def test_refreshing_puts_what_the_current_query_finds_first() -> None:
    found = miner(pool=8, hardest=2)
    # Neighbours of image 0, seen from a query that points at image 9.
    found.refresh(circle()[[9, 0]])

    assert found.pools["neighbours"][0, :3].tolist() == [9, 10, 8]
    assert set(found.pools["neighbours"][0].tolist()) == set(miner(pool=8).pools["neighbours"][0])


def test_refreshing_is_due_at_its_steps() -> None:
    assert [step for step in range(1, 8) if miner(refresh_every=3).refresh_due(step)] == [1, 4, 7]
    assert not any(miner(refresh_every=0).refresh_due(step) for step in range(1, 8))


def test_missing_candidates_are_marked() -> None:
    row = miner().draw(np.array([1]), 1)[0]

    assert row.tolist().count(NONE) == 1  # nothing was shown for the second question
    assert len(row) == miner().width == 6


def test_few_images_are_enough() -> None:
    images = circle(3)
    asked = IndexedTriplets(np.array([0]), ("x",), (frozenset({1}),), ((),), images[[2]])
    found = HardNegatives(asked, images, CONFIG, seed=0)

    assert drawn(found, 0) == {0, 2}


@pytest.mark.parametrize(
    "wrong", [{"reference": 2}, {"text": -1}, {"hardest": 1}, {"pool": 1}], ids=str
)
def test_settings_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(TrainingError, match=r"reference|text|hardest|pool"):
        CONFIG.changed(**wrong)
