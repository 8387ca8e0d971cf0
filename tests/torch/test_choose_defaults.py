"""The default composer is judged by what blends are chosen by, on the same dev parts."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from choose_defaults import JUDGED, LISTED, Judged, judge, judge_all

from composir.bench.evaluation import PreparedTask
from composir.bench.task import BenchQuery
from composir.bench.vectors import VectorTable
from composir.compose.blend import BlendWeights, Terms
from composir.model import Model
from composir.train.blend import choose_weights
from composir.train.blend_trials import BlendTrials
from composir.train.dev_set import DevSet
from tests.fakes import ColourModel
from tests.unit.bench.makers import make_task

MODEL = ColourModel()
COUNT = 30


def part(seed: int) -> DevSet:
    """Pictures of any colours; query i asks for picture i + 1, in words that half of them fit."""
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 256, (COUNT, 1, 1, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    ids = tuple(map(str, range(COUNT)))
    words = [str(draw.choice(["red", "green", "blue"])) for _ in ids]
    queries = tuple(
        BenchQuery(id=i, texts=(word,), reference=i, targets=(ids[(int(i) + 1) % COUNT],))
        for i, word in zip(ids, words, strict=True)
    )
    task = make_task(queries, ids, metrics=("recall@10",), exclude_reference=True)
    task = replace(task, name=f"part {seed}")
    vectors = MODEL.encode_pixels(pixels)
    prepared = PreparedTask(task, VectorTable(ids, vectors, "made"), None, None)
    texts = MODEL.encode_texts(words)
    return DevSet(prepared, vectors, tuple(words), ids, np.arange(COUNT), vectors, texts)


def terms(dev: DevSet) -> Terms:
    none = np.zeros_like(dev.vectors)
    return Terms(lambda: none, lambda: none, lambda: dev.vectors, lambda: dev.texts)


def of_both(parts: list[DevSet]) -> tuple[Judged, list[float]]:
    """`sum` as it is judged, and as a trial of a blend scores it."""
    prepared = [one.prepared for one in parts]
    half = BlendWeights(sentence=0.0, image=0.5, text=0.5)
    scores = [float(np.mean(BlendTrials(one, terms(one)).scores([half]))) for one in parts]
    return judge(cast(Model, MODEL), "sum", {"alpha": 0.5}, prepared), scores


def test_its_criterion_is_that_of_blends(capsys: pytest.CaptureFixture[str]) -> None:
    parts = [part(seed) for seed in range(3)]
    judged, scores = of_both(parts)
    assert list(judged.scores.values()) == pytest.approx(scores)
    assert judged.mean == pytest.approx(np.mean(scores))
    assert 0.0 < judged.mean < 100.0
    printed = capsys.readouterr().out
    for name, score in judged.scores.items():
        assert f"{name} {score:.2f}" in printed
    assert f"{judged.mean:.2f} %" in printed

    fixed = {"sentence": 0.0, "direction": 0.0, "image": 0.5, "text": 0.5}
    chosen = choose_weights([BlendTrials(one, terms(one)) for one in parts], fixed)
    assert set(chosen.scores) == set(judged.scores)


def test_a_part_in_other_words_counts_as_much_as_one_in_listed_words() -> None:
    listed = Judged("a", {}, {"x": 80.0, "y": 10.0})
    reworded = Judged("b", {}, {"x": 50.0, "y": 50.0})
    assert max(listed, reworded, key=lambda one: one.mean) is reworded
    assert JUDGED[: len(LISTED)] == LISTED
    assert JUDGED[len(LISTED) :] == tuple(f"{name}-paraphrased" for name in LISTED)


def test_all_composers_are_judged_on_all_parts_best_first() -> None:
    parts = [part(seed).prepared for seed in range(len(JUDGED))]
    judged = judge_all(cast(Model, MODEL), parts)
    assert {one.composer for one in judged} == {"sum", "slerp", "replace", "direction", "product"}
    assert all(len(one.scores) == len(JUDGED) for one in judged)
    assert [one.mean for one in judged] == sorted((one.mean for one in judged), reverse=True)
