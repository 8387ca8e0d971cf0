"""Names with braces."""

import pytest

from composir.data import braces
from composir.data.braces import expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("p-{0008..0011}.tar", ["p-0008.tar", "p-0009.tar", "p-0010.tar", "p-0011.tar"]),
        ("{8..10}", ["8", "9", "10"]),
        ("{08..10}", ["08", "09", "10"]),
        ("{0..1}", ["0", "1"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{7..7}.tar", ["7.tar"]),
        ("{train,val}/{0..1}", ["train/0", "train/1", "val/0", "val/1"]),
        ("{a,}b", ["ab", "b"]),
        ("{a,a}", ["a"]),
        ("{x,y{0..1}}", ["x", "y0", "y1"]),
        ("s3://b/{00..01}/{p,q}.tar", [f"s3://b/0{n}/{x}.tar" for n in (0, 1) for x in "pq"]),
    ],
)
def test_they_stand_for_what_a_shell_makes_of_them(text: str, names: list[str]) -> None:
    assert expand(text) == names


@pytest.mark.parametrize("text", ["{}", "{a}", "{a..}", "{..3}", "{1..x}", "a{1..2", "1..2}", "}{"])
def test_other_braces_stay(text: str) -> None:
    assert expand(text) == [text]


def test_braces_within_others_that_stay_are_expanded() -> None:
    assert expand("{{1,2}}") == ["{1}", "{2}"]


@pytest.mark.parametrize("text", ["{0..999999999999}", "{1..9}" * 30, "{1,2}" * 3000])
def test_too_many_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="stands for more than 100,000 names"):
        expand(text)


def test_as_many_as_may_be_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(braces, "MOST_NAMES", 4)
    assert len(expand("{1..2}{1..2}")) == 4
    with pytest.raises(ValueError, match="more than 4 names"):
        expand("{1..5}")
