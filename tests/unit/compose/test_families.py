"""Every kind of trained composer, and a search, on bundles of every family of text encoders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.compose import load_composer, open_trained
from composir.compose.base import QueryBatch
from composir.compose.sphere import normalised
from composir.errors import ModelError
from composir.gallery import Gallery
from composir.model import Model
from composir.types import FloatArray, Query
from tests.fakes import COLOURS
from tests.tiny_bundle import (
    FAMILIES,
    colour_vector,
    make_bundle,
    make_composer,
    text_graph,
)

RED = Image.new("RGB", (16, 16), COLOURS["red"])
BATCH = QueryBatch(("blue",), colour_vector("red")[None], images=[lambda: RED])
SENTENCE = {"sentence": 1.0, "direction": 0.0}


@pytest.fixture(params=[None, *FAMILIES])
def family(request: pytest.FixtureRequest) -> str | None:
    chosen: str | None = request.param
    return chosen


def between(*colours: str) -> FloatArray:
    """The vector of a sentence of colours."""
    total = np.sum([colour_vector(colour) for colour in colours], axis=0, keepdims=True)
    mean: FloatArray = normalised(total)[0]
    return mean


@pytest.mark.parametrize("takes", ["pixels", "patch_tokens", "vector"])
def test_a_composed_sentence_means_the_same(tmp_path: Path, family: str | None, takes: str) -> None:
    model = make_bundle(tmp_path / "tiny", family=family)
    composer = open_trained(make_composer(tmp_path / "c", model, takes, settings=SENTENCE), model)
    [[vector]] = composer.compose(BATCH).vectors

    assert vector == pytest.approx(between("red", "blue"), abs=2e-3)


def test_an_adapted_text_encoder_is_told_the_place_too(tmp_path: Path, family: str | None) -> None:
    model = make_bundle(tmp_path / "tiny", family=family)
    folder = tmp_path / "c"
    folder.mkdir()
    text_graph(folder / "text.onnx", (1.0, 0.0, 1.0, 1.0), switchable=True, family=family)
    own: dict[str, Any] = {"kind": "adapted", "text_graph": "text.onnx", "switchable": True}
    made = open_trained(make_composer(folder, model, "pixels", settings=SENTENCE, **own), model)
    [[vector]] = made.compose(BATCH).vectors

    assert vector[1] == pytest.approx(0.0, abs=1e-3)  # green, which the adapters take out
    assert made.plain_texts().encode(["red"])[0] == pytest.approx(colour_vector("red"), abs=1e-3)


def test_a_text_graph_of_another_family_is_refused(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny", family="clip")
    folder = tmp_path / "c"
    folder.mkdir()
    text_graph(folder / "text.onnx")
    own: dict[str, Any] = {"kind": "adapted", "text_graph": "text.onnx"}
    made = open_trained(make_composer(folder, model, "pixels", settings=SENTENCE, **own), model)

    with pytest.raises(ModelError, match="must take eot, mask, word_embeddings"):
        made.compose(BATCH)


@pytest.fixture
def gallery(tmp_path: Path, family: str | None) -> Gallery:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for name, colour in COLOURS.items():
        Image.new("RGB", (32, 24), colour).save(pictures / f"{name}.png")
    bundle = tmp_path / "tiny"
    composer, model = bundle / "composers" / "tiny-map", make_bundle(bundle, family=family)
    make_composer(composer, model, "pixels", settings=SENTENCE)
    made = Gallery.create_or_open(tmp_path / "gallery", make_bundle(bundle, family=family))
    made.index([pictures])
    return made


@pytest.mark.parametrize("composer", ["sum", "tiny-map"])
def test_searches_find_what_they_ask_for(gallery: Gallery, composer: str) -> None:
    words = gallery.search(Query(text="a photo of green"), composer=composer).hits
    both = gallery.search(Query(image=RED, text="that it is blue"), composer=composer).hits

    assert words[0].path.stem == "green"
    for hits, vector in ((words, colour_vector("green")), (both, between("red", "blue"))):
        expected = [float(vector @ colour_vector(hit.path.stem)) for hit in hits]
        assert [hit.score for hit in hits] == pytest.approx(expected, abs=5e-3)


def test_a_search_says_what_it_did_not_read(gallery: Gallery, family: str | None) -> None:
    blue = "a photo of it that of " + "blue " * 11
    for query, composer in (
        (Query(text=blue), "sum"),
        (Query(image=RED, text=blue), "sum"),
        (Query(image=RED, text=blue), "tiny-map"),
    ):
        [notice] = gallery.search(query, composer=composer).notices
        assert notice.startswith("the words are more than tiny reads, '")
        assert "blue' was left out" in notice
    assert gallery.search(Query(image=RED, text="blue"), composer="tiny-map").notices == ()
    only_the_template = Query(image=RED, text=" ".join(["blue"] * 12))
    assert gallery.search(only_the_template, composer="sum").notices == ()
    [notice] = gallery.search(only_the_template, composer="tiny-map").notices
    assert ("a photo" in notice) == (family is not None)


def test_the_bundles_composers_are_found_by_name(tmp_path: Path, family: str | None) -> None:
    bundle = tmp_path / "tiny"
    make_composer(bundle / "composers" / "tiny-map", make_bundle(bundle, family=family), "vector")
    model: Model = make_bundle(bundle, family=family)
    composer = load_composer("tiny-map", model)

    assert (composer.traits.star, composer.traits.needs_vectors) == (True, True)
    assert composer.traits.folder is not None
