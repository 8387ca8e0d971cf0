"""Values that threads ask for at the same time are made once; failures are not kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from composir.model.once import Once, once_property


class Slow:
    def __init__(self, failures: int = 0) -> None:
        self.calls = 0
        self.failures = failures

    @once_property
    def value(self) -> int:
        """The number of the call."""
        self.calls += 1
        time.sleep(0.02)
        if self.calls <= self.failures:
            raise ValueError(self.calls)
        return self.calls


def test_threads_that_ask_together_wait_for_one_value() -> None:
    slow = Slow()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: slow.value, range(8))) == [1] * 8
    assert slow.calls == 1
    assert Slow().value == 1
    assert Slow.value.__doc__ == "The number of the call."


def test_a_failure_is_told_to_everyone_and_tried_again() -> None:
    slow = Slow(failures=1)
    with pytest.raises(ValueError, match="1"):
        _ = slow.value
    assert slow.value == 2


def test_a_function_is_called_once() -> None:
    slow = Slow()
    once = Once(lambda: (slow.value, object()))
    with ThreadPoolExecutor(4) as pool:
        assert len({id(value) for value in pool.map(lambda _: once(), range(4))}) == 1
