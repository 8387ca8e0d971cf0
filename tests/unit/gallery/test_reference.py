"""References of a query: several of them, parts of them, and what is left out of the hits."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.compose import load_composer
from composir.compose.base import ComposedQueries
from composir.compose.sphere import normalised
from composir.crop import Crop
from composir.errors import QueryError
from composir.gallery import Gallery
from composir.gallery.reader import enough_side
from composir.gallery.reference import encoded_references, open_references
from composir.gallery.search import composed_query
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.references import NamedImage
from composir.types import PixelArray, Query, SearchResult
from tests.fakes import COLOURS, ColourModel
from tests.tiny_bundle import make_bundle, make_composer
from tests.unit.gallery.pictures import plain, scene


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, colour in COLOURS.items():
        plain(tmp_path / "pictures" / f"{name}.png", colour)
    return tmp_path / "pictures"


@pytest.fixture
def gallery(tmp_path: Path, pictures: Path) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([pictures])
    return made


def names(result: SearchResult) -> list[str]:
    return [hit.path.stem for hit in result.hits]


def halves(path: Path, left: str, right: str) -> Path:
    """A picture of two colours side by side."""
    picture = Image.new("RGB", (40, 20), COLOURS[left])
    picture.paste(COLOURS[right], (20, 0, 40, 20))
    picture.save(path)
    return path


def test_queries_average_to_one_of_unit_norm() -> None:
    vectors = normalised(np.asarray([[[1, 0, 0]], [[0, 1, 0]], [[0, 1, 0]]], dtype=np.float32))
    middle = ComposedQueries(vectors).averaged()
    np.testing.assert_allclose(middle.vectors, [[[1 / 5**0.5, 2 / 5**0.5, 0]]], atol=1e-6)
    one = ComposedQueries(vectors[:1], rule="product")
    assert one.averaged() is one
    pair = ComposedQueries(np.stack([vectors[0].repeat(2, 0)] * 2), rule="product").averaged()
    assert (pair.rule, pair.vectors.shape) == ("product", (1, 2, 3))


def test_several_references_ask_for_the_middle(gallery: Gallery, pictures: Path) -> None:
    red, blue = pictures / "red.png", pictures / "blue.png"
    assert names(gallery.search(Query(image=[red, blue]), k=1)) == ["magenta"]
    # The last one is not all that counts, nor the first.
    for one in (red, blue):
        alone = gallery.search(Query(image=one, text="green"), k=9)
        both = gallery.search(Query(image=[red, blue], text="green"), k=9)
        assert [hit.score for hit in alone.hits[:3]] != [hit.score for hit in both.hits[:3]]


def test_for_references_alone_the_query_is_the_mean_of_their_vectors(
    gallery: Gallery, pictures: Path
) -> None:
    query = Query(image=[pictures / "red.png", pictures / "blue.png", pictures / "white.png"])
    seen = encoded_references(query, gallery.model, gallery.composer())
    mean = normalised(np.sum([one.vector for one in seen if one.vector is not None], axis=0))
    ids, vectors = gallery.vectors()
    hit = gallery.search(query, k=1).hits[0]
    assert hit.score == pytest.approx(float(vectors[ids.index(hit.id)] @ mean), abs=1e-3)


def test_every_reference_and_its_copies_are_left_out(gallery: Gallery, pictures: Path) -> None:
    shutil.copy(pictures / "blue.png", pictures / "copy.png")
    gallery.index([pictures])
    query = Query(image=[pictures / "red.png", (pictures / "blue.png").read_bytes()])
    result = gallery.search(query, k=9, collapse_duplicates=False)
    assert not {"red", "blue", "copy"} & set(names(result))
    assert result.searched == 6
    everything = gallery.search(query, k=9, include_reference=True, collapse_duplicates=False)
    assert {"red", "blue", "copy"} < set(names(everything))


def test_the_same_reference_twice_is_that_reference(gallery: Gallery, pictures: Path) -> None:
    red = pictures / "red.png"
    once = gallery.search(Query(image=red, text="blue"), k=5)
    twice = gallery.search(Query(image=[red, red], text="blue"), k=5)
    assert names(twice) == names(once)


def test_arrays_and_open_files_are_searched(gallery: Gallery, pictures: Path) -> None:
    path = pictures / "red.png"
    expected = names(gallery.search(Query(image=path, text="blue"), k=4))
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    with path.open("rb") as file:
        forms = [pixels, file, io.BytesIO(path.read_bytes()), NamedImage("x", path.read_bytes())]
        for form in forms:
            given: Any = form
            assert names(gallery.search(Query(image=given, text="blue"), k=4)) == expected


@pytest.mark.parametrize("takes", ["patch_tokens", "pixels"])
def test_a_reference_is_decoded_and_scaled_once_as_pictures_of_the_gallery_are(
    tmp_path: Path, takes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_bundle(tmp_path / "tiny")
    composer = load_composer(make_composer(tmp_path / "composer", model, takes), model)
    path = tmp_path / "large.jpg"
    scene(3).resize((2000, 1500)).save(path)
    scaled: list[Image.Image] = []
    apply = PreprocessSpec.apply

    def counted(spec: PreprocessSpec, rgb: Image.Image) -> PixelArray:
        scaled.append(rgb)
        return apply(spec, rgb)

    monkeypatch.setattr(PreprocessSpec, "apply", counted)
    query = Query(image=path, text="blue")
    composed_query(query, model, composer)
    assert len(scaled) == 1

    (seen,) = encoded_references(query, model, composer)
    indexed = read_image(path, min_side=enough_side(model.image_spec)).rgb
    np.testing.assert_array_equal(np.asarray(seen.rgb), np.asarray(indexed))
    assert indexed.width < 2000


def test_a_crop_is_what_is_asked_about(gallery: Gallery, tmp_path: Path) -> None:
    path = halves(tmp_path / "halves.png", "yellow", "cyan")
    for crop, colour in ((Crop(0, 0, 20, 20), "yellow"), (Crop(50, 0, 50, 100, "%"), "cyan")):
        assert names(gallery.search(Query(image=path, crop=crop), k=1)) == [colour]


def test_the_whole_picture_is_left_out_of_the_hits_of_its_part(
    gallery: Gallery, pictures: Path
) -> None:
    scene(3).save(pictures / "scene.png")
    scene(3).resize((64, 48)).save(pictures / "smaller.jpg", quality=85)
    scene(3).crop((40, 0, 80, 30)).save(pictures / "part.png")
    gallery.index([pictures])
    query = Query(image=pictures / "scene.png", crop=Crop(40, 0, 40, 30))
    found = names(gallery.search(query, k=99, collapse_duplicates=False))
    assert not {"scene", "smaller"} & set(found)
    assert found[0] == "part"  # a picture of the part alone is an answer, not the reference


def test_a_crop_counts_in_the_upright_picture(tmp_path: Path) -> None:
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    picture = Image.new("RGB", (80, 40), "red")
    picture.paste("blue", (0, 0, 40, 40))  # left as stored: above when upright
    picture.save(path, exif=exif, quality=95)
    (upper,) = open_references(Query(image=path, crop=Crop(0, 0, 40, 40)))
    assert upper.whole.rgb.size == (40, 80)
    red, _, blue = upper.rgb.resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert blue > 150
    assert red < 100


def test_a_crop_beyond_the_picture_is_refused(gallery: Gallery, pictures: Path) -> None:
    with pytest.raises(QueryError, match=r"20,0,10,5 reaches .* 24 x 24"):
        gallery.search(Query(image=pictures / "red.png", crop=Crop(20, 0, 10, 5)))


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_pipe_as_a_path_is_refused_without_waiting(gallery: Gallery, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(QueryError, match="not a regular file"):
        gallery.search(Query(image=tmp_path / "pipe"))


def test_an_address_as_a_path_says_what_to_give(gallery: Gallery) -> None:
    with pytest.raises(QueryError, match="give the bytes of what is at an address"):
        gallery.search(Query(image="https://example.org/lamp.jpg"))


@pytest.mark.parametrize("asked", ["a shoe", Path("a.jpg"), None, {"text": "a shoe"}])
def test_what_is_no_query_is_refused_with_the_form(gallery: Gallery, asked: Any) -> None:
    for ask in (gallery.search, gallery.prepare):
        with pytest.raises(QueryError, match=r"Query\(text='a shoe'\)"):
            ask(asked)
