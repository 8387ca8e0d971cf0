"""Trained composers in benchmarks: costs, tuning, repeated runs, and what they refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composir.bench.compare import sections
from composir.bench.evaluation import VectorSource, load_tasks, prepare
from composir.bench.memo import SharedComposers, remembering_texts
from composir.bench.report.text_files import to_csv
from composir.bench.rerun import differences, rerun
from composir.bench.suite import (
    Plan,
    parse_method,
    result_name,
    result_path,
    run_plan,
)
from composir.bench.task import LoadOptions
from composir.bench.tune import tune
from composir.compose import QueryBatch, load_composer
from composir.compose.blend import Terms
from composir.compose.spliced import SplicedComposer
from composir.compose.token_graph import LightTokens, TokenGraph
from composir.errors import BenchError, DatasetError, QueryError
from composir.model import Model
from composir.types import FloatArray
from tests.fakes import COLOURS
from tests.tiny_bundle import make_bundle, make_composer
from tests.unit.bench.makers import write_folder

COSTS = {"query_parameters": 10, "query_flops": 20, "query_bytes": 30}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    return make_bundle(folder, efficiency={"query_parameters": 100.0, "query_flops": 1000.0})


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set")


def plan_for(data: Path, *composers: str | Path) -> Plan:
    return Plan((str(data),), tuple(parse_method(str(one)) for one in composers), model="tiny")


def test_a_light_query_side_is_reported_with_its_own_costs(
    model: Model, data: Path, tmp_path: Path
) -> None:
    light = make_composer(tmp_path / "isa-1" / "composer", model, "pixels", efficiency=COSTS)
    ours, theirs, words = run_plan(plan_for(data, light, "sum", "text"), model)[0].results

    assert ours.header.method.startswith("isa-1/tiny-map (sentence 1")
    assert result_name(ours) == "colours-all-tiny-isa-1-tiny-map.json"
    assert ours.efficiency.query_flops == 20
    assert ours.efficiency.travel_bytes == 2 * 4
    assert theirs.efficiency.query_flops == 1000
    assert theirs.efficiency.query_bytes is None
    assert words.efficiency.query_flops is None


def test_a_repeated_run_wants_the_same_composer(model: Model, data: Path, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "isa" / "composer", model, "pixels")
    [result] = run_plan(plan_for(data, f"{folder}:image=0.5"), model)[0].results

    assert result.header.composer_fingerprint == load_composer(folder, model).fingerprint  # type: ignore[attr-defined]
    assert differences(result, rerun(result, lambda name: model)) == []
    make_composer(tmp_path / "isa" / "composer", model, "patch_tokens")
    with pytest.raises(BenchError, match="made with a composer of fingerprint"):
        rerun(result, lambda name: model)


def test_composers_of_one_name_are_told_apart(model: Model, data: Path, tmp_path: Path) -> None:
    folders = [
        make_composer(tmp_path / "shop" / "composer", model, name="compose"),
        make_composer(tmp_path / "art" / "composer", model, "pixels", name="compose"),
        make_composer(tmp_path / "old" / "art" / "composer", model, name="compose"),
    ]
    results = run_plan(plan_for(data, *folders), model)[0].results
    tables = sections(results)[0].methods
    paths = []
    for result in results:
        paths.append(result_path(tmp_path / "runs", result))
        result.save(paths[-1])

    assert [one.header.composer for one in results] == [
        "shop/compose",
        "art/compose",
        "art/compose",
    ]
    assert len({one.header.composer_fingerprint for one in results[1:]}) == 2
    assert len(set(tables)) == len(set(paths)) == 3
    assert tables[0].startswith("shop/compose (")
    for method, result in zip(tables[1:], results[1:], strict=True):
        assert method.endswith(f"[{str(result.header.composer_fingerprint)[:8]}]")
    assert [result_path(tmp_path / "runs", result) for result in results] == paths
    assert "composer_fingerprint" in to_csv(sections(results)).splitlines()[0].split(",")


def test_tuning_runs_the_query_side_once(
    model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    tokens = TokenGraph.tokens

    def count(side: TokenGraph, batch: QueryBatch) -> LightTokens:
        ran.append(len(batch))
        return tokens(side, batch)

    monkeypatch.setattr(TokenGraph, "tokens", count)
    folder = make_composer(tmp_path / "c", model, "pixels")
    tasks = load_tasks(str(data), None, LoadOptions())[2]
    prepared = [prepare(task, VectorSource(model)) for task in tasks]
    grid = {"sentence": [0.0, 1.0], "direction": [0.5, 1.0], "image": [0.0, 1.0]}
    found = tune(prepared, model, str(folder), grid)

    assert len(found.trials) == 8
    assert sum(ran) == sum(query.reference is not None for query in tasks[0].queries)


def test_the_same_words_are_encoded_once_for_a_whole_benchmark(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    encode = Model.encode_texts

    def counting(own: Model, texts: Sequence[str]) -> FloatArray:
        encoded.extend(texts)
        return encode(own, texts)

    monkeypatch.setattr(Model, "encode_texts", counting)
    folder = make_composer(tmp_path / "c", model)
    composer = load_composer(folder, remembering_texts(model), sentence=0.0, text=1.0)
    for _ in range(3):
        composer.compose(QueryBatch(("in red",), np.eye(4, dtype=np.float32)[:1]))

    assert encoded == ["in red"]


def test_settings_of_one_composer_in_one_run_share_what_it_computes(
    model: Model, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[tuple[str, ...]] = []
    terms = SplicedComposer.terms

    def counting(own: SplicedComposer, batch: QueryBatch) -> Terms:
        batches.append(batch.texts)
        return terms(own, batch)

    monkeypatch.setattr(SplicedComposer, "terms", counting)
    folder = make_composer(tmp_path / "c", model, "pixels")
    plan = replace(plan_for(data, folder, f"{folder}:text=2"), costs=False)
    first, second = run_plan(plan, model)[0].results

    assert len(batches) == len(set(batches)) == 2  # with a reference, and words alone
    assert first.header.settings["text"] == 0.0
    assert second.header.settings["text"] == 2.0


def test_shared_composers_compose_as_separate_ones(model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "c", model)
    made = SharedComposers(model)
    batch = QueryBatch(("is blue",), np.eye(4, dtype=np.float32)[:1], negatives=(("red",),))
    other = replace(batch, texts=("is green",))
    for settings in ({"image": 0.5}, {"text": 2.0}):
        for asked in (batch, other):
            np.testing.assert_array_equal(
                made(str(folder), settings).compose(asked).vectors,
                load_composer(folder, model, **settings).compose(asked).vectors,
            )
    with pytest.raises(QueryError, match="alpha"):
        made(str(folder), {"alpha": 1.0})


def test_precomputed_vectors_do_not_serve_a_composer_that_looks(
    model: Model, data: Path, tmp_path: Path
) -> None:
    folder = make_composer(tmp_path / "c", model, "pixels")
    ids = np.array(list(COLOURS))
    np.savez(tmp_path / "v.npz", ids=ids, matrix=model.encode_texts([*COLOURS]))
    plan = replace(plan_for(data, folder), vectors=tmp_path / "v.npz")
    with pytest.raises(QueryError, match="needs the references' pixels, not their vectors alone"):
        run_plan(plan, model)
    blind = make_composer(tmp_path / "blind", model, "vector")
    assert run_plan(replace(plan, methods=(parse_method(str(blind)),)), model)[0].results


def test_a_reference_that_cannot_be_read_any_more_is_named(
    model: Model, data: Path, tmp_path: Path
) -> None:
    folder = make_composer(tmp_path / "c", model, "pixels")
    task = load_tasks(str(data), None, LoadOptions())[2][0]
    prepared = prepare(task, VectorSource(model))
    (data / "images" / "red.png").write_bytes(b"no picture")
    assert prepared.openers is not None
    composer = load_composer(folder, model)
    vectors = prepared.table.rows(["red"], "colours")
    batch = QueryBatch(("is blue",), vectors, [prepared.openers["red"]])
    with pytest.raises(DatasetError, match=r"image 'red', .*red\.png: "):
        composer.compose(batch)
