"""Taking off what the words replace, and moving as words move a sentence, checked by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from composir.compose import QueryBatch, load_composer
from composir.compose.retrieved import PhraseVectors, nearest_things, packaged_things
from composir.compose.sphere import normalised
from composir.compose.unwanted import EVERYDAY
from composir.errors import QueryError
from composir.types import FloatArray
from tests.fakes import ColourModel

SETTINGS: dict[str, dict[str, float]] = {
    "replace": {"a": 1.5, "b": 0.5, "temperature": 0.05, "things": 5},
    "direction": {"alpha": 3.0, "things": 3},
}
BOTH = list(SETTINGS)


class WordModel(ColourModel):
    """Each word has a direction of its own; a text is the sum of its words."""

    dimension = 2048
    name = "words"

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.asked: list[list[str]] = []

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        self.asked.append(list(texts))
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.replace(",", "").split():
                row[self._place(word)] += 1.0
        return normalised(rows)

    def _place(self, word: str) -> int:
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


MODEL = WordModel()


def vector(*texts: str) -> FloatArray:
    return MODEL.encode_texts(texts)


def query(image: str, text: str, name: str = "replace", **settings: float) -> FloatArray:
    batch = QueryBatch((text,), vector(image))
    chosen = {**SETTINGS[name], **settings}
    composed: FloatArray = load_composer(name, MODEL, **chosen).compose(batch).vectors[0]
    return composed


def similarity(composed: FloatArray, text: str) -> float:
    return float(composed[0] @ vector(text)[0])


def test_what_the_picture_shows_now_is_taken_off() -> None:
    composed = query("shirt blue", "red", temperature=0.001, context=0.0)
    expected = vector("shirt blue") + 1.5 * (vector("red") - vector("blue")) + 0.5 * vector("red")
    np.testing.assert_allclose(composed, normalised(expected), atol=1e-5)
    assert similarity(composed, "red") > 0.5
    assert similarity(composed, "blue") < 0.0


def test_a_warm_temperature_takes_off_the_mean_of_the_group() -> None:
    composed = query("shirt blue", "red", temperature=1e6, context=0.0, b=0.0)
    assert similarity(composed, "blue") > 0.0
    assert similarity(composed, "red") > 0.0


def test_a_sum_does_not_take_off_what_replace_does() -> None:
    summed = load_composer("sum", MODEL).compose(QueryBatch(("red",), vector("shirt blue")))
    replaced = query("shirt blue", "red")
    assert similarity(replaced, "blue") < similarity(summed.vectors[0], "blue")
    assert similarity(replaced, "shirt") > 0.2


def test_several_groups_are_each_replaced() -> None:
    composed = query("shirt blue on a beach", "in red, in a forest", context=0.0)
    for gone, come in (("blue", "red"), ("beach", "forest")):
        assert similarity(composed, gone) < similarity(composed, come)


def test_what_a_text_names_as_replaced_is_taken_off_alone() -> None:
    composed = query("dog basket", "cat instead of dog", context=0.0)
    expected = vector("dog basket") + 2.0 * vector("cat") - 1.5 * vector("dog")
    np.testing.assert_allclose(composed, normalised(expected), atol=1e-5)


def test_a_text_of_no_group_takes_off_what_fits_the_picture() -> None:
    composed = query("a giraffe", "zebra", context=0.0, things=1)
    expected = vector("a giraffe") + 2.0 * vector("zebra") - 1.5 * vector("a giraffe")
    np.testing.assert_allclose(composed, normalised(expected), atol=1e-5)


@pytest.mark.parametrize(("drawn", "wanted"), [(1.0, "blue"), (0.0, "blue whale")])
def test_a_text_of_no_phrase_exchanges_the_group_that_it_is_near_to(
    drawn: float, wanted: str
) -> None:
    sure: dict[str, float] = {"nearness": 0.001, "temperature": 0.001, "b": 0.0, "a": 1.0}
    composed = query("red shirt", "blue whale", "replace", drawn=drawn, **sure)
    expected = vector("red shirt") + vector(wanted) - vector("red")
    np.testing.assert_allclose(composed, normalised(expected), atol=1e-5)


def test_a_phrase_that_a_text_is_not_about_is_not_trusted() -> None:
    sure: dict[str, float] = {"nearness": 0.001, "doubt": 0.001, "ahead": 0.1, "drawn": 1.0}
    about, beside = "in red", "black bear, black cow, black dog in red"
    for text, gone in ((about, "blue"), (beside, "brown")):
        composed = query(f"shirt {gone}", text, "replace", **sure)
        listed = query(f"shirt {gone}", text, "replace", nearness=0.001, drawn=1.0)
        assert np.allclose(composed, listed, atol=1e-4) == (text == about)


def test_what_a_text_names_as_replaced_is_always_trusted() -> None:
    doubted = query("dog basket", "cat instead of dog", nearness=0.02, doubt=0.01, ahead=0.9)
    np.testing.assert_allclose(doubted, query("dog basket", "cat instead of dog"), atol=1e-6)


def test_emphasis_is_of_texts_of_no_phrase_alone() -> None:
    listed = query("shirt blue", "red", nearness=0.02)
    same = query("shirt blue", "red", nearness=0.02, emphasis=3.0)
    np.testing.assert_allclose(same, listed, atol=1e-6)
    unlisted = query("a giraffe", "zebra", nearness=0.02)
    stressed = query("a giraffe", "zebra", nearness=0.02, emphasis=3.0)
    assert similarity(stressed, "zebra") > similarity(unlisted, "zebra") + 0.05


def test_phrases_are_encoded_once_for_texts_of_none() -> None:
    model = WordModel()
    composer = load_composer("replace", model, nearness=0.02)
    pictures = model.encode_texts(["a giraffe", "a dog"])
    composer.compose(QueryBatch(("zebra", "in red"), pictures))
    model.asked.clear()
    composer.compose(QueryBatch(("cat", "in blue"), pictures))
    assert [text for texts in model.asked for text in texts if text in packaged_things()] == []
    assert sum(map(len, model.asked)) < 10


def test_context_takes_the_difference_of_sentences_about_the_thing() -> None:
    composed = query("a giraffe blue", "red", temperature=0.001, context=1.0, b=0.0)
    change = vector("a giraffe red") - vector("a giraffe blue")
    expected = vector("a giraffe blue") + 1.5 * change
    np.testing.assert_allclose(composed, normalised(expected), atol=1e-5)


def test_centring_takes_the_mean_of_everyday_texts_from_the_text() -> None:
    plain = vector("shirt") + 0.5 * (vector("red") - vector(*EVERYDAY).mean(axis=0))
    composed = query("shirt", "red", a=0.0, centred=1.0)
    np.testing.assert_allclose(composed, normalised(plain), atol=1e-5)


def test_direction_is_the_mean_difference_of_sentences() -> None:
    composed = query("a giraffe", "in red", "direction", things=1, alpha=2.0)
    moved = vector("a photo of a giraffe in red") - vector("a photo of a giraffe")
    expected = normalised(vector("a giraffe") + 2.0 * moved)
    np.testing.assert_allclose(composed, expected, atol=1e-5)


def test_braces_in_words_are_words() -> None:
    assert np.isfinite(query("a giraffe", "{} and {text}", "direction")).all()
    assert np.isfinite(query("a giraffe", "{} and {text} in red")).all()


@pytest.mark.parametrize("name", BOTH)
def test_what_is_missing_does_not_take_part(name: str) -> None:
    composer = load_composer(name, MODEL)
    words = composer.compose(QueryBatch(("red",)))
    picture = composer.compose(QueryBatch(("",), vector("shirt")))
    np.testing.assert_allclose(words.vectors[0], vector("red"), atol=1e-6)
    np.testing.assert_allclose(picture.vectors[0], vector("shirt"), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("replace", {}), ("replace", {"nearness": 0.02, "doubt": 0.1}), ("direction", {})],
)
def test_a_batch_gives_what_its_queries_give_alone(name: str, settings: dict[str, float]) -> None:
    texts = ("in red", "zebra", "cat instead of dog", "at night in winter")
    images = vector("shirt blue", "a giraffe", "dog", "at sunset street")
    composer = load_composer(name, MODEL, **settings)
    together = composer.compose(QueryBatch(texts, images)).vectors
    alone = [
        composer.compose(QueryBatch((text,), image[None])).vectors
        for text, image in zip(texts, images, strict=True)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)


def test_only_the_matched_group_is_encoded_and_only_once() -> None:
    model = WordModel()
    composer = load_composer("replace", model, context=0.0)
    for image in ("shirt blue", "shirt green"):
        composer.compose(QueryBatch(("in red",), model.encode_texts([image])))
    asked = [text for texts in model.asked for text in texts if text not in ("in red",)]
    assert asked.count("blue") == 1
    assert not set(asked) & {"wooden", "striped", *packaged_things()}


def test_remembered_vectors_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("composir.compose.retrieved._MOST", 2)
    model = WordModel()
    encode = PhraseVectors(model)
    encode(["a", "b"])
    np.testing.assert_array_equal(encode(["b", "c"]), vector_of(model, "b", "c"))
    model.asked.clear()
    encode(["b", "c"])
    assert model.asked == []
    encode(["a"])
    assert model.asked == [["a"]]


def test_what_comes_with_the_model_is_never_encoded_nor_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("composir.compose.retrieved._MOST", 2)
    model = WordModel()
    model.known_texts = dict(zip(("red", "blue"), vector_of(model, "one", "two"), strict=True))  # type: ignore[misc]
    model.asked.clear()
    encode = PhraseVectors(model)
    for fresh in ("a", "b", "c"):
        found = encode(["red", fresh, "blue"])
        np.testing.assert_array_equal(found[[0, 2]], np.stack(list(model.known_texts.values())))
    assert model.asked == [["a"], ["b"], ["c"]]


def vector_of(model: WordModel, *texts: str) -> FloatArray:
    return model.encode_texts(texts)


def test_things_are_those_that_fit_best() -> None:
    [things] = nearest_things(vector("a giraffe"), PhraseVectors(MODEL), 2)
    assert things[0] == "a giraffe"
    assert len(things) == 2
    assert len(set(packaged_things())) == len(packaged_things()) > 50


@pytest.mark.parametrize(
    ("name", "setting", "value", "message"),
    [
        ("replace", "temperature", 0.0, "temperature must be above 0, not 0"),
        ("replace", "context", 1.5, "context must be from 0 to 1, not 1.5"),
        ("replace", "a", -1.0, "a must be at least 0, not -1"),
        ("replace", "drawn", 1.5, "drawn must be from 0 to 1, not 1.5"),
        ("replace", "nearness", -0.1, "nearness must be at least 0, not -0.1"),
        ("replace", "emphasis", -0.1, "emphasis must be at least 0, not -0.1"),
        ("replace", "doubt", -0.1, "doubt must be at least 0, not -0.1"),
        ("replace", "ahead", -0.1, "ahead must be at least 0, not -0.1"),
        ("replace", "things", 0, "things must be a whole number of at least 1, not 0"),
        ("direction", "things", 1.5, "things must be a whole number of at least 1, not 1.5"),
        ("direction", "alpha", -0.5, "alpha must be at least 0, not -0.5"),
    ],
)
def test_settings_out_of_range_are_refused(
    name: str, setting: str, value: float, message: str
) -> None:
    with pytest.raises(QueryError, match=message):
        load_composer(name, MODEL, **{setting: value})
    made = load_composer(name, MODEL)
    assert set(made.settings) >= {setting, "negative_weight"}
    assert "vectors" not in made.settings
