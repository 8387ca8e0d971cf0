import base64
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from composir.errors import ComposirError
from composir.pages.contact_sheet import SheetSearch, contact_sheet, write_contact_sheet
from composir.types import Confidence, Hit, Query, SearchResult

NASTY = '"><script>alert(1)</script>&\x1b\u202e\udcff'


def a_search(text: str = "in green", **changes: object) -> SheetSearch:
    hits = tuple(
        Hit(rank, f"id{rank}", Path(f"/shop/{rank}.jpg"), 0.5, 640, 480, {"colour": "green"})
        for rank in (1, 2)
    )
    result = SearchResult(
        query=Query(image="lamp.jpg", text=text, negatives=("people",)),
        hits=hits,
        confidence=Confidence(0.8, "good match"),
        composer="slerp",
        gallery_size=1000,
        searched=12,
        seconds=0.01,
    )
    settings: dict[str, object] = {
        "result": result,
        "where": "width > 100",
        "references": ((b"reference", "lamp.jpg"),),
        "thumbnails": {"id1": b"first", "id2": b"second"},
    }
    return SheetSearch(**{**settings, **changes})  # type: ignore[arg-type]


class Tags(HTMLParser):
    """Tags that are open, and every tag seen."""

    void = frozenset({"meta", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_shows_what_was_asked_and_what_was_found() -> None:
    page = contact_sheet([a_search()], title="Lamps")
    for shown in ("in green", "people", "width &gt; 100", "lamp.jpg", "good match", "12 of 1,000"):
        assert shown in page
    for picture in (b"reference", b"first", b"second"):
        assert base64.b64encode(picture).decode() in page
    assert "<b>colour</b> green" in page
    assert 'href="file:///shop/1.jpg"' in page


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    tags = Tags(contact_sheet([a_search(), a_search()], title="Lamps", intro="Two searches."))
    assert tags.open == []
    assert tags.seen.count("section") == 2
    assert "script" not in tags.seen
    assert all(link.startswith(("data:image/jpeg;", "file:///shop/")) for link in tags.links)


def test_everything_is_escaped() -> None:
    hit = Hit(1, "id1", Path(f"/shop/{NASTY}.jpg"), 0.5, 1, 1, {NASTY: NASTY})
    search = a_search()
    result = SearchResult(
        Query(text=NASTY, negatives=(NASTY,)), (hit,), search.result.confidence, NASTY, 1, 1, 0.0
    )
    search = SheetSearch(result, where=NASTY, references=((b"reference", NASTY),), note=NASTY)
    page = contact_sheet([search], title=NASTY, intro=NASTY)
    tags = Tags(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert not re.search("[\x1b\u202e\udcff]", page)
    page.encode("utf-8")


def test_a_hit_that_cannot_be_reached_is_marked() -> None:
    search = a_search()
    first, second = search.result.hits
    hits = (first, replace(second, unreachable=True))
    page = contact_sheet([replace(search, result=replace(search.result, hits=hits))], title="Lamps")
    assert page.count('class="away"') == 1


def test_no_hits_is_said_plainly() -> None:
    search = a_search()
    result = SearchResult(
        search.result.query, (), Confidence(0, "nothing matches well"), "sum", 5, 0, 0
    )
    assert "No picture is left to show." in contact_sheet([SheetSearch(result)], title="None")


def test_the_page_replaces_an_older_one_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "hits.html"
    write_contact_sheet(target, [a_search("in red")], title="First")
    written = write_contact_sheet(target, [a_search("in blue")], title="Second")
    assert written == target
    page = target.read_text(encoding="utf-8")
    assert "in blue" in page
    assert "in red" not in page
    assert [path.name for path in target.parent.iterdir()] == ["hits.html"]


def test_a_page_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ComposirError, match=r"cannot write .*hits\.html"):
        write_contact_sheet(tmp_path / "file" / "hits.html", [a_search()], title="Lamps")
