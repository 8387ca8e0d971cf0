"""What pictures lose for what they show of unwanted things."""

from __future__ import annotations

import numpy as np
import pytest

from composir.compose import load_composer
from composir.compose.base import ComposedQueries, QueryBatch
from composir.compose.unwanted import Unwanted, unwanted_directions
from composir.errors import QueryError
from composir.types import FloatArray
from tests.fakes import COLOURS, ColourModel

MODEL = ColourModel()
NAMES = list(COLOURS)


def colours(*names: str) -> FloatArray:
    return MODEL.encode_texts(names)


def directions(negative: str, text: str = "") -> FloatArray:
    return unwanted_directions([(negative,)], [text], MODEL, 0.5)[0].directions


def scores(text: str, *negatives: str, gallery: FloatArray, weight: float = 0.5) -> FloatArray:
    composer = load_composer("text", MODEL, negative_weight=weight)
    composed = composer.compose(QueryBatch((text,), negatives=(negatives,)))
    return np.asarray(composed.scores(gallery)[0])


def test_a_direction_points_to_what_it_names() -> None:
    towards = colours(*NAMES) @ directions("green")[0]

    assert NAMES[int(towards.argmax())] == "green"
    assert np.linalg.norm(directions("green")) == pytest.approx(1.0, abs=1e-5)


def test_what_the_wanted_words_share_with_it_is_kept() -> None:
    """`red` without `magenta`: not even a bit of red is ruled out."""
    wanted = colours("red")[0] - MODEL.encode_texts([""])[0]
    alone, beside = directions("magenta")[0], directions("magenta", "red")[0]

    assert alone @ wanted > 0.3
    assert beside @ wanted == pytest.approx(0.0, abs=1e-3)
    assert beside @ colours("blue")[0] > 0.3


def test_pictures_that_show_it_lose_and_others_keep_their_scores() -> None:
    gallery = colours(*NAMES)
    plain, without = (scores("red", *n, gallery=gallery) for n in ((), ("green",)))
    lost = dict(zip(NAMES, plain - without, strict=True))

    assert min(lost.values()) >= 0
    assert max(lost, key=lambda name: lost[name]) == "green"
    assert lost["red"] == lost["magenta"] == 0
    assert lost["green"] > 0.1


def test_several_things_add_up_and_a_weight_of_zero_rules_out_nothing() -> None:
    gallery = colours(*NAMES)
    plain = scores("red", gallery=gallery)
    green = plain - scores("red", "green", gallery=gallery)
    blue = plain - scores("red", "blue", gallery=gallery)
    both = plain - scores("red", "green", "blue", gallery=gallery)

    np.testing.assert_allclose(both, green + blue, atol=1e-5)
    np.testing.assert_array_equal(scores("red", "green", gallery=gallery, weight=0.0), plain)


def test_a_reference_that_shows_it_makes_it_cost_more() -> None:
    gallery = colours(*NAMES)
    rule = Unwanted(directions("blue"), 0.5)
    green = NAMES.index("blue")

    def lost(query: str) -> float:
        vector = colours(query)
        found = rule.penalties(vector, (gallery @ vector.T)[:, 0], gallery)
        assert found is not None
        spread = np.ptp(gallery @ vector.T)
        return float(found(gallery)[green] / spread)

    assert lost("magenta") > 1.3 * lost("yellow")


def test_a_gallery_of_equal_pictures_stays_finite() -> None:
    gallery = np.repeat(colours("green"), 50, axis=0)
    gallery = np.concatenate([gallery, colours("red")])
    found = scores("red", "green", gallery=gallery)

    assert np.isfinite(found).all()
    assert found.argmax() == 50
    assert np.isfinite(scores("red", "green", gallery=gallery[:1])).all()


def test_queries_of_a_batch_do_not_mix() -> None:
    composer = load_composer("sum", MODEL)
    gallery = colours(*NAMES)
    negatives = (("green",), (), ("blue", "red"))
    texts = ("red", "blue", "white")
    batch = composer.compose(QueryBatch(texts, negatives=negatives)).scores(gallery)

    for row, (text, unwanted) in enumerate(zip(texts, negatives, strict=True)):
        alone = composer.compose(QueryBatch((text,), negatives=(unwanted,))).scores(gallery)
        np.testing.assert_allclose(batch[row], alone[0], atol=1e-6)


def test_parts_of_a_batch_keep_what_they_rule_out() -> None:
    composer = load_composer("text", MODEL)
    gallery = colours(*NAMES)
    whole = composer.compose(QueryBatch(("red", "blue"), negatives=((), ("green",))))

    assert whole.rules_out
    assert not whole.part(0, 1).rules_out
    np.testing.assert_allclose(
        whole.part(1, 2).scores(gallery), whole.scores(gallery)[1:], atol=1e-5
    )


@pytest.mark.parametrize("negative", ["red", " Red ", "a red"])
def test_ruling_out_all_that_is_asked_for_is_refused(negative: str) -> None:
    with pytest.raises(QueryError, match="nothing is left to look for"):
        unwanted_directions([(negative,)], ["red"], MODEL, 0.5)


def test_products_lose_too() -> None:
    vectors = colours("magenta", "magenta")[None]
    gallery = colours("magenta", "red", "blue", "yellow", "white", "cyan")
    plain = ComposedQueries(vectors, "product").scores(gallery)[0]
    rule = Unwanted(directions("blue"), 0.5)
    without = ComposedQueries(vectors, "product", (rule,)).scores(gallery)[0]

    assert (plain - without >= 0).all()
    assert plain[2] - without[2] > plain[1] - without[1]
