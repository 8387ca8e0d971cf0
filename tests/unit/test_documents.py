"""What programs are given of a search is what they can make the same result of."""

import json
from datetime import datetime
from pathlib import Path

from composir.documents import read_result, result_document
from composir.types import Absent, Confidence, Hit, Query, SearchResult


def result() -> SearchResult:
    query = Query(text="a lamp without a shade", negatives=("people",))
    taken = {"taken_at": datetime(2024, 5, 1, 12), "price": float("nan"), "colour": "green"}
    return SearchResult(
        query=query,
        hits=(
            Hit(1, "ab", Path("/a/b.jpg"), 0.25, 40, 30, taken, (Path("/a/c.jpg"),)),
            Hit(2, "cd", Path("/a/d\udcff.jpg"), 0.125, 4, 3, unreachable=True),
        ),
        confidence=Confidence(0.5, "uncertain"),
        composer="sum",
        gallery_size=8,
        searched=7,
        seconds=0.0125,
        absent=Absent(2, (Path("/gone"),), (Path("/disk"),)),
        understood=Query(text="a lamp", negatives=("people", "a shade"), literal=True),
        notices=("told",),
        min_confidence=0.75,
    )


def test_a_result_comes_back_from_its_document() -> None:
    made = result()
    document = json.loads(json.dumps(result_document(made), allow_nan=False))
    first, second = made.hits
    assert document["hits"][0]["metadata"] == {
        "taken_at": "2024-05-01T12:00:00",
        "price": None,
        "colour": "green",
    }
    assert document["matches"] is False
    read = read_result(document, made.query)
    assert read.hits[1] == second
    assert (read.hits[0].path, read.hits[0].duplicates) == (first.path, first.duplicates)
    for name in ("query", "understood", "confidence", "absent", "notices", "matches", "seconds"):
        assert getattr(read, name) == getattr(made, name)
