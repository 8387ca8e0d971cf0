"""The first hits looked at again by a joint encoder."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from composir.documents import read_result, result_document
from composir.errors import CacheError, ModelError, QueryError
from composir.gallery import Gallery
from composir.gallery.progress import IndexProgress
from composir.gallery.rerank import RERANKED_NAME
from composir.types import FloatArray, Query, Reranked, SearchResult
from tests.fakes import COLOURS, ColourModel, JointColours


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    for name, colour in COLOURS.items():
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(tmp_path / "photos" / f"{name}.png")
    made = Gallery.create_or_open(tmp_path / "g", ColourModel())
    made.index([tmp_path / "photos"])
    return made


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


def names(result: SearchResult) -> list[str]:
    return [hit.path.stem for hit in result.hits]


def test_the_first_hits_are_ordered_anew_and_the_others_stay_behind(
    gallery: Gallery, photos: Path
) -> None:
    query = Query(image=photos / "red.png", text="green")
    asked = {"composer": "image", "include_reference": True, "k": 8}
    before = gallery.search(query, **asked)  # type: ignore[arg-type]
    joint = JointColours()
    after = gallery.search(query, rerank=joint, rerank_top=5, **asked)  # type: ignore[arg-type]
    assert names(before)[0] == "red"
    assert set(names(after)[:5]) == set(names(before)[:5])
    assert names(after)[5:] == names(before)[5:]
    scores = {name: _score(joint, photos, name) for name in names(before)[:5]}
    assert names(after)[:5] == sorted(scores, key=lambda name: -scores[name])
    assert [hit.score for hit in after.hits[:5]] == pytest.approx(sorted(scores.values())[::-1])
    assert [hit.score for hit in after.hits[5:]] == [hit.score for hit in before.hits[5:]]
    assert [hit.rank for hit in after.hits] == list(range(1, 9))
    assert (after.reranked, before.reranked) == (Reranked("joint-colours", 5), None)
    assert after.confidence == before.confidence
    assert read_result(result_document(after), query).reranked == after.reranked


def _score(joint: JointColours, photos: Path, name: str) -> float:
    """Of a picture, for "green" beside the red one."""
    red, picture = (Image.open(photos / f"{one}.png").convert("RGB") for one in ("red", name))
    return float(joint.encode([(red, "green")], "")[0] @ joint.encode_images([picture])[0])


def test_a_hit_from_behind_can_come_first(gallery: Gallery, photos: Path) -> None:
    query = Query(image=photos / "red.png", text="cyan cyan cyan")
    plain = gallery.search(query, k=1, composer="image")
    again = gallery.search(query, k=1, composer="image", rerank=JointColours())
    assert names(plain) != names(again)
    assert again.reranked == Reranked("joint-colours", 7)


def test_words_alone_an_image_alone_and_negatives(gallery: Gallery, photos: Path) -> None:
    joint = JointColours()
    assert names(gallery.search(Query(text="blue"), rerank=joint))[0] == "blue"
    image = Query(image=photos / "red.png")
    assert names(gallery.search(image, include_reference=True, rerank=joint))[0] == "red"
    ruled = gallery.search(Query(text="red", negatives=("magenta",)), rerank=joint)
    wanted = gallery.search(Query(text="red"), rerank=joint)
    assert names(ruled).index("magenta") > names(wanted).index("magenta")


def test_pictures_are_encoded_once_a_model_and_content(gallery: Gallery, photos: Path) -> None:
    joint = JointColours()
    query = Query(text="red")
    first = gallery.search(query, rerank=joint, rerank_top=3)
    assert joint.encoded == 3
    assert gallery.search(query, rerank=joint, rerank_top=3).hits == first.hits
    assert joint.encoded == 3
    gallery.search(query, rerank=joint, rerank_top=8)
    assert joint.encoded == 8
    (photos / "red.png").rename(photos / "moved.png")
    gallery.index([photos])
    gallery.search(query, rerank=joint, rerank_top=8)
    assert joint.encoded == 8
    another = JointColours("joint-colours-2")
    gallery.search(query, rerank=another, rerank_top=8)
    assert another.encoded == 8


def test_what_is_not_there_as_it_was_is_seen_as_a_thumbnail_and_told(
    gallery: Gallery, photos: Path
) -> None:
    joint = JointColours()
    kept = (photos / "red.png").read_bytes()
    (photos / "red.png").unlink()
    Image.new("RGB", (40, 30), "grey").save(photos / "blue.png")
    result = gallery.search(Query(text="red"), missing="keep", rerank=joint)
    assert names(result)[0] == "red"
    assert result.reranked == Reranked("joint-colours", 8, thumbnails=2)
    assert any("2 of 8 hits were re-ranked by their thumbnails" in n for n in result.notices)
    gallery.search(Query(text="red"), missing="keep", rerank=joint)
    assert joint.encoded == 8
    (photos / "red.png").write_bytes(kept)
    result = gallery.search(Query(text="red"), missing="keep", rerank=joint)
    assert result.reranked == Reranked("joint-colours", 8, thumbnails=1)
    assert joint.encoded == 9  # the file itself this time


class Fails(JointColours):
    """It breaks after some pictures."""

    left = 4

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        self.left -= len(images)
        if self.left < 0:
            raise ModelError("the endpoint is down")
        return super().encode_images(images)


def test_what_was_encoded_before_a_failure_is_kept(gallery: Gallery) -> None:
    broken = Fails()
    with pytest.raises(ModelError, match="the endpoint is down"):
        gallery.search(Query(text="red"), rerank=broken)
    well = JointColours()
    assert len(gallery.search(Query(text="red"), rerank=well).hits) == 8
    assert well.encoded == 4


def test_a_gallery_that_cannot_be_written_is_re_ranked_all_the_same(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(folder: Path) -> None:
        raise CacheError(f"{folder} cannot be written")

    monkeypatch.setattr("composir.gallery.rerank.FeatureStore", refuses)
    joint = JointColours()
    assert names(gallery.search(Query(text="red"), rerank=joint))[0] == "red"
    assert not (gallery.path / RERANKED_NAME).exists()


def test_what_was_kept_and_is_damaged_stops_no_search(gallery: Gallery) -> None:
    gallery.search(Query(text="red"), rerank=JointColours())
    (gallery.path / RERANKED_NAME / "index.sqlite").write_bytes(b"nothing of a database" * 99)
    joint = JointColours()
    assert names(gallery.search(Query(text="red"), rerank=joint))[0] == "red"
    assert joint.encoded == 8


def test_pictures_with_one_content_are_encoded_once(gallery: Gallery, photos: Path) -> None:
    shutil.copyfile(photos / "red.png", photos / "again.png")
    gallery.index([photos])
    joint = JointColours()
    result = gallery.search(Query(text="red"), rerank=joint, collapse_duplicates=False)
    assert set(names(result)[:2]) == {"red", "again"}
    assert (joint.encoded, result.reranked) == (8, Reranked("joint-colours", 9))


def test_what_is_forgotten_leaves_no_vector_behind(gallery: Gallery, photos: Path) -> None:
    gallery.search(Query(text="red"), rerank=JointColours())
    assert any((gallery.path / RERANKED_NAME).iterdir())
    gallery.forget([photos / "red.png"])
    assert not (gallery.path / RERANKED_NAME).exists()


def test_progress_is_told_of_new_pictures_alone(gallery: Gallery) -> None:
    seen: list[IndexProgress] = []
    joint = JointColours()
    gallery.search(Query(text="red"), rerank=joint, rerank_progress=seen.append)
    assert (seen[-1].stage, seen[-1].total) == ("encoding", 8)
    seen.clear()
    gallery.search(Query(text="red"), rerank=joint, rerank_progress=seen.append)
    assert seen == []


def test_what_cannot_be_re_ranked_is_refused(gallery: Gallery) -> None:
    query, joint = Query(text="red"), JointColours()
    with pytest.raises(ModelError, match="colours encodes pictures and words apart"):
        gallery.search(query, rerank=ColourModel())
    with pytest.raises(QueryError, match="re-ranked by score, and date orders them otherwise"):
        gallery.search(query, rerank=joint, sort="date")
    with pytest.raises(QueryError, match="a device's message holds no picture"):
        gallery.search(replace(query, from_device=True), rerank=joint)
    for number in (0, 10_001, "all"):
        with pytest.raises(QueryError, match="rerank_top is"):
            gallery.search(query, rerank=joint, rerank_top=number)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no model named nothing"):
        gallery.search(query, rerank="nothing")


def test_no_hit_is_nothing_to_re_rank(gallery: Gallery) -> None:
    result = gallery.search(Query(text="red"), where="width > 1000", rerank=JointColours())
    assert (result.hits, result.reranked) == ((), Reranked("joint-colours"))
