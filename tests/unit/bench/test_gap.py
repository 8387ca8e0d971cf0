"""The composition gap: queries that neither the reference nor the text answers alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from composir.bench.gap import unanswered
from composir.bench.results import TaskResult


@dataclass(frozen=True)
class Found:
    """One method's outcomes of four queries."""

    hits: tuple[float, ...]
    headline: str = "recall@10"
    metrics: tuple[str, ...] = field(default=("recall@10", "map@10"))

    def outcomes(self, names: list[str]) -> NDArray[np.float64]:
        assert names == ["recall@10"]
        return np.array(self.hits)[:, None]


def gap(composers: tuple[str, ...], *tasks: Found) -> tuple[str, NDArray[np.bool_]] | None:
    return unanswered(composers, cast("tuple[TaskResult, ...]", tasks))


def test_what_image_and_text_both_miss_is_left() -> None:
    image, text = Found((100, 0, 0, 0)), Found((0, 0, 100, 0))
    made = gap(("image", "sum", "text"), image, Found((100, 100, 100, 100)), text)

    assert made is not None
    told, left = made
    assert left.tolist() == [False, True, False, True]
    assert "2 of 4 queries (50.0 %)" in told


def test_the_first_metric_that_says_found_or_not_decides() -> None:
    image = Found((0, 100), headline="map@10")
    made = gap(("image", "text"), image, Found((0, 0), headline="map@10"))

    assert made is not None
    assert made[1].tolist() == [True, False]


def test_there_is_no_gap_without_both_or_where_nothing_is_left() -> None:
    assert gap(("image", "sum"), Found((0, 0)), Found((0, 0))) is None
    assert gap(("image", "text"), Found((100, 0)), Found((0, 100))) is None
    none = Found((0, 0), headline="map@10", metrics=("map@10",))
    assert gap(("image", "text"), none, none) is None
