"""Hits by date: only what is relevant, by when it was taken, else by when the file was changed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from composir.errors import QueryError
from composir.gallery import ConfidenceCalibration, Gallery
from composir.types import Query, SearchResult, SortOrder
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain

BY_SCORE = ConfidenceCalibration(
    bias=-8.0, standout_weight=0.0, score_weight=10.0, good=0.7, poor=0.2, smallest_gallery=1
)
REDS = {"deep": (200, 0, 0), "red": (255, 0, 0), "tomato": (255, 30, 30), "rose": (255, 60, 60)}
CHANGED = {"deep": 2019, "red": 2021, "tomato": 2020, "rose": 2018, "sea": 2025, "grass": 2017}


def changed(path: Path, year: int) -> None:
    moment = datetime(year, 6, 15, tzinfo=UTC).timestamp()
    os.utime(path, (moment, moment))


def taken(path: Path, colour: tuple[int, int, int], year: int) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = f"{year}:06:15 12:00:00"
    Image.new("RGB", (24, 24), colour).save(path, quality=95, exif=exif)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """Four reds, a blue that is newer than all and a green that is older."""
    folder = tmp_path / "pictures"
    for name, colour in {**REDS, "sea": (0, 0, 255), "grass": (0, 255, 0)}.items():
        changed(plain(folder / f"{name}.png", colour), CHANGED[name])
    Gallery.create_or_open(tmp_path / "gallery", ColourModel()).index([folder])
    return Gallery(tmp_path / "gallery", ColourModel(), calibration=BY_SCORE)


def names(result: SearchResult) -> list[str]:
    return [hit.path.stem for hit in result.hits]


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("date", ["red", "tomato", "deep", "rose"]),
        ("date:oldest", ["rose", "deep", "tomato", "red"]),
    ],
)
def test_only_what_is_relevant_is_sorted(
    gallery: Gallery, sort: SortOrder, expected: list[str]
) -> None:
    result = gallery.search(Query(text="red"), sort=sort)

    assert names(result) == expected
    assert [hit.rank for hit in result.hits] == [1, 2, 3, 4]
    assert (result.sort, result.relevant) == (sort, 4)


def test_k_cuts_the_sorted_hits_not_the_best(gallery: Gallery) -> None:
    result = gallery.search(Query(text="red"), k=2, sort="date")

    assert names(result) == ["red", "tomato"]
    assert result.relevant == 4


def test_the_order_changes_neither_scores_nor_confidence(gallery: Gallery) -> None:
    best_first = gallery.search(Query(text="red"))
    by_date = gallery.search(Query(text="red"), sort="date:oldest")

    assert by_date.confidence == best_first.confidence
    scores = {hit.id: hit.score for hit in best_first.hits}
    assert all(hit.score == scores[hit.id] for hit in by_date.hits)
    assert best_first.relevant is None
    assert len(best_first.hits) == 6


def test_when_it_was_taken_goes_before_when_the_file_was_changed(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    taken(folder / "copied lately.jpg", (255, 0, 0), 2001)
    taken(folder / "of last year.jpg", (255, 60, 60), 2025)
    changed(folder / "copied lately.jpg", 2026)
    changed(folder / "of last year.jpg", 2002)
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    gallery.index([folder])

    result = gallery.search(Query(text="red"), sort="date")

    assert names(result) == ["of last year", "copied lately"]


def test_where_nothing_is_relevant_nothing_is_sorted(gallery: Gallery) -> None:
    result = gallery.search(Query(text="magenta"), sort="date", where="path LIKE '%grass%'")

    assert (result.hits, result.relevant) == ((), 0)
    assert result.confidence.verdict == "nothing matches well"


def test_the_reference_is_left_out_of_what_is_sorted(gallery: Gallery, tmp_path: Path) -> None:
    reference = tmp_path / "pictures" / "red.png"

    result = gallery.search(Query(image=reference), sort="date")

    assert names(result) == ["tomato", "deep", "rose"]
    assert (result.relevant, result.searched) == (3, 5)


def test_deleted_files_are_left_out_of_what_is_sorted(gallery: Gallery, tmp_path: Path) -> None:
    (tmp_path / "pictures" / "red.png").unlink()

    result = gallery.search(Query(text="red"), sort="date")

    assert names(result) == ["tomato", "deep", "rose"]
    assert result.absent.left_out == 1


@pytest.mark.parametrize(
    ("least", "matches"), [(None, True), (0.0, True), (0.5, True), (1.0, False)]
)
def test_a_result_says_whether_the_confidence_is_enough(
    gallery: Gallery, least: float | None, matches: bool
) -> None:
    result = gallery.search(Query(text="red"), min_confidence=least)

    assert result.matches is matches
    assert result.min_confidence == least
    assert len(result.hits) == 6


@pytest.mark.parametrize("least", [-0.1, 1.5, float("nan"), "0.5", True])
def test_a_confidence_beyond_its_range_is_refused(gallery: Gallery, least: object) -> None:
    with pytest.raises(QueryError, match="0 to 1"):
        gallery.search(Query(text="red"), min_confidence=least)  # type: ignore[arg-type]


def test_an_unknown_order_is_refused(gallery: Gallery) -> None:
    with pytest.raises(QueryError, match="date:oldest"):
        gallery.search(Query(text="red"), sort="size")  # type: ignore[arg-type]


def test_a_copy_of_the_picture_is_certain_whatever_the_numbers_say(
    gallery: Gallery, tmp_path: Path
) -> None:
    doubtful = ConfidenceCalibration(bias=-9.0, standout_weight=0.0, smallest_gallery=1)
    doubting = Gallery(gallery.path, ColourModel(), calibration=doubtful)
    query = Query(image=tmp_path / "pictures" / "sea.png")

    with_copy = doubting.search(query, include_reference=True)
    assert (with_copy.confidence.value, with_copy.confidence.verdict) == (1.0, "good match")
    assert doubting.search(query).confidence.value < 0.01
    with_words = Query(image=query.image, text="red")
    assert doubting.search(with_words, include_reference=True).confidence.value < 0.01


class Framing(ColourModel):
    """One whose words mean twice as much in its sentence."""

    sentence = "a picture of {}"
    mean_image: ClassVar = np.zeros(4, np.float32)
    confidence_settings: ClassVar[dict[str, dict[str, float]]] = {
        "words": {"bias": -2.0, "standout_weight": 0.0, "excess_weight": 4.0, "framed": 0.5}
    }

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []

    def encode_texts(self, texts):  # type: ignore[no-untyped-def]
        self.calls.append(list(texts))
        return super().encode_texts([t.replace("picture", "blue") for t in texts])


def test_words_are_judged_in_the_models_sentence_too(gallery: Gallery) -> None:
    model = Framing()
    framing = Gallery(gallery.path, model)

    plain_words = framing.search(Query(text="red"))
    assert model.calls == [["red", "a picture of red"]]  # one run for both
    in_sentence = framing.search(Query(text="a picture of red"))
    assert model.calls[1:] == [["a picture of red"]]  # said already

    assert names(plain_words)[0] in REDS
    plain_score, framed_score = (result.hits[0].score for result in (plain_words, in_sentence))
    assert plain_score > framed_score  # the ranking is that of the words as they are
    assert in_sentence.confidence.value != plain_words.confidence.value
