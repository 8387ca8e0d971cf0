"""Blends are ranked as queries are; the search for one finds what a dev set needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from composir.bench.evaluation import PreparedTask
from composir.bench.metrics import CRITERION
from composir.bench.protocol import outcomes, rank
from composir.bench.task import BenchQuery
from composir.bench.vectors import VectorTable
from composir.compose.base import ComposedQueries
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.sphere import normalised
from composir.compose.spread import evening_by
from composir.errors import BenchError, TrainingError
from composir.train import blend_trials
from composir.train.blend import (
    TERMS,
    VALUES,
    BlendChoice,
    BlendSettings,
    blended,
    choose_weights,
    parse_fixed,
)
from composir.train.blend_trials import BlendTrials
from composir.train.dev_set import DevSet
from composir.types import FloatArray
from tests.unit.bench.makers import make_task

COUNT, WIDTH = 40, 16


def unit(seed: int, count: int = COUNT) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((count, WIDTH))
    return normalised(rows.astype(np.float32))


def dev_set(gallery: FloatArray, name: str = "dev") -> DevSet:
    """Query i asks for picture i + 1; a query's reference is picture i."""
    ids = tuple(map(str, range(COUNT)))
    queries = tuple(
        BenchQuery(id=i, texts=("in blue",), reference=i, targets=(str((int(i) + 1) % COUNT),))
        for i in ids
    )
    task = make_task(queries, ids, metrics=("recall@10",), exclude_reference=True)
    task = replace(task, name=name)
    prepared = PreparedTask(task, VectorTable(ids, gallery, "made"), None, None)
    return DevSet(prepared, gallery, ("in blue",) * COUNT, ids, np.arange(COUNT), gallery, unit(9))


def terms(composed: FloatArray, own: FloatArray, image: FloatArray, text: FloatArray) -> Terms:
    return Terms(lambda: composed, lambda: own, lambda: image, lambda: text)


def test_a_direction_is_found_where_only_the_direction_leads_there() -> None:
    gallery = unit(0)
    own, change = unit(1), unit(2)
    targets = np.roll(gallery, -1, axis=0)
    # q - s leads from the reference to the target; q itself lies nowhere near.
    composed = own + targets - gallery
    dev = dev_set(gallery)
    choice = choose_weights([BlendTrials(dev, terms(composed, own, gallery, change))])

    assert choice.settings["direction"] > 0
    assert choice.score > 90.0
    assert choice.scores == {"dev": choice.score}


def test_useless_terms_get_no_weight_and_the_choice_repeats() -> None:
    gallery = unit(0)
    targets = np.roll(gallery, -1, axis=0)
    made = terms(targets, unit(1), unit(2), unit(3))
    dev = dev_set(gallery)
    first, second = (choose_weights([BlendTrials(dev, made)]) for _ in range(2))

    assert first == second
    assert first.score == 100.0
    assert first.settings["sentence"] > 0


def test_fixed_weights_stay_and_the_mean_over_sets_decides() -> None:
    gallery = unit(0)
    targets = np.roll(gallery, -1, axis=0)
    made = terms(unit(4), unit(1), targets, unit(3))
    free = choose_weights([BlendTrials(dev_set(gallery), made)])
    held = choose_weights([BlendTrials(dev_set(gallery), made)], {"image": 0.0})

    assert free.settings["image"] > 0
    assert held.settings["image"] == 0.0
    assert held.score < free.score
    with pytest.raises(TrainingError, match="nothing to blend"):
        choose_weights([BlendTrials(dev_set(gallery), made)], dict.fromkeys(free.settings, 0.0))


def test_changes_that_a_composer_never_makes_are_not_tried() -> None:
    gallery = unit(0)
    change, nothing = np.roll(gallery, -1, axis=0) - gallery, np.zeros_like(gallery)
    four = terms(unit(4), unit(1), gallery, unit(3))
    tried: set[tuple[float, float]] = set()

    class Watched(BlendTrials):
        def scores(self, blends: Sequence[BlendWeights]) -> list[tuple[float, float]]:
            tried.update((one.exchange, one.learned) for one in blends)
            return super().scores(blends)

    def choose(made: Terms, **fixed: float) -> BlendChoice:
        tried.clear()
        return choose_weights([Watched(dev_set(gallery), made)], fixed)

    without_moves = replace(four, exchange=lambda: change, learned=lambda: nothing)
    chosen = choose(without_moves).settings
    assert chosen["learned"] == 0.0 < chosen["exchange"]
    assert {learned for _, learned in tried} == {0.0} < {exchange for exchange, _ in tried}
    assert choose(without_moves, learned=0.5).settings["learned"] == 0.5  # who asks for it has it

    chosen = choose(replace(four, exchange=lambda: nothing, learned=lambda: change)).settings
    assert chosen["exchange"] == 0.0 < chosen["learned"]
    choose(four)
    assert tried == {(0.0, 0.0)}


