from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from composir.bench.metrics import (
    ABSENT,
    average_precision,
    metric_label,
    parse_metric,
    recall,
    set_recall,
    target_ranks,
    top_columns,
)
from composir.errors import BenchError


def naive_order(scores: Sequence[float], targets: Sequence[int], excluded: int | None) -> list[int]:
    """The ranking written out: by score, wrong answers before right ones among equals."""
    columns = [column for column in range(len(scores)) if column != excluded]
    return sorted(columns, key=lambda column: (-scores[column], column in targets, column))


def naive_average_precision(order: list[int], targets: Sequence[int], k: int) -> float:
    hits, total = 0, 0.0
    for place, column in enumerate(order[:k], start=1):
        if column in targets:
            hits += 1
            total += hits / place
    return total / min(len(targets), k)


@st.composite
def rankings(draw: st.DrawFn) -> tuple[NDArray[np.float64], list[list[int]], list[int | None]]:
    """Scores with many ties, targets, and perhaps an excluded column."""
    width, rows = draw(st.integers(2, 30)), draw(st.integers(1, 4))
    level = st.integers(0, 4).map(float)
    scores = [draw(st.lists(level, min_size=width, max_size=width)) for _ in range(rows)]
    targets, excluded = [], []
    for _ in range(rows):
        columns = draw(st.permutations(range(width)))
        count = draw(st.integers(1, width - 1))
        targets.append(list(columns[:count]))
        excluded.append(draw(st.sampled_from([None, columns[-1]])))
    return np.array(scores), targets, excluded


@settings(max_examples=200, deadline=None)
@given(rankings(), st.integers(1, 12))
def test_every_metric_equals_the_ranking_written_out(
    made: tuple[NDArray[np.float64], list[list[int]], list[int | None]], k: int
) -> None:
    scores, targets, excluded = made
    ranks = target_ranks(scores, targets, excluded)
    for row, right in enumerate(targets):
        order = naive_order(scores[row].tolist(), right, excluded[row])
        assert [r for r in ranks[row].tolist() if r != ABSENT] == [
            place for place, column in enumerate(order, start=1) if column in right
        ]
        found = len(set(order[:k]) & set(right))
        assert recall(ranks, k)[row] == float(found > 0)
        assert set_recall(ranks, k)[row] == pytest.approx(found / len(right))
        expected = naive_average_precision(order, right, k)
        assert average_precision(ranks, k)[row] == pytest.approx(expected)
        assert top_columns(scores[row], k, right, excluded[row]).tolist() == order[:k]


def test_metrics_equal_trec_eval() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="dependency group `metrics`")
    rng = np.random.default_rng(5)
    scores = rng.standard_normal((40, 120)).astype(np.float32)
    targets = [rng.choice(120, size=rng.integers(1, 9), replace=False).tolist() for _ in range(40)]
    ranks = target_ranks(scores, targets)
    names = {"success", "recall", "P", "map_cut"}
    qrel = {f"q{i}": {f"d{c}": 1 for c in right} for i, right in enumerate(targets)}
    run = {f"q{i}": {f"d{c}": float(s) for c, s in enumerate(row)} for i, row in enumerate(scores)}
    theirs: dict[str, Any] = pytrec_eval.RelevanceEvaluator(qrel, names).evaluate(run)
    ours = {
        "success_10": recall(ranks, 10),
        "recall_10": set_recall(ranks, 10),
        # trec_eval divides by the number of truths, CIRCO by min(truths, k): equal at k >= 8.
        "map_cut_10": average_precision(ranks, 10),
    }
    for name, figures in ours.items():
        expected = [theirs[f"q{i}"][name] for i in range(40)]
        np.testing.assert_allclose(figures, expected, atol=1e-6, err_msg=name)


def test_a_constant_score_earns_the_worst_rank_wherever_the_target_stands() -> None:
    scores = np.ones((3, 15))
    assert target_ranks(scores, [[0], [7], [14]]).tolist() == [[15], [15], [15]]


def test_ties_among_targets_do_not_count_against_each_other() -> None:
    assert target_ranks(np.array([[1.0, 1.0, 1.0, 0.0]]), [[0, 1]]).tolist() == [[2, 3]]


def test_many_targets_take_the_sorting_path_and_agree() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 6, size=(5, 80)).astype(np.float32)
    targets = [rng.choice(80, size=30, replace=False).tolist() for _ in range(5)]
    ranks = target_ranks(scores, targets)
    for row, right in enumerate(targets):
        order = naive_order(scores[row].tolist(), right, None)
        assert ranks[row].tolist() == [p for p, c in enumerate(order, start=1) if c in right]


def test_average_precision_divides_by_the_smaller_of_truths_and_k() -> None:
    ranks = np.array([[1, 2, 3, 40, 50, 60]])
    assert average_precision(ranks, 3).tolist() == [1.0]
    assert average_precision(ranks, 5).tolist() == [3 / 5]


def test_set_recall_is_not_the_hit_rate() -> None:
    ranks = np.array([[1, 30, 40, 50]])
    assert set_recall(ranks, 10).tolist() == [0.25]
    assert recall(ranks, 10).tolist() == [1.0]


def test_a_query_without_positives_scores_zero_in_set_recall() -> None:
    ranks = target_ranks(np.ones((2, 3)), [[0], []])
    assert set_recall(ranks, 3).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    scores = np.zeros((3, 4))
    scores[1, 2] = bad
    with pytest.raises(BenchError, match="first in row 1"):
        target_ranks(scores, [[0], [0], [0]])


def test_duplicate_and_excluded_targets_are_refused() -> None:
    with pytest.raises(BenchError, match="row 0: duplicate targets"):
        target_ranks(np.zeros((1, 4)), [[2, 2]])
    with pytest.raises(BenchError, match="excluded from its own gallery"):
        target_ranks(np.zeros((1, 4)), [[2]], [2])


def test_top_columns_of_a_small_gallery_are_all_it_has() -> None:
    assert top_columns(np.array([0.1, 0.9, 0.5]), 10, excluded=1).tolist() == [2, 0]
    assert top_columns(np.array([0.3]), 5, excluded=0).tolist() == []


def test_metric_names() -> None:
    assert parse_metric("recall_subset@3") == ("recall_subset", 3)
    assert metric_label("map@10") == "mAP@10"
    for wrong in ("recall", "recall@0", "recall@x", "precision@5"):
        with pytest.raises(BenchError, match="unknown metric"):
            parse_metric(wrong)
