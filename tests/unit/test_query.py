"""What a query accepts, and what it refuses instead of dropping it."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.crop import Crop
from composir.errors import QueryError
from composir.references import NamedImage, reference_label, reference_name
from composir.types import Query

RED = Image.new("RGB", (4, 3), "red")


def file_bytes() -> bytes:
    out = io.BytesIO()
    RED.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("given", ["a.jpg", Path("a.jpg"), b"bytes", RED, NamedImage("x", b"y")])
def test_what_can_be_read_again_is_kept(given: Any) -> None:
    assert Query(image=given).image is given
    listed: Any = [given]
    assert Query(image=listed).images == (given,)


def test_several_images_are_a_tuple_and_none_is_none() -> None:
    assert Query(image=["a.jpg", Path("b.jpg")]).images == ("a.jpg", Path("b.jpg"))
    assert Query(text="red").images == ()


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_bytes_of_any_kind_are_bytes(kind: Any) -> None:
    assert Query(image=kind(b"abc")).image == b"abc"


def test_an_open_file_is_read_once_and_keeps_its_name(tmp_path: Path) -> None:
    assert Query(image=io.BytesIO(b"abc")).image == b"abc"
    path = tmp_path / "red.png"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        query = Query(image=file)
    assert query.image == NamedImage(str(path), b"abc")


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 3), (3, 4, 4)])
def test_an_array_becomes_a_picture_of_its_own(shape: tuple[int, ...]) -> None:
    pixels = np.full(shape, 200, np.uint8)
    (picture,) = Query(image=pixels).images
    pixels[:] = 0
    assert isinstance(picture, Image.Image)
    assert picture.size == (4, 3)
    assert picture.convert("RGB").getpixel((0, 0)) == (200, 200, 200)


def closed() -> io.BytesIO:
    file = io.BytesIO(b"abc")
    file.close()
    return file


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (3, "not int"),
        ({"a.jpg"}, "not set"),
        ([["a.jpg"]], "not list"),
        ([None], "not NoneType"),
        ([], "empty list"),
        ("", "empty path"),
        (["a.jpg"] * 17, "at most 16"),
        (np.zeros((3, 4), np.float32), "float32"),
        (np.zeros((3, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (io.StringIO("abc"), "'rb'"),
        (io.BytesIO(), "at its end"),
        (closed(), "cannot be read"),
    ],
    ids=str,
)
def test_what_is_no_image_is_refused_by_its_type(given: Any, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        Query(image=given)


@pytest.mark.parametrize("text", [["red", "shoe"], b"red", None, 3])
def test_a_text_that_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(QueryError, match="text is one text, not"):
        Query(text=text)


def test_negatives_are_texts_in_any_sequence() -> None:
    listed: Any = ["people"]
    assert Query(text="red", negatives=listed).negatives == ("people",)
    wrong: Any
    for wrong in (3, [3], [["people"]]):
        with pytest.raises(QueryError, match="negative"):
            Query(text="red", negatives=wrong)


def test_a_crop_is_of_exactly_one_reference() -> None:
    crop = Crop(0, 0, 1, 1)
    assert Query(image="a.jpg", crop=crop).crop == crop
    with pytest.raises(QueryError, match="no reference image to crop"):
        Query(text="red", crop=crop)
    with pytest.raises(QueryError, match="several"):
        Query(image=["a.jpg", "b.jpg"], crop=crop)
    wrong: Any = (0, 0, 1, 1)
    with pytest.raises(QueryError, match=r"composir\.Crop, not tuple"):
        Query(image="a.jpg", crop=wrong)


def test_references_are_told_apart_without_their_bytes() -> None:
    named = NamedImage("https://example.org/a.jpg", file_bytes())
    assert "PNG" not in repr(Query(image=named))
    assert [reference_label(one) for one in (Path("/x/a.jpg"), b"abc", RED, named)] == [
        "/x/a.jpg",
        "<3 bytes>",
        "<picture of 4 x 3 pixels>",
        "https://example.org/a.jpg",
    ]
    assert [reference_name(one) for one in ("/x/a.jpg", b"abc", RED)] == ["a.jpg", "", ""]
