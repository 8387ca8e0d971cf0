"""Composers without training: what each does to vectors that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from composir.compose import QueryBatch, composer_names, load_composer, parse_composer
from composir.compose.arithmetic import slerp
from composir.compose.sphere import normalised
from composir.errors import QueryError
from composir.types import FloatArray
from tests.fakes import ColourModel

MODEL = ColourModel()


def colour(name: str) -> FloatArray:
    return MODEL.encode_texts([name])


def batch(image: str | None = "red", text: str = "blue", *negatives: str) -> QueryBatch:
    vectors = None if image is None else colour(image)
    return QueryBatch((text,), vectors, negatives=(negatives,))


@pytest.mark.parametrize("name", composer_names(MODEL))
def test_every_composer_gives_unit_vectors_and_names_its_settings(name: str) -> None:
    composer = load_composer(name, MODEL)
    composed = composer.compose(batch())
    assert composer.name == name
    assert "negative_weight" in composer.settings
    assert "model" not in composer.settings
    np.testing.assert_allclose(np.linalg.norm(composed.vectors, axis=-1), 1.0, atol=1e-5)


def test_image_and_text_ignore_the_other_side() -> None:
    image = load_composer("image", MODEL).compose(batch())
    text = load_composer("text", MODEL).compose(batch())
    np.testing.assert_allclose(image.vectors[0], colour("red"), atol=1e-6)
    np.testing.assert_allclose(text.vectors[0], colour("blue"), atol=1e-6)


def test_sum_is_the_weighted_mean_on_the_sphere() -> None:
    composed = load_composer("sum", MODEL, alpha=0.25).compose(batch())
    expected = normalised(0.75 * colour("red") + 0.25 * colour("blue"))
    np.testing.assert_allclose(composed.vectors[:, 0], expected, atol=1e-6)


def test_slerp_walks_the_great_circle_at_constant_speed() -> None:
    start, end = colour("red"), colour("blue")
    third = slerp(start, end, 1 / 3)
    whole = np.arccos((start * end).sum())
    assert np.arccos((start * third).sum()) == pytest.approx(whole / 3, abs=1e-5)
    np.testing.assert_allclose(slerp(start, end, 0.0), start, atol=1e-6)
    np.testing.assert_allclose(slerp(start, end, 1.0), end, atol=1e-6)


def test_slerp_of_equal_and_of_opposite_vectors_stays_finite() -> None:
    vector = colour("red")
    np.testing.assert_allclose(slerp(vector, vector, 0.5), vector, atol=1e-6)
    assert np.isfinite(slerp(vector, -vector, 0.5)).all()


def test_product_multiplies_rectified_similarities() -> None:
    composed = load_composer("product", MODEL).compose(batch("red", "blue"))
    gallery = np.concatenate([colour("magenta"), colour("red"), colour("blue")])
    scores = composed.scores(gallery)[0]
    red, blue = gallery @ colour("red")[0], gallery @ colour("blue")[0]
    np.testing.assert_allclose(scores, np.maximum(red, 0) * np.maximum(blue, 0), atol=1e-6)
    assert scores.argmax() == 0


@pytest.mark.parametrize("name", ["sum", "slerp", "product"])
def test_what_is_missing_does_not_take_part(name: str) -> None:
    composer = load_composer(name, MODEL)
    words = composer.compose(batch(None, "blue"))
    picture = composer.compose(batch("red", ""))
    np.testing.assert_allclose(words.vectors[0], colour("blue"), atol=1e-6)
    np.testing.assert_allclose(picture.vectors[0], colour("red"), atol=1e-6)
    assert words.rule == picture.rule == "dot"


@pytest.mark.parametrize("name", composer_names(MODEL))
def test_a_negative_lowers_what_it_names(name: str) -> None:
    composer = load_composer(name, MODEL)
    gallery = np.concatenate([colour("magenta"), colour("blue")])
    plain = composer.compose(batch("magenta", "magenta")).scores(gallery)[0]
    without = composer.compose(batch("magenta", "magenta", "red")).scores(gallery)[0]
    assert without[0] - without[1] < plain[0] - plain[1]


def test_a_batch_gives_what_its_queries_give_alone() -> None:
    composer = load_composer("sum", MODEL)
    vectors = np.concatenate([colour("red"), colour("green")])
    both = composer.compose(QueryBatch(("blue", "white"), vectors))
    alone = [composer.compose(batch(i, t)) for i, t in (("red", "blue"), ("green", "white"))]
    np.testing.assert_allclose(both.vectors, np.concatenate([a.vectors for a in alone]), atol=1e-6)


def test_the_model_names_the_default_and_its_settings() -> None:
    class Tuned(ColourModel):
        default_composer = "slerp"
        composer_settings = {"slerp": {"alpha": 0.3}}  # noqa: RUF012

    assert load_composer(None, Tuned()).settings["alpha"] == 0.3
    assert load_composer(None, Tuned(), alpha=0.9).settings["alpha"] == 0.9


def test_unknown_names_settings_and_values_are_refused() -> None:
    with pytest.raises(QueryError, match="known: image, text"):
        load_composer("magic", MODEL)
    with pytest.raises(QueryError, match="beta"):
        load_composer("sum", MODEL, beta=1.0)
    with pytest.raises(QueryError, match="from 0"):
        load_composer("slerp", MODEL, alpha=1.5)


def test_composers_say_what_they_miss() -> None:
    with pytest.raises(QueryError, match="needs a reference image"):
        load_composer("image", MODEL).compose(batch(None, "blue"))
    with pytest.raises(QueryError, match="needs words"):
        load_composer("text", MODEL).compose(batch("red", ""))


def test_uneven_batches_are_refused() -> None:
    with pytest.raises(QueryError, match="2 texts but 1 image_vectors"):
        QueryBatch(("a", "b"), colour("red"))
    with pytest.raises(QueryError, match="empty batch"):
        QueryBatch(())


def test_composers_are_named_with_their_settings(tmp_path: Path) -> None:
    assert parse_composer("sum") == ("sum", {})
    assert parse_composer("sum:alpha=0.4,steps=3,mode=fast") == (
        "sum",
        {"alpha": 0.4, "steps": 3, "mode": "fast"},
    )
    folder = tmp_path / "a:b=1"
    folder.mkdir()
    assert parse_composer(str(folder)) == (str(folder), {})
    for wrong in ("sum:alpha", ":alpha=1", "sum:=3"):
        with pytest.raises(QueryError, match="composer"):
            parse_composer(wrong)


def test_an_unknown_setting_is_named_with_those_that_there_are() -> None:
    with pytest.raises(QueryError, match=r"sum has no setting beta; its settings are .*alpha"):
        load_composer("sum", MODEL, beta=1.0)


@pytest.mark.parametrize("value", ["much", float("nan"), float("inf"), 10**400])
@pytest.mark.parametrize("setting", ["alpha", "negative_weight"])
def test_a_setting_that_is_no_number_is_refused(setting: str, value: float | str) -> None:
    with pytest.raises(QueryError, match=f"composer sum: {setting} must be a finite number"):
        load_composer("sum", MODEL, **{setting: value})
