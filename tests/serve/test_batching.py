"""What waits is run together; nothing waits for a batch, and nothing spoils another's answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest

from composir.compose import load_composer
from composir.compose.base import QueryBatch
from composir.errors import QueryError
from composir.serve.batching import BatchedModel, Batcher, CompositionCall, compose_together
from tests.fakes import ColourModel


class Squares:
    """Squares numbers behind a gate, and refuses negative ones."""

    def __init__(self) -> None:
        self.gate, self.begun = Event(), Event()
        self.runs: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.runs.append(list(numbers))
        self.begun.set()
        assert self.gate.wait(20)
        if min(numbers) < 0:
            raise QueryError("negative")
        return [number**2 for number in numbers]


def gathered(numbers: Sequence[int]) -> tuple[list[list[int]], list[BaseException | int]]:
    """The runs and results of numbers that come while a first one, 0, is being run."""
    squares = Squares()
    batcher = Batcher(squares, name="squares", most=4, kind=lambda number: number >= 100)
    with ThreadPoolExecutor(1 + len(numbers)) as pool:
        first = pool.submit(batcher, 0)
        assert squares.begun.wait(20)  # alone, although nothing else had come
        others = []
        for number in numbers:  # each is waiting before the next one comes
            others.append(pool.submit(batcher, number))
            while len(batcher) < len(others):
                time.sleep(0.001)
        squares.gate.set()
        assert first.result() == 0
        results = [one.exception() or one.result() for one in others]
    batcher.close()
    return squares.runs, results


def test_what_waits_is_one_run_and_the_first_does_not_wait() -> None:
    runs, results = gathered([1, 2, 3])
    assert runs == [[0], [1, 2, 3]]
    assert results == [1, 4, 9]


def test_a_run_has_so_many_at_most_and_all_of_one_kind() -> None:
    runs, results = gathered([1, 100, 2, 3, 4, 5])
    assert runs == [[0], [1, 2, 3, 4], [100], [5]]
    assert results == [1, 10_000, 4, 9, 16, 25]


def test_one_that_fails_spoils_no_other() -> None:
    runs, results = gathered([1, -1, 2])
    assert runs == [[0], [1, -1, 2], [1], [-1], [2]]
    assert isinstance(results[1], QueryError)
    assert [results[0], results[2]] == [1, 4]


def test_what_is_closed_takes_nothing_more() -> None:
    squares = Squares()
    squares.gate.set()
    batcher = Batcher(squares, name="squares", most=4)
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher(1)


def test_queries_composed_together_are_as_alone() -> None:
    model = ColourModel()
    composer = load_composer("sum", model)
    batches = [
        QueryBatch(("red",), negatives=(("blue",),)),
        QueryBatch(("green", "white")),
        QueryBatch(("black",), negatives=((),)),
    ]
    together = compose_together([CompositionCall(composer, batch) for batch in batches])
    for composed, batch in zip(together, batches, strict=True):
        alone = composer.compose(batch)
        np.testing.assert_allclose(composed.vectors, alone.vectors, atol=1e-6)
        assert composed.rules_out == alone.rules_out


def test_only_queries_of_one_shape_are_composed_together() -> None:
    model = ColourModel()
    composer, other = load_composer("sum", model), load_composer("slerp", model)
    vectors = model.encode_texts(["red"])
    asked = [
        CompositionCall(composer, QueryBatch(("red",))),
        CompositionCall(composer, QueryBatch(("red",), image_vectors=vectors)),
        CompositionCall(composer, QueryBatch(("",), image_vectors=vectors)),
        CompositionCall(other, QueryBatch(("red",))),
    ]
    assert len({one.kind for one in asked}) == 4
    assert CompositionCall(composer, QueryBatch(("green",))).kind == asked[0].kind


def test_pictures_of_several_threads_get_their_own_vectors() -> None:
    model = ColourModel()
    runs: list[int] = []
    batched = BatchedModel(model, 8, lambda _stage, size: runs.append(size))
    pixels = np.random.default_rng(0).integers(0, 255, (12, 2, 8, 8, 3), dtype=np.uint8)
    with ThreadPoolExecutor(12) as pool:
        made = list(pool.map(batched.encode_pixels, pixels))
    batched.close()
    for one, vectors in zip(pixels, made, strict=True):
        np.testing.assert_array_equal(vectors, model.encode_pixels(one))
    assert sum(runs) == 12
