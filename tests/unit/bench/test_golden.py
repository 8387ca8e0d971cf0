"""Our figures against those that other people's metric code printed on the same rankings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from composir.bench.datasets import find_dataset
from composir.bench.protocol import outcomes, rank_scores
from composir.bench.task import BenchTask, LoadOptions
from tests.unit.bench.shared import annotation_folder, features, golden, query_vectors

OURS = 1e-6
SINGLE_PRECISION = 1e-4


def percentages(task: BenchTask) -> dict[str, float]:
    salt = golden()["salt"]
    scores = query_vectors(task, salt) @ features(task.gallery, salt).T
    figures = outcomes(rank_scores(task, scores), task.metrics)
    return dict(zip(task.metrics, 100 * figures.mean(axis=0), strict=True))


def test_cirr_val() -> None:
    task = find_dataset("cirr")[0].load(annotation_folder(), LoadOptions())[0]
    theirs, ours = golden()["cirr-val"], percentages(task)
    for k in (1, 5, 10, 50):
        assert ours[f"recall@{k}"] == pytest.approx(
            theirs[f"cirr_recall_at{k}"], abs=SINGLE_PRECISION
        )
    for k in (1, 2, 3):
        assert ours[f"recall_subset@{k}"] == pytest.approx(
            theirs[f"cirr_group_recall_at{k}"], abs=SINGLE_PRECISION
        )


@pytest.mark.parametrize("place", range(3))
def test_fashioniq_val(place: int) -> None:
    task = find_dataset("fashioniq")[0].load(annotation_folder(), LoadOptions())[place]
    theirs = golden()[f"fashioniq-val-{task.name.removeprefix('fashioniq-')}"]
    ours = percentages(task)
    for k in (10, 50):
        assert ours[f"recall@{k}"] == pytest.approx(
            theirs[f"fiq_recall_at{k}"], abs=SINGLE_PRECISION
        )


def circo_val() -> BenchTask:
    golden()
    circo = find_dataset("circo")[0]
    root = annotation_folder()
    task = circo.load(root, LoadOptions(available=used_images(root)))[0]
    assert "not CIRCO's 123,403" in task.notices[0]
    return task


def used_images(root: Path) -> frozenset[str]:
    rows = json.loads((root / "circo/annotations/val.json").read_text())
    keys = ("reference_img_id", "target_img_id")
    single = {str(row[key]) for row in rows for key in keys}
    return frozenset(single | {str(image) for row in rows for image in row["gt_img_ids"]})


def test_circo_val_equals_the_server() -> None:
    theirs, ours = golden()["circo-val-server"], percentages(circo_val())
    for k in (5, 10, 25, 50):
        assert ours[f"map@{k}"] == pytest.approx(theirs["map"][str(k)], abs=OURS)
        assert ours[f"recall@{k}"] == pytest.approx(theirs["recall"][str(k)], abs=OURS)


def test_circo_val_equals_the_second_repository() -> None:
    theirs, ours = golden()["circo-val"], percentages(circo_val())
    for k in (5, 10, 25, 50):
        assert ours[f"map@{k}"] == pytest.approx(theirs[f"circo_map_at{k}"], abs=SINGLE_PRECISION)
        assert ours[f"recall@{k}"] == pytest.approx(theirs[f"circo_recall_at{k}"], abs=OURS)


def test_circo_aspects_equal_the_server() -> None:
    task = circo_val()
    theirs = golden()["circo-val-server"]["semantic_map@10"]
    assert set(task.aspects) == set(theirs)
    for aspect, figure in theirs.items():
        chosen = tuple(query for query in task.queries if aspect in query.aspects)
        assert percentages(replace(task, queries=chosen))["map@10"] == pytest.approx(
            figure, abs=OURS
        )
