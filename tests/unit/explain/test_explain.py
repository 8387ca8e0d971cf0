"""What an explanation says, on colours, where it can be checked by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.compose import composer_names, load_composer
from composir.errors import OutputError
from composir.explain import Explanation, explain_search
from composir.explain.attention import spread, strongest_place
from composir.explain.document import as_document
from composir.gallery import Gallery
from composir.images.preprocess import PreprocessSpec
from composir.model import Model
from composir.pages.explanation_page import check_explanation, explanation_page, write_explanation
from composir.pages.heat_map import heat_overlay
from composir.types import Query
from tests.e2e.commands import paint_all
from tests.fakes import ColourModel
from tests.tiny_bundle import make_bundle, make_composer


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return make_bundle(tmp_path / "tiny")


@pytest.fixture
def gallery(tmp_path: Path, model: Model) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", model)
    paint_all(tmp_path / "pictures")
    made.index([tmp_path / "pictures"])
    return made


def explained(gallery: Gallery, query: Query, composer: str = "sum") -> Explanation:
    chosen = load_composer(composer, gallery.model)
    return explain_search(gallery.search(query, composer=chosen), gallery, chosen)


def test_each_phrase_says_what_it_changed(gallery: Gallery, tmp_path: Path) -> None:
    reference = str(tmp_path / "pictures" / "black.png")
    found = explained(gallery, Query(reference, "a red photo, with a photo"))
    red, nothing = found.effects

    assert (red.phrase, nothing.phrase) == ("a red photo", "with a photo")
    assert red.cosine is not None
    assert nothing.cosine == pytest.approx(1.0, abs=1e-5)
    assert red.cosine < 0.99
    assert nothing.moved == 0
    assert red.moved > 0
    assert [move.hit.rank for move in red.moves] == list(range(1, 8))


def test_hits_that_move_are_followed(gallery: Gallery) -> None:
    found = explained(gallery, Query(text="red, and blue"))
    without_red = found.effects[0]
    blue = gallery.search(Query(text="blue"))
    ranks = {hit.id: hit.rank for hit in blue.hits}

    assert without_red.rest == "blue"
    for move in without_red.moves:
        assert move.rank == ranks[move.hit.id]


def test_negatives_are_left_out_too(gallery: Gallery) -> None:
    found = explained(gallery, Query(text="magenta", negatives=("blue",)))
    word, negative = found.effects

    assert word.skipped == "it is all there is to the query"
    assert negative.negative
    assert negative.moved > 0


def test_negations_in_words_are_negatives_here_too(gallery: Gallery) -> None:
    found = explained(gallery, Query(text="magenta, without blue"))

    assert [(e.phrase, e.negative) for e in found.effects] == [("magenta", False), ("blue", True)]
    assert found.effects[1].moved > 0
    assert found.effects[1].cosine is None
    assert as_document(found)["query"]["text"] == "magenta, without blue"
    assert as_document(found)["understood"] == {"text": "magenta", "negatives": ["blue"]}


@pytest.mark.parametrize("composer", composer_names(ColourModel()))
def test_phrases_work_for_every_composer(gallery: Gallery, tmp_path: Path, composer: str) -> None:
    query = Query(str(tmp_path / "pictures" / "blue.png"), "red")
    found = explained(gallery, query, composer)

    assert len(found.effects) == 1
    assert bool(found.effects[0].skipped) == (composer == "text")
    assert found.looks.tokens == ()
    assert "makes no tokens" in found.looks.note


def test_tokens_are_shown(gallery: Gallery, model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "isa", model, "pixels", name="isa")
    query = Query(str(tmp_path / "pictures" / "red.png"), "blue")
    token = explained(gallery, query, str(folder)).looks.tokens[0]

    assert token.words[0] == "red"
    assert token.norm == pytest.approx(1.0, abs=1e-5)
    assert token.attention is not None
    assert token.attention.shape == (2, 2)


def test_composers_that_do_not_attend_say_so(
    gallery: Gallery, model: Model, tmp_path: Path
) -> None:
    folder = make_composer(tmp_path / "map", model, "vector")
    found = explained(gallery, Query(str(tmp_path / "pictures" / "red.png")), str(folder))

    assert found.effects == ()
    assert found.looks.tokens[0].attention is None
    assert "does not tell where" in found.looks.note


def test_words_alone_have_no_tokens(gallery: Gallery) -> None:
    assert "no reference" in explained(gallery, Query(text="red")).looks.note


def test_the_page_is_self_contained(gallery: Gallery, model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "isa", model, "pixels", name="isa")
    query = Query(str(tmp_path / "pictures" / "red.png"), "<b>blue</b>, at night")
    page = explanation_page(explained(gallery, query, str(folder)))

    assert "&lt;b&gt;blue" in page
    assert "<b>blue" not in page
    assert "data:image/png;base64," in page
    assert not any(outside in page for outside in ("http:", "https:", "<script", "@import"))


def test_the_document_is_json(gallery: Gallery, model: Model, tmp_path: Path) -> None:
    folder = make_composer(tmp_path / "isa", model, "pixels", name="isa")
    query = Query(str(tmp_path / "pictures" / "red.png"), "blue")
    document = json.loads(json.dumps(as_document(explained(gallery, query, str(folder)))))

    assert document["composer"]["name"] == "isa"
    assert document["phrases"][0]["phrase"] == "blue"
    assert document["tokens"][0]["nearest_words"][0] == "red"
    assert np.sum(document["tokens"][0]["attention"]) == pytest.approx(1.0, abs=1e-5)


def test_other_formats_and_places_are_refused(gallery: Gallery, tmp_path: Path) -> None:
    found = explained(gallery, Query(text="red"))
    with pytest.raises(OutputError, match=r"ends in \.html or \.htm or \.json"):
        write_explanation(tmp_path / "why.pdf", found)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_explanation(tmp_path / "file" / "why.json", found)


@pytest.mark.parametrize("name", ["why.html", "why.json"])
def test_an_explanation_replaces_explanations_alone(
    gallery: Gallery, tmp_path: Path, name: str
) -> None:
    found = explained(gallery, Query(text="red"))
    write_explanation(tmp_path / name, found)
    write_explanation(tmp_path / name, found)
    (tmp_path / name).write_text('{"version": 1, "mine": true}')
    with pytest.raises(OutputError, match="is there already"):
        write_explanation(tmp_path / name, found)
    # As written before explanations named their format.
    (tmp_path / "why.json").write_text('{\n  "version": 1,\n  "query": {\n    "image": null,')
    check_explanation(tmp_path / "why.json")


def overlay(attention: np.ndarray, fit: str, size: tuple[int, int]) -> np.ndarray:
    png = heat_overlay(
        attention.astype(np.float32), size, PreprocessSpec.model_validate({"size": 8, "fit": fit})
    )
    return np.asarray(Image.open(io.BytesIO(png)))


def test_heat_is_where_attention_is() -> None:
    attention = np.array([[0.0, 1.0], [0.0, 0.0]])
    heat = overlay(attention, "squash", (400, 200))

    assert heat.shape == (96, 192, 4)
    assert heat[10, 180, 0] > 200
    assert heat[85, 10, 0] < 60


def test_what_was_cut_off_was_not_looked_at() -> None:
    heat = overlay(np.full((2, 2), 0.25), "centre-crop", (400, 200))
    assert heat[48, 96, 0] > 200
    assert heat[48, 5, 0] < 60


def test_padding_is_not_part_of_the_picture() -> None:
    attention = np.array([[1.0], [0.0], [0.0], [1.0]])  # looked at the padding alone
    heat = overlay(attention, "pad", (400, 200))
    assert heat[48, 96, 0] < 120


def test_maps_in_words() -> None:
    corner = np.zeros((3, 3), dtype=np.float32)
    corner[2, 0] = 1
    assert strongest_place(corner) == "lower left"
    assert spread(corner) == pytest.approx(1 / 9, abs=1e-3)
    assert spread(np.full((3, 3), 1 / 9, dtype=np.float32)) == pytest.approx(1.0)
