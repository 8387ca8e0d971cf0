from __future__ import annotations

import numpy as np
import pytest

from composir.bench.significance import Outcomes, bootstrap, group_means, holm, paired_test
from composir.errors import BenchError


def coin(rate: float, count: int, seed: int) -> Outcomes:
    return (np.random.default_rng(seed).random((count, 1)) < rate).astype(np.float64)


def test_the_interval_is_about_as_wide_as_theory_says() -> None:
    outcomes = coin(0.3, 2000, seed=1)
    interval = bootstrap([outcomes], seed=7)[0]
    half = 1.96 * float(outcomes.std()) / np.sqrt(2000)
    assert interval.value == outcomes.mean()
    assert interval.low == pytest.approx(interval.value - half, abs=0.004)
    assert interval.high == pytest.approx(interval.value + half, abs=0.004)


def test_the_interval_covers_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for seed in range(200):
        interval = bootstrap([coin(0.4, 300, seed)], seed=seed)[0]
        covered += interval.low <= 0.4 <= interval.high
    assert 180 <= covered <= 199


def test_the_same_seed_gives_the_same_interval() -> None:
    outcomes = coin(0.5, 100, seed=1)
    assert bootstrap([outcomes], seed=3) == bootstrap([outcomes], seed=3)
    assert bootstrap([outcomes], seed=3) != bootstrap([outcomes], seed=4)


def test_blocks_do_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = coin(0.5, 100, seed=1)
    whole = bootstrap([outcomes], seed=3)
    monkeypatch.setattr("composir.bench.significance._BLOCK_CELLS", 1_000)
    assert bootstrap([outcomes], seed=3) == whole


def test_tasks_count_alike_however_many_queries_they_have() -> None:
    interval = bootstrap([np.ones((10, 1)), np.zeros((1000, 1))], seed=0)[0]
    assert interval.value == 0.5


def test_equal_runs_do_not_differ() -> None:
    outcomes = [coin(0.5, 50, seed=2)]
    assert paired_test(outcomes, outcomes, seed=0)[0].p_value == 1.0


def test_a_clear_difference_is_found_and_has_the_right_sign() -> None:
    first = coin(0.3, 400, seed=1)
    second = np.maximum(first, coin(0.2, 400, seed=2))
    test = paired_test([first], [second], seed=0)[0]
    assert test.p_value < 0.001
    assert 0 < test.low < test.difference < test.high


def test_under_no_difference_small_p_values_are_rare() -> None:
    p_values = [
        paired_test([coin(0.5, 80, seed)], [coin(0.5, 80, seed + 1000)], seed=seed, flips=500)[
            0
        ].p_value
        for seed in range(100)
    ]
    assert sum(p < 0.05 for p in p_values) <= 12


def test_runs_of_different_shape_are_refused() -> None:
    with pytest.raises(BenchError, match="cannot be paired"):
        paired_test([np.zeros((3, 1))], [np.zeros((4, 1))], seed=0)


def test_nothing_to_resample_is_refused() -> None:
    with pytest.raises(BenchError, match="no queries"):
        bootstrap([np.zeros((0, 1))], seed=0)
    with pytest.raises(BenchError, match="NaN"):
        bootstrap([np.full((3, 1), np.nan)], seed=0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()


def test_groups_of_one_query_each_change_nothing() -> None:
    first, second = coin(0.5, 60, seed=1), coin(0.5, 60, seed=2)
    alone = [np.arange(60)]
    assert bootstrap([first], seed=3, groups=alone) == bootstrap([first], seed=3)
    assert paired_test([first], [second], seed=3, groups=alone) == paired_test(
        [first], [second], seed=3
    )


def test_queries_that_all_answer_alike_are_worth_one_query_a_group() -> None:
    groups = np.repeat(np.arange(20), 50)
    outcomes = coin(0.5, 20, seed=1)[groups]
    few = bootstrap([coin(0.5, 20, seed=1)], seed=3)[0]
    grouped = bootstrap([outcomes], seed=3, groups=[groups])[0]
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx(
        (few.value, few.low, few.high)
    )
    by_query = bootstrap([outcomes], seed=3)[0]
    assert grouped.high - grouped.low > 4 * (by_query.high - by_query.low)


def test_a_difference_in_one_group_of_many_queries_is_no_finding() -> None:
    groups = np.repeat(np.arange(4), 100)
    first = np.zeros((400, 1))
    second = (groups == 0).astype(np.float64)[:, None]
    assert paired_test([first], [second], seed=0)[0].p_value < 0.001
    assert paired_test([first], [second], seed=0, groups=[groups])[0].p_value == 1.0


def test_means_of_groups_by_hand() -> None:
    outcomes = np.array([[1.0], [0.0], [0.0], [1.0]])
    np.testing.assert_array_equal(group_means(outcomes, np.array([0, 1, 1, 1])), [[1.0], [1 / 3]])
