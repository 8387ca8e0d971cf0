import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from composir.cli.render import print_table, summary
from composir.types import Confidence, Hit, Query, SearchResult

HIT = Hit(
    rank=1,
    id="a",
    path=Path("/shop/lamps/a\x1b[31mlamp.jpg"),
    score=0.4321,
    width=640,
    height=480,
    metadata={"colour": "brass", "taken_at": None},
    duplicates=(Path("/shop/copy.jpg"),),
)
RESULT = SearchResult(
    query=Query(text="in brass"),
    hits=(HIT, replace(HIT, rank=2, id="b", path=Path("/shop") / ("x" * 200 + ".jpg"))),
    confidence=Confidence(0.71, "good match"),
    composer="slerp",
    gallery_size=10_000,
    searched=812,
    seconds=0.0123,
)


def printed(result: SearchResult, width: int = 100) -> str:
    out = io.StringIO()
    print_table(result, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_the_table_shows_rank_score_path_size_and_metadata() -> None:
    table = printed(RESULT)
    row = table.splitlines()[1]
    assert row.split()[:2] == ["1", "0.432"]
    assert "/shop/lamps/a\\x1b[31mlamp.jpg" in row
    assert "640×480" in row
    assert "colour: brass" in row
    assert "+1 alike" in row


def test_nothing_is_wider_than_the_terminal() -> None:
    for width in (60, 80, 120, 200):
        assert max(map(len, printed(RESULT, width).splitlines())) <= width


def test_the_last_line_says_how_far_to_trust_the_hits() -> None:
    assert summary(RESULT) == "good match (0.71) · 812 of 10,000 pictures · slerp · 12 ms"
    assert printed(RESULT).splitlines()[-1] == summary(RESULT)


def test_no_match_and_no_picture_are_said_plainly() -> None:
    poor = replace(RESULT, confidence=Confidence(0.04, "nothing matches well"))
    assert summary(poor).startswith("nothing matches well (0.04); these are nearest")
    empty = replace(poor, hits=(), searched=0)
    assert summary(empty).startswith("no picture is left to show · 0 of 10,000 pictures")
    assert printed(empty).splitlines() == [summary(empty)]


def test_the_order_of_date_is_told() -> None:
    newest = replace(RESULT, sort="date", relevant=1_234)
    assert summary(newest).startswith("good match (0.71) · 1,234 relevant, newest first · 812 of")
    oldest = replace(newest, sort="date:oldest", relevant=5_000)
    assert "at least 5,000 relevant, oldest first" in summary(oldest)
    none = replace(newest, hits=(), relevant=0, confidence=Confidence(0.04, "nothing matches well"))
    assert summary(none).startswith(
        "nothing matches well enough to be sorted by date (0.04); --sort score shows all · 812"
    )


def test_paths_are_links_where_the_terminal_can() -> None:
    out = io.StringIO()
    print_table(RESULT, Console(file=out, width=100, force_terminal=True, highlight=False))
    assert "\x1b]8;" in out.getvalue()
    assert "file:///shop/lamps/a%1B%5B31mlamp.jpg" in out.getvalue()
