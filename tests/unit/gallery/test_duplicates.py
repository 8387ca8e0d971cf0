"""The near-duplicate rule: copies are found, look-alikes are not merged."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from composir.gallery import Gallery
from composir.gallery.duplicates import (
    Appearance,
    NearDuplicateRule,
    colour_distance,
    hash_distance,
    sign_picture,
)
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scene, scenes

RULE = NearDuplicateRule(similarity=0.75)
ALIKE = np.asarray([1.0, 0.0], dtype=np.float32)


def look(picture: Image.Image) -> Appearance:
    """As seen by a model to which everything looks alike: only the pixels can tell."""
    return Appearance(None, sign_picture(picture), ALIKE, picture.width, picture.height)


def jpeg(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("seed", range(20))
def test_reencoded_and_resized_copies_are_the_same(seed: int) -> None:
    original = scene(seed, (400, 300))

    for copy in (
        jpeg(original, 75),
        jpeg(original, 40),
        original.resize((200, 150), Image.Resampling.LANCZOS),
        jpeg(original.resize((133, 100), Image.Resampling.BICUBIC), 85),
    ):
        assert RULE.same(look(original), look(copy))


def test_different_pictures_are_different() -> None:
    looks = [look(scene(seed)) for seed in range(60)]

    merged = [(i, j) for i in range(60) for j in range(i) if RULE.same(looks[i], looks[j])]

    assert merged == []


def product(colour: str, cut: str) -> Image.Image:
    picture = Image.new("RGB", (300, 400), "white")
    draw = ImageDraw.Draw(picture)
    draw.rectangle((90, 100, 210, 330), fill=colour)
    if cut == "long sleeves":
        draw.rectangle((30, 100, 270, 300), fill=colour)
    return picture


def test_the_same_product_in_another_colour_is_another_picture() -> None:
    navy, black = look(product("navy", "plain")), look(product("black", "plain"))

    assert hash_distance(navy.signature, black.signature) <= RULE.hash_bits
    assert colour_distance(navy.signature, black.signature) > RULE.colour_levels
    assert not RULE.same(navy, black)


def test_the_same_colours_in_another_cut_are_another_picture() -> None:
    assert not RULE.same(look(product("red", "plain")), look(product("red", "long sleeves")))


def test_mirrored_and_turned_pictures_are_different() -> None:
    picture = scene(4, (200, 200))

    for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_90):
        assert not RULE.same(look(picture), look(picture.transpose(turn)))


def test_another_shape_or_another_vector_is_another_picture() -> None:
    first = look(scene(1, (400, 300)))

    assert not RULE.same(first, replace(first, width=300))
    assert not RULE.same(first, replace(first, vector=np.asarray([0.7, 0.714], np.float32)))


def test_without_a_models_limit_vectors_have_no_say() -> None:
    first = look(scene(1, (400, 300)))
    other = replace(first, vector=np.asarray([-1.0, 0.0], np.float32))

    assert NearDuplicateRule().same(first, other)
    assert not NearDuplicateRule().same(first, replace(other, width=300))


@pytest.mark.parametrize(("limit", "shown"), [(None, 1), (0.5, 1), (1.01, 2)])
def test_the_limit_is_the_models(tmp_path: Path, limit: float | None, shown: int) -> None:
    class Limited(ColourModel):
        copy_similarity = limit

    pictures = scenes(tmp_path / "pictures", [1])
    scene(1).save(tmp_path / "pictures" / "again.webp", lossless=True)
    gallery = Gallery.create_or_open(tmp_path / "gallery", Limited())
    gallery.index([pictures[0].parent])

    assert len(gallery.search(Query(text="red")).hits) == shown


def test_equal_content_is_the_same_whatever_it_looks_like() -> None:
    first = replace(look(scene(1)), content_hash="ab")

    assert RULE.same(first, replace(look(scene(2)), content_hash="ab"))
    assert not RULE.same(replace(first, content_hash=None), look(scene(2)))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (5000, 2)])
def test_pictures_of_any_size_are_signed(size: tuple[int, int]) -> None:
    picture = Image.new("RGB", size, "red")

    signature = sign_picture(picture)

    assert 0 <= signature.perceptual_hash < 2**64
    assert len(signature.colour_layout) == 48
    assert RULE.same(look(picture), look(picture))
