"""Runs, their result files, comparisons and tuning, on eight plain colours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.bench.compare import compared, sections
from composir.bench.packed import Packed
from composir.bench.rerun import differences, rerun
from composir.bench.results import Result, load_result
from composir.bench.suite import (
    Method,
    Plan,
    parse_method,
    result_name,
    run_plan,
)
from composir.bench.task import LoadOptions
from composir.bench.tune import load_tuned, parse_grid, tune
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.errors import BenchError, DatasetError
from composir.types import FloatArray
from tests.fakes import COLOURS, ColourModel
from tests.unit.bench.makers import CARD, QUERIES, write_folder, write_lines
from tests.unit.bench.shared import annotation_folder, features, query_vectors


def plan_for(folder: Path, *composers: str, split: str | None = None) -> Plan:
    methods = tuple(parse_method(text) for text in composers)
    return Plan((str(folder),), methods, model="colours", options=LoadOptions(split))


def run(folder: Path, *composers: str, split: str | None = None) -> tuple[Result, ...]:
    return run_plan(plan_for(folder, *composers, split=split), ColourModel())[0].results


def test_the_sum_of_two_colours_finds_their_mixture(tmp_path: Path) -> None:
    result = run(write_folder(tmp_path / "set"), "sum:alpha=0.5")[0]
    task = result.tasks[0]
    assert task.metrics["recall@1"].value == 100.0
    assert task.first_hits()[0][0] == "yellow"
    assert "red" not in task.first_hits()[0]
    assert (task.queries, task.gallery) == (5, 8)


def test_the_header_says_everything(tmp_path: Path) -> None:
    result = run(write_folder(tmp_path / "set"), "sum:alpha=0.4", split="test")[0]
    header = result.header
    assert header.model is not None
    assert (header.model.name, header.model.fingerprint) == ("colours", "colours-1")
    assert header.model.preprocess["fit"] == "squash"
    assert header.settings["alpha"] == 0.4
    assert (header.dataset, header.split) == ("colours", "test")
    assert len(header.checksum) == 64
    assert set(header.packages) >= {"composir", "numpy"}
    assert (header.seed, header.resamples) == (0, 1000)
    assert header.date.startswith("20")
    assert header.method == "sum (alpha 0.4)"


def test_efficiency_is_measured_and_unknown_figures_stay_unknown(tmp_path: Path) -> None:
    costs = run(write_folder(tmp_path / "set"), "sum")[0].efficiency
    assert costs.query_ms is not None
    assert costs.query_ms > 0
    assert costs.gallery_ms is not None
    assert costs.travel_bytes == 4 * 4
    assert costs.query_parameters is None


def test_a_result_file_is_read_back_as_it_was(tmp_path: Path) -> None:
    result = run(write_folder(tmp_path / "set"), "sum")[0]
    result.save(tmp_path / "out" / "a.json")
    again = load_result(tmp_path / "out" / "a.json")
    assert again == result
    np.testing.assert_array_equal(again.tasks[0].outcomes(["recall@1"]), [[1]] * 5)


def test_a_result_is_reproducible_from_its_own_header(tmp_path: Path) -> None:
    result = run(write_folder(tmp_path / "set"), "slerp:alpha=0.3", split="test")[0]
    result.save(tmp_path / "a.json")
    again = rerun(load_result(tmp_path / "a.json"), lambda name: ColourModel())
    assert differences(result, again) == []
    assert again.tasks == result.tasks


def test_negations_in_texts_are_read_only_when_asked_and_that_is_told(tmp_path: Path) -> None:
    negating = [
        {**query, "text": "green, without red"} for query in QUERIES if "reference" in query
    ]
    folder = write_folder(tmp_path / "set", queries=negating)
    plan = plan_for(folder, "sum")
    as_is, read = (
        run_plan(replace(plan, read_negation=on), ColourModel())[0].results[0]
        for on in (False, True)
    )

    assert as_is.notices == ()
    assert read.notices == ("negations in texts were read as searches do (--read-negation)",)
    assert as_is.tasks[0].ranks != read.tasks[0].ranks
    again = rerun(read, lambda name: ColourModel())
    assert differences(read, again) == []


def test_a_rerun_refuses_another_model_and_other_data(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    result = run(folder, "sum")[0]
    with pytest.raises(BenchError, match="fingerprint colours-1, but colours is colours-2"):
        rerun(result, lambda name: ColourModel("colours-2"))
    write_lines(folder / "queries.jsonl", QUERIES[:4])
    with pytest.raises(BenchError, match="made on annotations with checksum"):
        rerun(result, lambda name: ColourModel())


def test_what_was_not_reproduced_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    good, bad = run(folder, "sum", "text")
    lines = differences(good, bad)
    assert any(line.startswith("colours recall@1: 100.0000 then") for line in lines)
    assert any("queries rank their targets otherwise" in line for line in lines)


def test_damaged_and_foreign_result_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none.json: this file is missing"):
        load_result(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"format": "other"}')
    with pytest.raises(BenchError, match=r"other.json is not a result file of version 1: format"):
        load_result(tmp_path / "other.json")
    with pytest.raises(BenchError, match="damaged"):
        Packed(shape=(2, 2), data="AAAA").array()


def test_missing_images_drop_queries_and_mark_the_score(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "images" / "magenta.png").unlink()
    plan = plan_for(folder, "sum")
    with pytest.raises(DatasetError, match=r"1 of 8 images are missing, e.g. .*magenta.png"):
        run_plan(plan, ColourModel())
    result = run_plan(replace(plan, allow_missing=True), ColourModel())[0].results[0]
    partial = result.tasks[0].partial
    assert partial is not None
    assert (partial.missing_images, partial.dropped_queries, partial.of_queries) == (1, 2, 5)
    assert "PARTIAL score of colours: 1 images missing, 2 of 5 queries dropped" in result.notices
    assert (result.tasks[0].queries, result.tasks[0].gallery) == (3, 7)


@pytest.mark.parametrize("cached", [False, True])
def test_damaged_images_are_refused_or_left_out_like_missing_ones(
    tmp_path: Path, cached: bool
) -> None:
    folder = write_folder(tmp_path / "set")
    (folder / "images" / "magenta.png").write_bytes(b"")
    (folder / "images" / "black.png").unlink()
    plan = plan_for(folder, "sum")
    cache = FeatureStore(tmp_path / "vectors") if cached else None
    with pytest.raises(DatasetError, match=r"1 of 8 images are missing, .*--allow-missing drops"):
        run_plan(plan, ColourModel(), cache=cache)
    allowed = replace(plan, allow_missing=True)
    for _ in range(2):  # the second run finds the others in the cache
        result = run_plan(allowed, ColourModel(), cache=cache)[0].results[0]
        partial = result.tasks[0].partial
        assert partial is not None
        assert (partial.missing_images, partial.dropped_queries, partial.of_queries) == (2, 2, 5)
        assert (result.tasks[0].queries, result.tasks[0].gallery) == (3, 6)
        told = "images that cannot be read and count as missing: 'magenta': empty file (0 bytes)"
        assert f"colours: {told}" in result.notices
    Image.new("RGB", (12, 9), "black").save(folder / "images" / "black.png")
    with pytest.raises(DatasetError, match=r"image 'magenta', .*magenta\.png: .* --allow-missing"):
        run_plan(plan, ColourModel(), cache=cache)


def test_a_gallery_of_damaged_images_leaves_nothing_to_score(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    for file in (folder / "images").iterdir():
        file.write_bytes(b"no picture")
    plan = replace(plan_for(folder, "sum"), allow_missing=True)
    with pytest.raises(DatasetError, match=r"8 images are missing or damaged, and every query"):
        run_plan(plan, ColourModel())


def test_an_image_that_may_not_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_folder(tmp_path / "set")
    locked = folder / "images" / "red.png"
    cache = FeatureStore(tmp_path / "vectors")

    digest = ImageFile.digest

    def refused(picture: ImageFile) -> str:
        if picture.path == locked:
            raise PermissionError(13, "Permission denied")
        return digest(picture)

    monkeypatch.setattr(ImageFile, "digest", refused)
    locked.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"image 'red', .*red\.png: "):
        run_plan(plan_for(folder, "sum"), ColourModel(), cache=cache)


def test_vectors_of_the_wrong_width_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "v.npz", ids=np.array(list(COLOURS)), matrix=np.ones((8, 5)))
    plan = replace(plan_for(write_folder(tmp_path / "set"), "sum"), vectors=tmp_path / "v.npz")
    with pytest.raises(DatasetError, match="vectors of 5 numbers, but the model makes 4"):
        run_plan(plan, ColourModel())


def test_precomputed_image_vectors_need_no_images(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    model = ColourModel()
    with_images = run(folder, "sum")[0]
    matrix = model.encode_texts(list(COLOURS))
    np.savez(tmp_path / "v.npz", ids=np.array(list(COLOURS)), matrix=matrix)
    for image in (folder / "images").iterdir():
        image.unlink()
    plan = replace(plan_for(folder, "sum"), vectors=tmp_path / "v.npz")
    result = run_plan(plan, model)[0].results[0]
    assert result.tasks[0].metrics == with_images.tasks[0].metrics
    assert result.header.image_vectors.startswith("v.npz (sha256 ")
    assert result.efficiency.query_covers == "composing alone"


def test_a_method_of_ones_own_needs_no_model(tmp_path: Path) -> None:
    root = annotation_folder()
    from composir.bench.datasets import find_dataset

    task = find_dataset("cirr")[0].load(root, LoadOptions())[0]
    np.savez(tmp_path / "g.npz", ids=np.array(task.gallery), matrix=features(task.gallery))
    ids = np.array([int(query.id) for query in task.queries])
    np.savez(tmp_path / "mine.npz", ids=ids, matrix=query_vectors(task))
    plan = Plan(
        ("cirr",), (), root, vectors=tmp_path / "g.npz", query_vectors=tmp_path / "mine.npz"
    )
    result = run_plan(plan, None)[0].results[0]
    assert result.header.composer == "mine"
    assert result.header.model is None
    assert result.tasks[0].metrics["recall@10"].value == pytest.approx(52.1167, abs=0.03)


def test_several_tasks_are_averaged_with_equal_weight(tmp_path: Path) -> None:
    root = annotation_folder()
    from composir.bench.datasets import find_dataset

    tasks = find_dataset("fashioniq")[0].load(root, LoadOptions())
    names = sorted({name for task in tasks for name in task.needed})
    np.savez(tmp_path / "g.npz", ids=np.array(names), matrix=features(names))
    ids = [query.id for task in tasks for query in task.queries]
    rows = np.concatenate([query_vectors(task) for task in tasks])
    np.savez(tmp_path / "q.npz", ids=np.array(ids), matrix=rows)
    plan = Plan(
        ("fashioniq",), (), root, vectors=tmp_path / "g.npz", query_vectors=tmp_path / "q.npz"
    )
    result = run_plan(plan, None)[0].results[0]
    assert result.mean is not None
    parts = [task.metrics["recall@10"].value for task in result.tasks]
    assert result.mean["recall@10"].value == pytest.approx(sum(parts) / 3)
    assert result.mean["recall@10"].low < result.mean["recall@10"].value


def test_cirr_text_proxy_says_that_it_is_one() -> None:
    plan = Plan(
        ("cirr",),
        (Method("sum", {}),),
        annotation_folder(),
        model="colours",
        options=LoadOptions(text_proxy=True),
    )
    result = run_plan(plan, ColourModel())[0].results[0]
    assert result.header.dataset == "cirr-text-proxy"
    assert result.notices[0] == "text proxy, not CIRR: captions stand in for images"
    assert "captions (text proxy)" in result.header.image_vectors


def test_hidden_truth_asks_for_a_submission() -> None:
    plan = Plan(("cirr",), (Method("sum", {}),), annotation_folder(), options=LoadOptions("test1"))
    with pytest.raises(BenchError, match="only its server knows the truth"):
        run_plan(plan, ColourModel())


def test_data_sets_without_server_take_no_submission(tmp_path: Path) -> None:
    plan = replace(plan_for(write_folder(tmp_path / "set"), "sum"), submission=tmp_path / "out")
    with pytest.raises(BenchError, match="colours has no server"):
        run_plan(plan, ColourModel())


def test_plans_that_say_too_little(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    with pytest.raises(BenchError, match="no composer named"):
        run_plan(plan_for(folder), ColourModel())
    with pytest.raises(BenchError, match="no data set named"):
        run_plan(Plan((), ()), ColourModel())
    with pytest.raises(DatasetError, match="--root FOLDER"):
        run_plan(Plan(("cirr",), (Method("sum", {}),)), ColourModel())


def test_composers_on_the_command_line() -> None:
    method = parse_method("sum:alpha=0.4,steps=3,mode=fast")
    assert (method.composer, method.settings) == ("sum", {"alpha": 0.4, "steps": 3, "mode": "fast"})
    for wrong in ("sum:alpha", "sum:alpha=", ":alpha=1", "sum:=3"):
        with pytest.raises(BenchError, match="composer"):
            parse_method(wrong)


def test_result_names_tell_settings_apart(tmp_path: Path) -> None:
    results = run(write_folder(tmp_path / "set"), "sum:alpha=0.4", "sum:alpha=0.6")
    assert [result_name(result) for result in results] == [
        "colours-all-colours-sum-alpha-0.4.json",
        "colours-all-colours-sum-alpha-0.6.json",
    ]


def many_queries(folder: Path) -> Path:
    """Sixty queries that need both parts, so that differences become significant."""
    queries = [QUERIES[i % 4] | {"id": f"m{i}", "group": i} for i in range(60)]
    return write_folder(folder, card=CARD, queries=queries)


def test_a_comparison_marks_what_differs_from_the_first(tmp_path: Path) -> None:
    results = run(many_queries(tmp_path / "set"), "image", "sum", "sum:alpha=0.5")
    section = compared(results, ["a", "b", "c"])
    cells = dict(zip(section.scopes[0].metrics, section.scopes[0].cells[1], strict=True))
    assert section.scopes[0].cells[0][0].by_query is None
    assert cells["recall@1"].mark == "▲"
    found = cells["recall@1"].by_query
    assert found is not None
    assert found.p_corrected >= found.test.p_value
    assert section.tests == 2 * 3


def test_the_same_run_twice_does_not_differ(tmp_path: Path) -> None:
    results = run(many_queries(tmp_path / "set"), "sum", "sum")
    cells = compared(results, ["a", "b"]).scopes[0].cells[1]
    assert [cell.mark for cell in cells] == ["", "", ""]


def test_runs_on_other_queries_cannot_be_compared(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    dev, test = run(folder, "sum", split="dev")[0], run(folder, "sum", split="test")[0]
    with pytest.raises(BenchError, match=r"a.json and b.json cannot be compared.*split"):
        compared([dev, test], ["a.json", "b.json"])
    with pytest.raises(BenchError, match="at least two"):
        compared([dev], ["a.json"])
    assert [section.title for section in sections([dev, test])] == ["colours, dev", "colours, test"]


def test_tuning_finds_the_best_setting_and_its_split_is_then_refused(tmp_path: Path) -> None:
    folder = many_queries(tmp_path / "set")
    halves = [
        QUERIES[i % 4] | {"id": f"m{i}", "split": "dev" if i % 4 < 2 else "test"} for i in range(60)
    ]
    write_lines(folder / "queries.jsonl", halves)
    model = ColourModel()
    prepared = run_plan(plan_for(folder, "sum", split="dev"), model)[0].prepared
    found = tune(prepared, model, "sum", parse_grid(["alpha=0:1:0.5"]), "recall@1")
    assert found.settings == {"alpha": 0.5}
    assert [trial.settings["alpha"] for trial in found.trials] == [0, 0.5, 1]
    found.save(tmp_path / "tuned.json")
    method = Method("sum", found.settings, load_tuned(tmp_path / "tuned.json"))
    for refused in ("dev", None):
        plan = replace(plan_for(folder, split=refused), methods=(method,))
        with pytest.raises(BenchError, match="refused: 2 queries of colours"):
            run_plan(plan, model)
    reported = run_plan(replace(plan_for(folder, split="test"), methods=(method,)), model)
    tuning = reported[0].results[0].header.tuning
    assert tuning is not None
    assert (tuning.dataset, tuning.split, tuning.metric, tuning.tried) == (
        "colours",
        "dev",
        "recall@1",
        3,
    )


def test_a_renamed_copy_of_the_tuning_split_is_refused_too(tmp_path: Path) -> None:
    model = ColourModel()
    dev = write_folder(tmp_path / "dev")
    found = tune(run_plan(plan_for(dev, "sum"), model)[0].prepared, model, "sum", {"alpha": [0.5]})
    copy = write_folder(
        tmp_path / "copy",
        card=CARD | {"name": "other"},
        queries=[row | {"id": f"x{i}", "split": "test"} for i, row in enumerate(QUERIES)],
    )
    plan = replace(plan_for(copy), methods=(Method("sum", {"alpha": 0.5}, found),))
    with pytest.raises(BenchError, match="refused: 5 queries of other"):
        run_plan(plan, model)


def test_settings_tuned_for_another_model_are_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set")
    model = ColourModel("other")
    dev = run_plan(plan_for(folder, "sum", split="dev"), model)[0].prepared
    found = tune(dev, model, "sum", {"alpha": [0.5]})
    assert found.metric == "mean of recall@10 and map@10"
    plan = replace(plan_for(folder, split="test"), methods=(Method("sum", {}, found),))
    with pytest.raises(BenchError, match="tuned for the model with fingerprint other"):
        run_plan(plan, ColourModel())


def test_grids() -> None:
    assert parse_grid(["alpha=0:0.3:0.1", "beta=1,2"]) == {
        "alpha": [0, 0.1, 0.2, 0.3],
        "beta": [1, 2],
    }
    for wrong in ("alpha", "alpha=1:0:0.1", "alpha=a,b", "alpha=0:1:0", "alpha=0:1"):
        with pytest.raises(BenchError, match="--grid"):
            parse_grid([wrong])
    with pytest.raises(BenchError, match="more than 2,000"):
        parse_grid(["a=0:1:0.01", "b=0:1:0.01"])


def test_texts_are_encoded_once_for_a_whole_grid(tmp_path: Path) -> None:
    class Counting(ColourModel):
        def __init__(self) -> None:
            super().__init__()
            self.texts = 0

        def encode_texts(self, texts: Sequence[str]) -> FloatArray:
            self.texts += len(texts)
            return super().encode_texts(texts)

    model = Counting()
    prepared = run_plan(plan_for(write_folder(tmp_path / "set"), "sum"), model)
    assert prepared
    before = model.texts
    tune(prepared[0].prepared, model, "sum", parse_grid(["alpha=0:1:0.1"]))
    assert model.texts - before == len({row["text"] for row in QUERIES})


def test_outcomes_are_stored_compactly(tmp_path: Path) -> None:
    result = run(many_queries(tmp_path / "set"), "sum")[0]
    packed = result.tasks[0].ranks
    assert packed.array().shape == (60, 1)
    assert len(packed.data) < 60
    assert json.loads(result.model_dump_json())["format"] == "composir-bench-result"
