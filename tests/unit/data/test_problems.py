"""Many problems in few lines."""

from __future__ import annotations

from composir.data.problems import Problem, summarised


def test_what_is_alone_is_told_as_it_is() -> None:
    assert summarised([Problem("a.jpg", "empty file"), Problem("b.jpg", "no such file")]) == [
        "a.jpg: empty file",
        "b.jpg: no such file",
    ]
    assert summarised([]) == []


def test_one_reason_is_told_once_with_the_first_places() -> None:
    many = [Problem(f"{n}.jpg", "empty file") for n in range(1200)]
    told = summarised([Problem("x.gif", "no pixels"), *many])
    assert told == ["0.jpg, 1.jpg, 2.jpg and 1,197 more: empty file", "x.gif: no pixels"]


def test_reasons_of_one_kind_are_told_by_the_first_one() -> None:
    lost = [Problem(f"line {n}", f"no image '{n}.jpg'", "lost") for n in (1, 2, 3)]
    assert summarised(lost) == ["line 1 and 2 more: no image '1.jpg'"]


def test_rare_kinds_are_counted() -> None:
    problems = [Problem(f"{n}.jpg", f"reason {n}") for n in range(9)]
    told = summarised([*problems, Problem("last.jpg", "reason 8")])
    assert told[0] == "8.jpg, last.jpg: reason 8"
    assert told[5] == "... and 4 more, of 4 other kinds"
    assert len(told) == 6
