"""The search for a blend finds what a dev set needs, the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from composir.bench.evaluation import PreparedTask
from composir.bench.task import BenchQuery
from composir.bench.vectors import VectorTable
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.sphere import normalised
from composir.errors import TrainingError
from composir.train.blend import (
    BlendChoice,
    BlendSettings,
    blended,
    choose_weights,
    parse_fixed,
)
from composir.train.dev_set import DevSet, dev_score, dev_scores
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
    rows = tuple((number, "in blue") for number in range(COUNT))
    return DevSet(prepared, gallery, rows, ids, np.arange(COUNT), gallery, unit(9))


def terms(composed: FloatArray, own: FloatArray, image: FloatArray, text: FloatArray) -> Terms:
    return Terms(lambda: composed, lambda: own, lambda: image, lambda: text)


def test_a_direction_is_found_where_only_the_direction_leads_there() -> None:
    gallery = unit(0)
    own, change = unit(1), unit(2)
    targets = np.roll(gallery, -1, axis=0)
    # q - s leads from the reference to the target; q itself lies nowhere near.
    composed = own + targets - gallery
    dev = dev_set(gallery)
    choice = choose_weights([(dev, terms(composed, own, gallery, change))])

    assert choice.settings["direction"] > 0
    assert choice.score > 90.0
    assert choice.scores == {"dev": choice.score}


def test_useless_terms_get_no_weight_and_the_choice_repeats() -> None:
    gallery = unit(0)
    targets = np.roll(gallery, -1, axis=0)
    made = terms(targets, unit(1), unit(2), unit(3))
    dev = dev_set(gallery)
    first, second = (choose_weights([(dev, made)]) for _ in range(2))

    assert first == second
    assert first.score == 100.0
    assert first.settings["sentence"] > 0


def test_fixed_weights_stay_and_the_mean_over_sets_decides() -> None:
    gallery = unit(0)
    targets = np.roll(gallery, -1, axis=0)
    made = terms(unit(4), unit(1), targets, unit(3))
    free = choose_weights([(dev_set(gallery), made)])
    held = choose_weights([(dev_set(gallery), made)], {"image": 0.0})

    assert free.settings["image"] > 0
    assert held.settings["image"] == 0.0
    assert held.score < free.score
    with pytest.raises(TrainingError, match="nothing to blend"):
        choose_weights([(dev_set(gallery), made)], dict.fromkeys(free.settings, 0.0))


def test_changes_that_a_composer_never_makes_are_not_tried() -> None:
    gallery = unit(0)
    change, nothing = np.roll(gallery, -1, axis=0) - gallery, np.zeros_like(gallery)
    four = terms(unit(4), unit(1), gallery, unit(3))
    tried: set[tuple[float, float]] = set()

    def scores(dev: DevSet, made: Terms, weights: BlendWeights) -> tuple[float, float]:
        tried.add((weights.exchange, weights.learned))
        return dev_scores(dev, made, weights)

    def choose(made: Terms, **fixed: float) -> BlendChoice:
        tried.clear()
        return choose_weights([(dev_set(gallery), made)], fixed, scores_of=scores)

    without_moves = replace(four, exchange=lambda: change, learned=lambda: nothing)
    chosen = choose(without_moves).settings
    assert chosen["learned"] == 0.0 < chosen["exchange"]
    assert {learned for _, learned in tried} == {0.0} < {exchange for exchange, _ in tried}
    assert choose(without_moves, learned=0.5).settings["learned"] == 0.5  # who asks for it has it

    chosen = choose(replace(four, exchange=lambda: nothing, learned=lambda: change)).settings
    assert chosen["exchange"] == 0.0 < chosen["learned"]
    choose(four)
    assert tried == {(0.0, 0.0)}


def test_the_score_takes_the_reference_out() -> None:
    gallery = unit(0)
    made = terms(unit(4), unit(1), gallery, unit(3))

    score = dev_score(dev_set(gallery), made, BlendWeights(sentence=0.0, image=1.0))
    assert score < 60.0


def test_fixed_weights_of_the_command_line() -> None:
    assert parse_fixed(["image=0", "text=0.5"]) == {"image": 0.0, "text": 0.5}
    for wrong in ("image", "image=x", "colour=1", "image=-1", "image=nan"):
        with pytest.raises(TrainingError, match="--fix"):
            parse_fixed([wrong])


def test_the_blend_in_torch_is_that_of_queries() -> None:
    parts = [unit(seed) for seed in range(4)]
    weights = {"sentence": 0.5, "direction": 2.0, "image": 0.25, "text": 0.75}
    queries = blend(BlendWeights(**weights), terms(*parts))
    ours = blended(BlendSettings(**weights), *map(torch.from_numpy, parts))

    assert np.abs(ours.numpy() - queries).max() < 1e-6
