"""Damaged galleries: one clear error from everything that reads them, and never wrong hits."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from composir.errors import FilterError, GalleryDamagedError, GalleryError, ModelError
from composir.gallery import Gallery, open_gallery
from composir.gallery.remains import CACHE_NAME
from composir.gallery.repair import repair_gallery
from composir.gallery.verify import verify_gallery
from composir.types import FloatArray, PixelArray, Query
from tests.fakes import ColourModel
from tests.unit.gallery.damages import DAMAGES, IMAGES, TABLE, data_files, largest, make_gallery
from tests.unit.gallery.pictures import plain, scenes


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of the gallery, to be damaged."""
    return shutil.copytree(whole, tmp_path / "gallery")


def search(folder: Path, where: str | None = None) -> list[Path]:
    result = open_gallery(folder, ColourModel()).search(Query(text="red"), k=3, where=where)
    return [hit.path for hit in result.hits]


def index(folder: Path, pictures: Path) -> None:
    Gallery.create_or_open(folder, ColourModel()).index([pictures])


ASK: dict[str, Callable[[Path], object]] = {
    "search": search,
    "search with a filter": lambda folder: search(folder, "price > 1"),
    "info": lambda folder: open_gallery(folder).info(),
    "len": lambda folder: len(open_gallery(folder)),
    "thumbnail": lambda folder: open_gallery(folder).thumbnail("0" * 16),
    "vectors": lambda folder: open_gallery(folder).vectors(),
    "index": lambda folder: index(folder, folder.parent),
    "forget": lambda folder: open_gallery(folder).forget([folder.parent]),
}
SCRAMBLED = {"data overwritten", "deletions overwritten"}  # right length: found when it is read


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_question_to_a_damaged_gallery_names_the_way_out(folder: Path, damage: str) -> None:
    plain(folder.parent / "new.png", "blue")
    DAMAGES[damage](folder)

    for name, ask in ASK.items():
        if damage in SCRAMBLED and name in {"info", "len"}:
            continue  # they read no row
        with pytest.raises(GalleryDamagedError, match=f"composir repair {folder}") as told:
            ask(folder)
        assert "empty" not in str(told.value), name
        assert ".rs:" not in str(told.value), name
    assert verify_gallery(folder), "doctor sees it too"


def test_a_whole_gallery_is_not_called_damaged(folder: Path) -> None:
    assert verify_gallery(folder) == []
    assert verify_gallery(folder, deep=True) == []
    assert len(search(folder)) == 3


def test_a_wrong_filter_is_not_taken_for_damage(folder: Path) -> None:
    for wrong in ("prise > 1", "price > 'x' AND", "price LIKE 'a'"):
        with pytest.raises(FilterError):
            search(folder, wrong)


def set_vectors(folder: Path, vectors: list[list[float]]) -> None:
    import lance

    dataset = lance.dataset(str(folder / TABLE))
    ids = dataset.to_table(columns=["id"])["id"].to_pylist()[: len(vectors)]
    flat = pa.array(np.asarray(vectors, np.float16).ravel())
    table = pa.table({"id": ids, "vector": pa.FixedSizeListArray.from_arrays(flat, 4)})
    dataset.merge_insert("id").when_matched_update_all().execute(table)


@pytest.mark.parametrize("bad", [[float("nan")] * 4, [0.0] * 4, [float("inf"), 0, 0, 0]])
@pytest.mark.parametrize("exact_limit", [0, 1000])
def test_vectors_that_are_none_are_an_error_and_not_the_best_hit(
    folder: Path, bad: list[float], exact_limit: int
) -> None:
    set_vectors(folder, [bad])

    gallery = Gallery(folder, ColourModel(), exact_limit=exact_limit)
    with pytest.raises(GalleryDamagedError, match="1 of its vectors"):
        gallery.search(Query(text="red"))
    assert verify_gallery(folder) == []
    (fault,) = verify_gallery(folder, deep=True)
    assert fault.told == f"1 of {IMAGES} rows have a vector that is not of unit length"


def test_vectors_of_another_width_than_the_manifest_says_are_an_error(folder: Path) -> None:
    manifest = folder / "composir-gallery.json"
    manifest.write_text(manifest.read_text().replace('"dimension": 4', '"dimension": 8'))

    with pytest.raises(GalleryDamagedError, match="column vector"):
        len(open_gallery(folder))


def test_a_model_that_makes_no_vectors_fills_no_gallery(tmp_path: Path) -> None:
    class Broken(ColourModel):
        def encode_pixels(self, pixels: PixelArray) -> FloatArray:
            return super().encode_pixels(pixels) * np.float32("nan")

    plain(tmp_path / "pictures" / "red.png", "red")
    gallery = Gallery.create_or_open(tmp_path / "gallery", Broken())
    with pytest.raises(ModelError, match="no vectors of unit length"):
        gallery.index([tmp_path / "pictures"])
    assert len(gallery) == 0