def asked_directly(dev: DevSet, made: Terms, weights: BlendWeights) -> list[float]:
    """Recall@10 and mAP@10 of blended vectors, ranked as any query is."""
    composed = ComposedQueries(blend(weights, made)[:, None])
    rankings = rank(dev.prepared.task, composed, dev.gallery)
    return [100.0 * float(one) for one in outcomes(rankings, CRITERION).mean(axis=0)]


@pytest.mark.parametrize("most", [1, 30])
@pytest.mark.parametrize("kept", [2**26, 0])
@pytest.mark.parametrize("evened", [None, 0.5, 1.0])
def test_a_trial_ranks_as_a_query_of_its_vector(
    most: int, kept: int, evened: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend_trials, "_AT_ONCE", 3 * COUNT)
    monkeypatch.setattr(blend_trials, "_MOST_KEPT", kept)
    draw = np.random.default_rng(most)
    dev = dev_set(unit(0))
    queries = [
        replace(query, targets=tuple({*query.targets, *map(str, draw.permutation(COUNT)[:most])}))
        for query in dev.prepared.task.queries
    ]
    queries = [
        replace(query, targets=tuple(one for one in query.targets if one != query.reference))
        for query in queries
    ]
    task = replace(dev.prepared.task, queries=tuple(queries))
    dev = replace(dev, prepared=replace(dev.prepared, task=task))
    shares = draw.choice([0.0, 0.5, 1.0], (COUNT, 1)).astype(np.float32)
    made = replace(
        terms(unit(4), unit(1), dev.gallery, unit(3)),
        exchange=lambda: unit(5),
        learned=lambda: unit(6),
        described=lambda: shares,
        evening=evening_by(unit(7)[:WIDTH] * np.linspace(0.2, 5.0, WIDTH, dtype=np.float32)),
    )
    values = draw.choice(VALUES, (40, len(TERMS)))
    rows = [dict(zip(TERMS, row, strict=True)) for row in values.tolist()]
    tried = [BlendWeights(**row, evened=evened) for row in rows]
    trials = BlendTrials(dev, made)
    scores = trials.scores(tried)
    np.testing.assert_allclose(scores, [asked_directly(dev, made, one) for one in tried])
    assert trials.scores(tried[3:5]) == scores[3:5]


def test_what_is_fixed_is_chosen_with_and_recorded() -> None:
    gallery = unit(0)
    four = terms(unit(4), unit(1), gallery, np.roll(gallery, -1, axis=0))
    made = replace(four, evening=evening_by(unit(7)[:WIDTH]))
    chosen = choose_weights([BlendTrials(dev_set(gallery), made)], {"evened": 1.0})
    assert chosen.settings["evened"] == 1.0
    assert chosen.provenance["fixed"] == {"evened": 1.0}
    assert "fixed" not in choose_weights([BlendTrials(dev_set(gallery), made)]).provenance


def test_equal_scores_count_against_a_blend() -> None:
    gallery = np.ones((COUNT, WIDTH), dtype=np.float32) / np.float32(WIDTH**0.5)
    made = terms(unit(4), unit(1), gallery, unit(3))
    weights = BlendWeights(sentence=0.0, image=1.0)
    assert BlendTrials(dev_set(gallery), made).scores([weights]) == [(0.0, 0.0)]


def test_vectors_that_are_no_numbers_are_not_ranked() -> None:
    gallery = unit(0)
    made = terms(gallery * np.float32("nan"), unit(1), unit(2), unit(3))
    with pytest.raises(BenchError, match="dev: scores are NaN"):
        BlendTrials(dev_set(gallery), made).scores([BlendWeights()])


def test_the_score_takes_the_reference_out() -> None:
    gallery = unit(0)
    made = terms(unit(4), unit(1), gallery, unit(3))
    trials = BlendTrials(dev_set(gallery), made)
    [(recall, _)] = trials.scores([BlendWeights(sentence=0.0, image=1.0)])
    assert recall < 60.0


def test_fixed_weights_of_the_command_line() -> None:
    assert parse_fixed(["image=0", "text=0.5"]) == {"image": 0.0, "text": 0.5}
    assert parse_fixed(["evened=1"]) == {"evened": 1.0}
    for wrong in ("image", "image=x", "colour=1", "image=-1", "image=nan", "evened=1.5"):
        with pytest.raises(TrainingError, match="--fix"):
            parse_fixed([wrong])


def test_the_blend_in_torch_is_that_of_queries() -> None:
    parts = [unit(seed) for seed in range(4)]
    weights = {"sentence": 0.5, "direction": 2.0, "image": 0.25, "text": 0.75}
    queries = blend(BlendWeights(**weights), terms(*parts))
    ours = blended(BlendSettings(**weights), *map(torch.from_numpy, parts))

    assert np.abs(ours.numpy() - queries).max() < 1e-6
