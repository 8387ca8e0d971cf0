import pytest

from composir import Crop
from composir.errors import QueryError


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("40,10,100,50", (40, 10, 140, 60)),
        (" 0, 0, 200, 100 ", (0, 0, 200, 100)),
        ("10%,0%,50%,50%", (20, 0, 120, 50)),
        ("33.3%,0%,66.7%,100%", (67, 0, 200, 100)),
        ("100%,100%,0.1%,0.1%", None),
        ("99.9%,99.9%,0.1%,0.1%", (199, 99, 200, 100)),
    ],
)
def test_a_crop_is_pixels_or_percent_of_the_picture(
    text: str, box: tuple[int, int, int, int] | None
) -> None:
    if box is None:
        with pytest.raises(QueryError, match="beyond 100 %"):
            Crop.parse(text)
    else:
        assert Crop.parse(text).box(200, 100) == box


@pytest.mark.parametrize("text", ["40,10,100,50", "10%,0%,50%,50%", "12.5%,0%,33.3%,1%"])
def test_a_crop_is_shown_as_it_is_typed(text: str) -> None:
    assert str(Crop.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not understood"),
        ("1,2,3", "not understood"),
        ("1,2,3,4,5", "not understood"),
        ("1%,2%,3%,4", "not understood"),
        ("a,b,c,d", "not understood"),
        ("0,0,nan,4", "not finite"),
        ("0,0,1e999,4", "not finite"),
        ("0,0,0,4", "no part of a picture"),
        ("-1,0,3,4", "no part of a picture"),
        ("0.5,0,3,4", "whole ones"),
        ("60%,0%,50%,50%", "beyond 100 %"),
    ],
)
def test_what_is_no_crop_is_refused_with_the_form(text: str, reason: str) -> None:
    with pytest.raises(QueryError, match=reason):
        Crop.parse(text)


def test_a_crop_beyond_the_picture_names_both() -> None:
    with pytest.raises(QueryError, match=r"150,0,51,10 reaches .* 200 x 100 pixels"):
        Crop(150, 0, 51, 10).box(200, 100)
    assert Crop(150, 0, 50, 10).box(200, 100) == (150, 0, 200, 10)


@pytest.mark.parametrize("numbers", [("1", 2, 3, 4), (True, 2, 3, 4), (None, 2, 3, 4)])
def test_a_crop_is_of_numbers(numbers: tuple[float, float, float, float]) -> None:
    with pytest.raises(QueryError, match="four numbers"):
        Crop(*numbers)


def test_a_unit_is_known() -> None:
    with pytest.raises(QueryError, match="'px' or '%'"):
        Crop(0, 0, 1, 1, "cm")  # type: ignore[arg-type]