def cached(folder: Path) -> Path:
    (found,) = (folder / CACHE_NAME).glob("*.npy")
    return found


@pytest.mark.parametrize("row", [0, 2])
def test_a_cached_matrix_with_nonsense_in_it_is_made_anew(folder: Path, row: int) -> None:
    right = search(folder)
    good = np.load(cached(folder))
    bad = good.copy()
    bad[row] = np.nan
    np.save(cached(folder), bad)

    assert search(folder) == right
    np.testing.assert_array_equal(np.load(cached(folder)), good)


@pytest.mark.parametrize("header", [b"{'descr': '''", b"(" * 40, b"\xff" * 8, b""])
def test_a_cached_matrix_with_a_damaged_header_is_made_anew(folder: Path, header: bytes) -> None:
    right = search(folder)
    good = cached(folder).read_bytes()
    cached(folder).write_bytes(good[:10] + header + good[10 + len(header) :] if header else b"")

    assert search(folder) == right
    assert cached(folder).read_bytes() == good


def test_a_nan_that_no_sample_meets_is_seen_in_the_scores(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.gallery.matrix._SAMPLE", 1)  # the first row alone
    right = search(folder)
    bad = np.load(cached(folder))
    bad[3] = np.nan
    np.save(cached(folder), bad)

    assert search(folder) == right
    assert np.isfinite(np.load(cached(folder))).all()


def test_deep_finds_cached_vectors_that_are_others(folder: Path) -> None:
    vectors = np.load(cached(folder))
    np.save(cached(folder), np.roll(vectors, 1, axis=1))

    (fault,) = verify_gallery(folder, deep=True)
    assert fault.part == "cache"
    assert verify_gallery(folder) == []


def test_deep_finds_damaged_thumbnails_and_twins(folder: Path) -> None:
    import lance

    dataset = lance.dataset(str(folder / TABLE))
    table = dataset.to_table()
    ids = table["id"].to_pylist()
    broken = pa.table({"id": ids[:1], "thumbnail": pa.array([b"\xff\xd8nothing"], pa.binary())})
    dataset.merge_insert("id").when_matched_update_all().execute(broken)
    lance.write_dataset(table.slice(2, 1), str(folder / TABLE), mode="append")

    told = [fault.told for fault in verify_gallery(folder, deep=True)]
    assert told == [
        f"1 of {IMAGES + 1} rows have a damaged thumbnail",
        f"1 of {IMAGES + 1} rows have the id of another",
    ]


class WideModel(ColourModel):
    """Of vectors that can be indexed: their width is a multiple of eight."""

    dimension = 8

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        return np.pad(super().encode_pixels(pixels), ((0, 0), (0, 4)))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        return np.pad(super().encode_texts(texts), ((0, 0), (0, 4)))


def test_an_index_that_lost_its_files_is_damage(tmp_path: Path) -> None:
    folder, pictures = tmp_path / "gallery", tmp_path / "pictures"
    scenes(pictures, range(3))
    gallery = Gallery.create_or_open(folder, WideModel())
    gallery._exact_limit = 2
    gallery.index([pictures])
    assert gallery._snapshot().store.has_index()
    assert verify_gallery(folder, deep=True) == []
    for index in (folder / TABLE / "_indices").iterdir():
        shutil.rmtree(index)

    with pytest.raises(GalleryDamagedError, match="_indices"):
        Gallery(folder, WideModel(), exact_limit=2).search(Query(text="red"))
    assert [fault.part for fault in verify_gallery(folder)] == ["table"]
    assert repair_gallery(folder).lost == 0
    assert len(Gallery(folder, WideModel(), exact_limit=2).search(Query(text="red")).hits) == 3


def test_vectors_of_a_width_that_no_index_takes_are_ranked_exactly(tmp_path: Path) -> None:
    scenes(tmp_path / "pictures", range(3))
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    gallery._exact_limit = 2
    assert gallery.index([tmp_path / "pictures"]).added == 3
    assert len(gallery.search(Query(text="red")).hits) == 3


def test_an_unreadable_fragment_is_named(folder: Path) -> None:
    DAMAGES["data overwritten"](folder)
    (fault,) = verify_gallery(folder)
    assert largest(folder).name in fault.told
    assert all(path.name not in fault.told for path in data_files(folder)[1:])


def test_a_gallery_that_was_never_filled_is_empty_and_not_damaged(tmp_path: Path) -> None:
    gallery = Gallery.create_or_open(tmp_path / "new", ColourModel())
    assert verify_gallery(gallery.path, deep=True) == []
    with pytest.raises(GalleryError, match="is empty"):
        gallery.search(Query(text="red"))
