"""The traps of the public benchmarks, one test each, and the machinery below them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from composir.bench import protocol
from composir.bench.protocol import compose, outcomes, rank, rank_scores
from composir.compose import load_composer
from composir.compose.base import ComposedQueries, QueryBatch, Traits
from composir.errors import BenchError, DatasetError
from composir.types import FloatArray
from tests.fakes import ColourModel
from tests.unit.bench.makers import make_task, query


def unit(*rows: tuple[float, ...]) -> FloatArray:
    matrix = np.array(rows, dtype=np.float32)
    return np.asarray(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


@dataclass
class Spy:
    """A composer that notes what it is asked and answers with a fixed vector a text."""

    vectors: dict[str, tuple[float, ...]]
    name: str = "spy"
    traits: Traits = field(default_factory=Traits)

    def __post_init__(self) -> None:
        self.batches: list[QueryBatch] = []

    @property
    def settings(self) -> dict[str, float | int | str]:
        return {}

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        self.batches.append(batch)
        return ComposedQueries(unit(*(self.vectors[text] for text in batch.texts))[:, None])


def test_cirr_leaving_the_reference_in_would_cost_the_first_rank() -> None:
    queries = [query("q", ["target"], reference="reference")]
    scores = np.array([[0.9, 0.8, 0.1]])
    gallery = ["reference", "target", "other"]
    removed = make_task(queries, gallery, exclude_reference=True)
    left = make_task(queries, gallery, exclude_reference=False)
    assert outcomes(rank_scores(removed, scores), ["recall@1"]).item() == 1.0
    assert outcomes(rank_scores(left, scores), ["recall@1"]).item() == 0.0


def test_ranks_alone_are_the_same_without_a_list_of_hits() -> None:
    task = make_task([query("q", ["b", "d"])], ["a", "b", "c", "d"], metrics=["recall@1", "map@10"])
    scores = np.array([[0.9, 0.8, 0.1, 0.5]])
    listed, bare = rank_scores(task, scores), rank_scores(task, scores, top=0)
    assert bare.top.shape == (1, 0)
    np.testing.assert_array_equal(bare.ranks, listed.ranks)
    assert bare.ranks.tolist() == [[2, 3]]


def test_cirr_subset_ranks_its_five_candidates_alone() -> None:
    gallery = [f"g{i}" for i in range(10)]
    asked = query("q", ["g3"], reference="g0", subset=tuple(gallery[1:6]))
    task = make_task([asked], gallery, metrics=["recall@1", "recall_subset@1"])
    scores = np.array([[9, 0, 0, 5, 0, 0, 8, 7, 6, 5]], dtype=float)
    assert outcomes(rank_scores(task, scores), task.metrics).tolist() == [[0.0, 1.0]]


def test_circo_recall_looks_at_the_one_target_and_map_at_all() -> None:
    asked = query("q", ["a", "b"], primary="b")
    task = make_task([asked], ["a", "b", "c"], metrics=["recall@1", "map@5"])
    figures = outcomes(rank_scores(task, np.array([[3.0, 2.0, 1.0]])), task.metrics)
    assert figures.tolist() == [[0.0, 1.0]]


def test_genecis_a_constant_score_earns_nothing_although_the_target_is_first() -> None:
    members = tuple(f"g{i}" for i in range(15))
    task = make_task(
        [query("q", ["g0"], subset=members)],
        members,
        metrics=["recall_subset@1", "recall_subset@2", "recall_subset@3"],
    )
    rankings = rank_scores(task, np.ones((1, 15)))
    assert outcomes(rankings, task.metrics).tolist() == [[0.0, 0.0, 0.0]]
    assert rankings.subset is not None
    assert rankings.subset.tolist() == [[15]]


def test_genecis_lists_candidates_only() -> None:
    gallery = [f"g{i}" for i in range(6)]
    asked = query("q", ["g1"], subset=("g1", "g4"))
    task = make_task([asked], gallery, metrics=["recall_subset@1"])
    rankings = rank_scores(task, np.array([[9.0, 1, 9, 9, 2, 9]]))
    assert rankings.top[0, :3].tolist() == [4, 1, -1]
    assert rankings.ranks.shape == (1, 0)


def test_fashioniq_both_orders_are_averaged_and_normalised_again() -> None:
    spy = Spy({"a and b": (1, 0), "b and a": (0, 1)})
    composed = compose([query("q", [], texts=("a and b", "b and a"))], spy, {})
    np.testing.assert_allclose(composed.vectors[0, 0], [0.5**0.5, 0.5**0.5], rtol=1e-6)


def test_the_placeholder_stays_for_composers_that_know_it() -> None:
    asked = [query("q", [], texts=("a cartoon of *",), reference="r")]
    vectors = {"r": np.ones(2, np.float32)}
    plain = Spy({"a cartoon": (1, 0)})
    compose(asked, plain, vectors)
    assert plain.batches[0].texts == ("a cartoon",)
    knows = Spy({"a cartoon of *": (1, 0)}, traits=Traits(star=True))
    compose(asked, knows, vectors)
    assert knows.batches[0].texts == ("a cartoon of *",)


def test_texts_are_taken_as_they_are_unless_asked() -> None:
    vectors: dict[str, tuple[float, ...]] = {
        "red, no hat": (1.0, 0.0),
        "red": (0.0, 1.0),
        "no hat": (1.0, 1.0),
    }
    texts = [
        query("a", ["g"], texts=("red, no hat",)),
        query("b", ["g"], texts=("red",)),
        query("c", ["g"], texts=("no hat",)),
    ]
    plain, reading = Spy(vectors), Spy(vectors)
    compose(texts, plain, {})
    compose(texts, reading, {}, read_negation=True)

    assert plain.batches[0].texts == ("red, no hat", "red", "no hat")
    assert not any(plain.batches[0].negatives)
    # Words that only rule something out leave nothing to look for, and stay.
    assert reading.batches[0].texts == ("red", "red", "no hat")
    assert reading.batches[0].negatives == (("hat",), (), ())


def test_what_texts_rule_out_is_ranked_down() -> None:
    model = ColourModel()
    names = ["green", "red", "magenta", "yellow", "blue"]
    task = make_task([query("q", ["red"], texts=("red green, without green",))], names)
    composed = [
        compose(task.queries, load_composer("text", model), {}, read_negation=read)
        for read in (False, True)
    ]
    gallery = model.encode_texts(names)
    as_is, read = (rank(task, one, gallery).top[0, :5].tolist() for one in composed)

    assert read.index(0) > as_is.index(0)


def test_queries_of_different_shape_come_in_batches_of_one_shape() -> None:
    spy = Spy({"": (1, 0), "red": (0, 1)})
    queries = [
        query("both", [], reference="r"),
        query("words", []),
        query("image", [], reference="r", texts=("",)),
        query("words too", []),
    ]
    composed = compose(queries, spy, {"r": np.ones(2, np.float32)})
    assert sorted(len(batch) for batch in spy.batches) == [1, 1, 2]
    assert composed.vectors[:, 0].tolist() == [[0, 1], [0, 1], [1, 0], [0, 1]]


def test_composed_vectors_that_are_no_numbers_are_refused() -> None:
    spy = Spy({"red": (np.nan, 0)})
    with pytest.raises(BenchError, match="spy: NaN or infinite"):
        compose([query("q", [])], spy, {})


def test_blocks_give_the_same_ranks_as_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    gallery = unit(*rng.standard_normal((40, 8)))
    names = [f"g{i}" for i in range(40)]
    queries = [
        query(f"q{i}", [f"g{j}" for j in range(i % 3 + 1)], primary="g0", subset=tuple(names[:9]))
        for i in range(25)
    ]
    task = make_task(queries, names, metrics=["recall@5", "map@5", "recall_subset@1"])
    composed = ComposedQueries(unit(*rng.standard_normal((25, 8)))[:, None])
    whole = rank(task, composed, gallery)
    monkeypatch.setattr(protocol, "_BLOCK_CELLS", 40 * 4)
    blocked = rank(task, composed, gallery)
    for part in ("ranks", "primary", "subset", "top", "top_subset"):
        np.testing.assert_array_equal(getattr(whole, part), getattr(blocked, part))


def test_a_gallery_of_another_width_is_refused() -> None:
    task = make_task([query("q", ["a"])], ["a"])
    with pytest.raises(BenchError, match="query vectors have 3 numbers, the gallery's 2"):
        rank(task, ComposedQueries(np.ones((1, 1, 3), np.float32)), np.ones((1, 2), np.float32))


def test_subset_metrics_without_subsets_are_refused() -> None:
    task = make_task([query("q", ["a"])], ["a", "b"])
    rankings = rank_scores(task, np.zeros((1, 2)))
    with pytest.raises(BenchError, match="needs queries with a subset"):
        outcomes(rankings, ["recall_subset@1"])


def test_names_that_no_result_file_can_hold_are_refused() -> None:
    with pytest.raises(DatasetError, match=r"^made, gallery: 'b\\udce9' is not valid UTF-8"):
        make_task([query("q", ["a"])], ["a", "b\udce9"])
    for more in ({"texts": ("é\ud800",)}, {"aspects": ("\udce9",)}, {"reference": "\udce9"}):
        with pytest.raises(DatasetError, match=r"^f, line 3: '.*' is not valid UTF-8.*; rename it"):
            make_task([query("q", ["a"], source="f, line 3", **more)], ["a"])
