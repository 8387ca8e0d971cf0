from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composir.bench.datasets import find_dataset
from composir.bench.protocol import rank_scores
from composir.bench.submission import (
    Lists,
    SubmissionFile,
    circo_file,
    cirr_file,
    submission_files,
    submission_names,
    write_files,
)
from composir.bench.task import BenchTask, LoadOptions
from composir.errors import BenchError, OutputError
from tests.unit.bench.makers import make_task, query
from tests.unit.bench.shared import annotation_folder


def cirr_task() -> BenchTask:
    gallery = [f"test1-{i}-0-img0" for i in range(60)]
    queries = [
        query(str(12063 + i), [], reference=gallery[i], subset=tuple(gallery[i + 1 : i + 6]))
        for i in range(3)
    ]
    return make_task(
        queries, gallery, metrics=["recall@1", "recall_subset@1"], exclude_reference=True
    )


def cirr_lists(task: BenchTask) -> Lists:
    return {q.id: [name for name in task.gallery if name != q.reference][:50] for q in task.queries}


def circo_task() -> BenchTask:
    return make_task(
        [query(str(i), [], reference="1") for i in range(2)], [f"{i}" for i in range(1, 80)]
    )


def test_cirr_files_have_the_servers_form(tmp_path: Path) -> None:
    task = cirr_task()
    scores = np.random.default_rng(0).random((3, 60))
    paths = write_files(submission_files("cirr", task, rank_scores(task, scores)), tmp_path)
    recall, subset = (json.loads(path.read_text()) for path in paths)
    assert (recall["version"], recall["metric"]) == ("rc2", "recall")
    assert (subset["version"], subset["metric"]) == ("rc2", "recall_subset")
    assert [len(recall[q.id]) for q in task.queries] == [50, 50, 50]
    assert [len(subset[q.id]) for q in task.queries] == [3, 3, 3]
    for row, asked in enumerate(task.queries):
        members = sorted(asked.subset, key=lambda name: -scores[row, task.gallery.index(name)])
        assert subset[asked.id] == members[:3]
        assert asked.reference not in recall[asked.id]


def test_the_servers_files_replace_no_other_ones(tmp_path: Path) -> None:
    files = [SubmissionFile("circo_test.json", '{"0": [1]}')]
    (tmp_path / "circo_test.json").write_text('{"0": [2]}')  # of somebody's own method
    with pytest.raises(OutputError, match="is there already and composir has not written it"):
        write_files(files, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["circo_test.json"]

    write_files(files, tmp_path / "a" / "new")
    write_files([SubmissionFile("circo_test.json", '{"0": [3]}')], tmp_path / "a" / "new")
    write_files(files, tmp_path / "a" / "new")
    assert (tmp_path / "a" / "new" / "circo_test.json").read_text() == '{"0": [1]}'

    (tmp_path / "a" / "new" / "circo_test.json").write_text("changed since")
    with pytest.raises(OutputError, match="it was changed since"):
        write_files(files, tmp_path / "a" / "new")


def test_names_of_the_servers_files_are_known_beforehand() -> None:
    random = np.random.default_rng(0)
    for kind, task in (("cirr", cirr_task()), ("circo", circo_task())):
        scores = random.random((len(task.queries), len(task.gallery)))
        files = submission_files(kind, task, rank_scores(task, scores))
        assert submission_names(kind, task) == tuple(file.name for file in files)


def test_circo_file_has_whole_numbers() -> None:
    task = circo_task()
    scores = np.random.default_rng(0).random((2, 79))
    content = json.loads(submission_files("circo", task, rank_scores(task, scores))[0].content)
    assert list(content) == ["0", "1"]
    assert content["0"][0] == int(scores[0].argmax()) + 1
    assert all(isinstance(image, int) for row in content.values() for image in row)


@pytest.mark.parametrize(
    ("place", "name", "message"),
    [
        (0, "dev/test1-3-0-img0", "is not an image of all"),
        (0, "test1-1-0-img0", "an image comes twice"),
        (0, "elsewhere", "is not an image of all"),
        (0, "test1-0-0-img0", "the reference is among its own hits"),
    ],
)
def test_cirr_lists_that_the_server_would_refuse(place: int, name: str, message: str) -> None:
    task = cirr_task()
    lists = cirr_lists(task)
    lists["12063"][place + 1] = name
    with pytest.raises(BenchError, match=message):
        cirr_file(lists, "recall", task)


def test_cirr_names_must_be_bare() -> None:
    task = cirr_task()
    task = replace(task, gallery=(*task.gallery, "test1-9-9-img0.png"))
    lists = cirr_lists(task)
    lists["12064"][3] = "test1-9-9-img0.png"
    with pytest.raises(BenchError, match="must be a bare name"):
        cirr_file(lists, "recall", task)


def test_cirr_missing_queries_wrong_lengths_and_foreign_subset_members() -> None:
    task = cirr_task()
    lists = cirr_lists(task)
    with pytest.raises(BenchError, match="50 images; the server wants 3"):
        cirr_file(lists, "recall_subset", task)
    foreign = {key: names[20:23] for key, names in lists.items()}
    with pytest.raises(BenchError, match="not of the query's subset"):
        cirr_file(foreign, "recall_subset", task)
    del lists["12065"]
    with pytest.raises(BenchError, match=r"1 queries are missing or unknown, e.g. '12065'"):
        cirr_file(lists, "recall", task)


def test_circo_lists_that_the_server_would_refuse() -> None:
    task = circo_task()
    good = [f"{i}" for i in range(1, 51)]
    with pytest.raises(BenchError, match="an image comes twice"):
        circo_file({"0": good, "1": [*good[:49], "1"]}, task)
    with pytest.raises(BenchError, match="49 images; the server wants 50"):
        circo_file({"0": good, "1": good[:49]}, task)
    with pytest.raises(BenchError, match=r"missing or unknown, e.g. '1'"):
        circo_file({"0": good}, task)
    named = replace(task, gallery=(*task.gallery, "cat"))
    with pytest.raises(BenchError, match="whole numbers"):
        circo_file({"0": good, "1": [*good[:49], "cat"]}, named)


def test_the_servers_own_examples_pass_our_checks() -> None:
    root = annotation_folder()
    cirr = find_dataset("cirr")[0].load(root, LoadOptions("test1"))[0]
    for metric, name in (("recall", "recall"), ("recall_subset", "recall_subset")):
        example = json.loads((root / f"cirr/demo_files/test1_pred_ranks_{name}.json").read_text())
        lists = {key: value for key, value in example.items() if key not in ("version", "metric")}
        assert json.loads(cirr_file(lists, metric, cirr).content) == example


def test_circos_own_example_passes_our_checks() -> None:
    root = annotation_folder()
    example = json.loads((root / "circo/submission_examples/submission_test.json").read_text())
    lists = {key: [str(image) for image in images] for key, images in example.items()}
    rows = json.loads((root / "circo/annotations/test.json").read_text())
    known = {str(row["reference_img_id"]) for row in rows} | {i for r in lists.values() for i in r}
    task = find_dataset("circo")[0].load(root, LoadOptions("test", available=frozenset(known)))[0]
    assert json.loads(circo_file(lists, task).content) == example
