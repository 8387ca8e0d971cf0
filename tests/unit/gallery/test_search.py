"""Searching: hits, filters, references, duplicates, both ways of ranking."""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from composir.compose import load_composer
from composir.compose.base import ComposedQueries, QueryBatch, Traits
from composir.errors import FilterError, GalleryError, QueryError
from composir.gallery import Gallery
from composir.gallery.approximate import ApproximateRanker
from composir.gallery.filters import matching_positions
from composir.gallery.ranking import best_positions
from composir.gallery.store import Store
from composir.types import FloatArray, ImageInput, PixelArray, Query, SearchResult
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain, scene, scenes

BIG_COLOURS = {"red", "green", "blue"}


class WideColours(ColourModel):
    """`ColourModel` turned into 64 dimensions, which a vector index wants."""

    dimension = 64
    _turn: ClassVar[FloatArray] = np.linalg.qr(np.random.default_rng(0).standard_normal((64, 64)))[
        0
    ][:4].astype(np.float32)

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        return np.asarray(super().encode_pixels(pixels) @ self._turn, dtype=np.float32)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        return np.asarray(super().encode_texts(texts) @ self._turn, dtype=np.float32)


class BothColours:
    """A composer whose score is the product of two similarities."""

    name = "both"
    settings: ClassVar[dict[str, float | int | str]] = {}
    traits = Traits()

    def __init__(self, model: ColourModel) -> None:
        self._model = model
        self.seen: list[QueryBatch] = []

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        self.seen.append(batch)
        vectors = self._model.encode_texts(batch.texts[0].split(" and "))
        return ComposedQueries(vectors[None], rule="product")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name, colour in COLOURS.items():
        plain(folder / f"{name}.png", colour, side=200 if name in BIG_COLOURS else 20)
    return folder


@pytest.fixture
def gallery(tmp_path: Path, pictures: Path) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([pictures])
    return made


def names(result: SearchResult) -> list[str]:
    return [hit.path.stem for hit in result.hits]


def test_rows_are_read_once_by_who_goes_on_searching(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    take = Store.take

    def counted(store: Store, positions: Sequence[int], columns: Sequence[str]) -> Any:
        reads.append(len(positions))
        return take(store, positions, columns)

    monkeypatch.setattr(Store, "take", counted)
    first, *later = [gallery.search(Query(text="red"), where="width > 50") for _ in range(4)]

    assert len(reads) == 2
    assert first.hits
    assert [result.hits for result in later] == 3 * [first.hits]


def test_words_find_pictures(gallery: Gallery) -> None:
    result = gallery.search(Query(text="red"), k=3)

    assert names(result)[0] == "red"
    assert [hit.rank for hit in result.hits] == [1, 2, 3]
    assert result.hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert list(np.diff([hit.score for hit in result.hits]) <= 0) == [True, True]
    assert (result.composer, result.gallery_size, result.searched) == ("sum", 8, 8)


def test_an_image_alone_finds_others_like_it(gallery: Gallery, pictures: Path) -> None:
    found = names(gallery.search(Query(image=pictures / "red.png"), k=3))

    assert "red" not in found
    assert set(found) <= {"yellow", "magenta", "black"}


def test_image_and_words_compose(gallery: Gallery, pictures: Path) -> None:
    result = gallery.search(Query(image=pictures / "red.png", text="blue"), k=1)

    assert names(result) == ["magenta"]


def test_negatives_push_away(gallery: Gallery) -> None:
    plain_query = names(gallery.search(Query(text="red green"), k=3))
    without = names(gallery.search(Query(text="red green", negatives=("green",)), k=3))

    assert "green" in plain_query
    assert "green" not in without


def test_a_negation_in_words_is_a_negative(gallery: Gallery) -> None:
    said = gallery.search(Query(text="red green, without green"))
    given = gallery.search(Query(text="red green", negatives=("green",)))

    assert [(hit.id, hit.score) for hit in said.hits] == [(h.id, h.score) for h in given.hits]
    assert said.query.text == "red green, without green"
    assert (said.asked.text, said.asked.negatives) == ("red green", ("green",))
    assert said.notices == ()


def test_literal_words_are_taken_as_they_are(gallery: Gallery) -> None:
    literal = gallery.search(Query(text="red without green", literal=True))
    plain = gallery.search(Query(text="red green"))

    assert [hit.score for hit in literal.hits] == [hit.score for hit in plain.hits]
    assert (literal.asked.text, literal.asked.negatives) == ("red without green", ())


def test_an_image_and_a_negation_alone(gallery: Gallery, pictures: Path) -> None:
    result = gallery.search(Query(image=pictures / "yellow.png", text="the same without red"))

    assert (result.asked.text, result.asked.negatives) == ("", ("red",))
    assert names(result).index("green") < names(result).index("red")


def test_several_references_rule_out_what_the_words_do(gallery: Gallery, pictures: Path) -> None:
    images = [pictures / "yellow.png", pictures / "white.png"]
    plain = gallery.search(Query(image=images))
    said = gallery.search(Query(image=images, text="without red"))
    given = gallery.search(Query(image=images, negatives=("red",)))

    def score(result: SearchResult, name: str) -> float:
        return next(hit.score for hit in result.hits if hit.path.stem == name)

    assert [(hit.id, hit.score) for hit in said.hits] == [(h.id, h.score) for h in given.hits]
    assert score(said, "red") < score(plain, "red") - 0.05


def test_a_negation_that_is_not_understood_is_told(gallery: Gallery) -> None:
    result = gallery.search(Query(text="red, not as bright"))

    assert result.asked.negatives == ()
    assert len(result.notices) == 1
    assert "'not' was not understood" in result.notices[0]


def test_what_is_unwanted_is_measured_on_the_gallery_not_on_the_filter(gallery: Gallery) -> None:
    query = Query(text="red", negatives=("green",))
    whole = {hit.id: hit.score for hit in gallery.search(query, k=8).hits}
    some = gallery.search(query, k=8, where="width = 200").hits
    few = gallery.search(query, k=8, where="path LIKE '%green%'").hits

    assert [hit.score for hit in some] == pytest.approx([whole[hit.id] for hit in some], abs=1e-5)
    assert [hit.score for hit in few] == pytest.approx([whole[hit.id] for hit in few], abs=1e-5)


@pytest.mark.parametrize("form", ["path", "text", "bytes", "pillow"])
def test_a_reference_comes_in_any_form(gallery: Gallery, pictures: Path, form: str) -> None:
    path = pictures / "red.png"
    with Image.open(path) as opened:
        pillow = opened.convert("RGB")
    forms: dict[str, ImageInput] = {
        "path": path,
        "text": str(path),
        "bytes": path.read_bytes(),
        "pillow": pillow,
    }
    image = forms[form]

    result = gallery.search(Query(image=image), k=8)

    assert "red" not in names(result)
    assert result.searched == 7
    assert "red" in names(gallery.search(Query(image=image), k=8, include_reference=True))


def test_k_beyond_the_gallery_gives_all_and_zero_is_refused(gallery: Gallery) -> None:
    assert len(gallery.search(Query(text="red"), k=10_000).hits) == 8
    for k in (0, -1):
        with pytest.raises(QueryError, match=f"k is {k}"):
            gallery.search(Query(text="red"), k=k)


@pytest.mark.parametrize("k", [float("nan"), 2.5, True, "3", None])
def test_k_is_a_whole_number(gallery: Gallery, k: Any) -> None:
    with pytest.raises(QueryError, match="ask for a whole number of hits"):
        gallery.search(Query(text="red"), k=k)


@pytest.mark.parametrize("batch_size", [0, -1, 10**12, float("nan")])
def test_a_batch_has_a_size(gallery: Gallery, pictures: Path, batch_size: Any) -> None:
    with pytest.raises(GalleryError, match="give 1 to 1,024"):
        gallery.index([pictures], batch_size=batch_size)


def test_filters_apply_before_the_search(gallery: Gallery) -> None:
    result = gallery.search(Query(text="yellow"), k=3, where="width > 100")

    assert set(names(result)) == BIG_COLOURS
    assert result.searched == 3


@pytest.mark.parametrize(
    "where",
    [
        "width > 100 AND path LIKE '%red%'",
        "`width` > 100 and not (path like '%blue%' or path like '%green%')",
        "width in (200) and path like '%red.png'",
    ],
)
def test_filters_are_sql_like(gallery: Gallery, where: str) -> None:
    assert names(gallery.search(Query(text="blue"), where=where)) == ["red"]


def test_a_filter_that_nothing_passes_finds_nothing(gallery: Gallery) -> None:
    result = gallery.search(Query(text="red"), where="width > 5000")

    assert (result.hits, result.searched) == ((), 0)
    assert result.confidence.verdict == "nothing matches well"


@pytest.mark.parametrize(
    "where",
    [
        "colour = 'red'",
        "width >",
        "1",
        "width > 'wide'",
        "",
        "vector = 3",
        "width > 1 height > 3",  # what follows a whole expression was dropped once
        "width > 1; width > 99",
        "width > 1 LIMIT 1",
    ],
)
def test_a_bad_filter_names_the_columns(gallery: Gallery, where: str) -> None:
    with pytest.raises(FilterError) as refusal:
        gallery.search(Query(text="red"), where=where)

    message = str(refusal.value)
    assert "width (numbers)" in message
    assert "width > 1000" in message
    assert "thumbnail" not in message
    assert "rust" not in message


@pytest.mark.parametrize("where", ["path = ?", "width = $1", "path = :name"])
def test_a_filter_has_no_placeholders(gallery: Gallery, where: str) -> None:
    with pytest.raises(FilterError, match=r"there is no value for (\?|\$1|:name)"):
        gallery.search(Query(text="red"), where=where)


def test_quotes_hold_what_looks_like_placeholders(gallery: Gallery) -> None:
    assert gallery.search(Query(text="red"), where="path LIKE '%?$1:x%'").hits == ()


@pytest.mark.parametrize(
    "text", ["word " * 10_000, "красный 赤い أحمر 🔴", "'; DROP TABLE --", "\x00", "a" * 100_000]
)
def test_any_text_is_a_query(gallery: Gallery, text: str) -> None:
    assert len(gallery.search(Query(text=text), k=2).hits) == 2


def test_an_unreadable_reference_is_named(gallery: Gallery, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")

    for image in (bad, tmp_path / "missing.png", tmp_path, b"no picture"):
        with pytest.raises(QueryError, match="reference"):
            gallery.search(Query(image=image))


def test_equal_files_are_one_hit(gallery: Gallery, pictures: Path) -> None:
    copy = pictures / "copy.png"
    shutil.copy(pictures / "red.png", copy)
    gallery.index([pictures])

    hit = gallery.search(Query(text="red"), k=1).hits[0]

    assert {hit.path, *hit.duplicates} == {copy, pictures / "red.png"}
    apart = gallery.search(Query(text="red"), k=2, collapse_duplicates=False)
    assert {h.path for h in apart.hits} == {copy, pictures / "red.png"}


def test_the_references_copies_are_left_out_too(gallery: Gallery, pictures: Path) -> None:
    shutil.copy(pictures / "red.png", pictures / "copy.png")
    gallery.index([pictures])

    found = names(gallery.search(Query(image=pictures / "red.png"), k=9))

    assert not {"red", "copy"} & set(found)


def test_a_resized_jpeg_of_the_reference_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    scenes(folder, range(10))
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    gallery.index([folder])
    smaller = io.BytesIO()
    scene(3).resize((64, 48)).save(smaller, "JPEG", quality=85)

    found = names(gallery.search(Query(image=smaller.getvalue()), k=10))

    assert "scene-0003" not in found
    assert len(found) == 9


def test_collapsing_goes_on_until_there_are_k_hits(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    plain(folder / "red.png", "red")
    for number in range(80):
        shutil.copy(folder / "red.png", folder / f"copy-{number}.png")
    plain(folder / "magenta.png", "magenta")
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    gallery.index([folder])

    hits = gallery.search(Query(text="red"), k=2).hits

    assert len(hits) == 2
    assert len(hits[0].duplicates) == 80
    assert hits[1].path.stem == "magenta"


def test_a_product_of_similarities_finds_what_fits_both(gallery: Gallery) -> None:
    composer = BothColours(ColourModel())

    result = gallery.search(
        Query(text="red and blue", negatives=("green",)), k=1, composer=composer
    )

    assert names(result) == ["magenta"]
    assert result.composer == "both"
    assert composer.seen[0].negatives == (("green",),)


def test_a_search_sees_what_another_process_indexed(gallery: Gallery, pictures: Path) -> None:
    gallery.search(Query(text="red"))
    plain(pictures / "sub" / "other red.png", (250, 0, 0))
    Gallery.create_or_open(gallery.path, ColourModel()).index([pictures])

    result = gallery.search(Query(text="red"), k=9, where="folder = 'sub'")

    assert names(result) == ["other red"]
    assert result.gallery_size == 9


@pytest.fixture
def large(tmp_path: Path) -> Gallery:
    """A gallery beyond its (lowered) limit for exact search."""
    folder = tmp_path / "many"
    rng = np.random.default_rng(3)
    for number in range(400):
        colour = tuple(int(c) for c in rng.integers(0, 255, 3))
        plain(folder / f"{number}.png", (colour[0], colour[1], colour[2]), side=8 + number % 7)
    Gallery.create_or_open(tmp_path / "gallery", WideColours())
    made = Gallery(tmp_path / "gallery", WideColours(), exact_limit=300)
    made.index([folder])
    return made


@pytest.mark.parametrize("where", [None, "width < 12", "width = 9 OR path LIKE '%1%'"])
@pytest.mark.parametrize("text", ["red", "yellow blue"])
@pytest.mark.parametrize("wider", [0, 5000])
def test_the_index_finds_what_exact_search_finds(
    large: Gallery, where: str | None, text: str, wider: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether Lance applies the filter, or the index is asked for more and they are sifted."""
    monkeypatch.setattr("composir.gallery.approximate.FEW_MATCHES", 20)
    monkeypatch.setattr("composir.gallery.approximate._MOST_WIDER", wider)
    exact = Gallery(large.path, WideColours()).search(
        Query(text=text), k=10, where=where, collapse_duplicates=False
    )

    found = large.search(Query(text=text), k=10, where=where, collapse_duplicates=False)

    assert isinstance(large._snapshot().ranker, ApproximateRanker)
    assert len(set(names(found)) & set(names(exact))) >= 9
    assert found.searched == exact.searched
    assert found.hits[0].score == pytest.approx(exact.hits[0].score, abs=1e-3)


@pytest.mark.parametrize("where", [None, "width < 12", "width = 9 OR path LIKE '%1%'"])
def test_the_index_rules_out_what_exact_search_rules_out(
    large: Gallery, where: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is unwanted covers nearly all that is nearest: the index must look further."""
    monkeypatch.setattr("composir.gallery.approximate.FEW_MATCHES", 20)
    monkeypatch.setattr("composir.gallery.approximate._PENALISED_FACTOR", 1)
    strict = load_composer("text", WideColours(), negative_weight=5.0)

    def ask(gallery: Gallery, *negatives: str) -> SearchResult:
        query = Query(text="magenta", negatives=negatives)
        return gallery.search(query, k=10, where=where, composer=strict, collapse_duplicates=False)

    exact = ask(Gallery(large.path, WideColours()), "red")
    found, plain = ask(large, "red"), ask(large)

    assert len(set(names(plain)) & set(names(exact))) < 8
    assert len(set(names(found)) & set(names(exact))) >= 9


@pytest.mark.parametrize("where", [None, "width < 12", "width <= 8"])
def test_the_index_finds_the_rows_it_means_where_others_are_gone(
    large: Gallery, tmp_path: Path, where: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few enough that Lance marks them as deleted and moves no row."""
    monkeypatch.setattr("composir.gallery.approximate.FEW_MATCHES", 20)
    for number in range(0, 30, 2):
        (tmp_path / "many" / f"{number}.png").unlink()
    large.index([tmp_path / "many"])
    assert any(
        part.metadata.deletion_file for part in Store(large.path, 16).dataset.get_fragments()
    )
    query = Query(text="yellow blue")
    exact = Gallery(large.path, WideColours()).search(query, where=where)

    found = large.search(query, where=where)

    assert isinstance(large._snapshot().ranker, ApproximateRanker)
    assert len(set(names(found)) & set(names(exact))) >= 9
    assert found.hits[0].score == pytest.approx(exact.hits[0].score, abs=1e-3)


@pytest.mark.parametrize("exact", [True, False])
def test_a_filter_is_looked_up_once_while_the_gallery_stays_as_it_is(
    large: Gallery, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookups: list[str] = []

    def counted(store: Store, where: str) -> NDArray[np.int64]:
        lookups.append(where)
        return matching_positions(store, where)

    monkeypatch.setattr("composir.gallery.filters.matching_positions", counted)
    gallery = Gallery(large.path, WideColours()) if exact else large

    def ask(where: str) -> int:
        return gallery.search(Query(text="red"), where=where).searched

    small = ask("width < 12")
    assert [ask("width < 12"), ask("width >= 12")] == [small, 400 - small]
    assert lookups == ["width < 12", "width >= 12"]

    plain(tmp_path / "more" / "new.png", (1, 2, 3), side=8)
    Gallery(large.path, WideColours(), exact_limit=300).index([tmp_path / "more"])

    assert ask("width < 12") == small + 1


def test_the_index_serves_products_too(large: Gallery) -> None:
    composer = BothColours(WideColours())
    query = Query(text="red and blue")
    exact = Gallery(large.path, WideColours()).search(query, k=5, composer=composer)

    found = large.search(query, k=5, composer=composer)

    assert names(found) == names(exact)


def test_the_index_gives_all_when_asked_for_all(large: Gallery) -> None:
    found = large.search(Query(text="red"), k=1000, collapse_duplicates=False)

    assert len(found.hits) == 400


def test_new_images_join_the_index(large: Gallery, tmp_path: Path) -> None:
    plain(tmp_path / "many" / "new" / "red.png", (255, 0, 0), side=300)

    large.index([tmp_path / "many"])

    assert names(large.search(Query(text="red"), k=1, where="width = 300")) == ["red"]
    assert large.search(Query(text="red"), k=1).hits[0].score == pytest.approx(1, abs=1e-3)


def test_equal_scores_come_in_the_order_of_the_rows() -> None:
    scores = np.asarray([0.5, 0.9, 0.5, 0.5, 0.1], dtype=np.float32)

    assert best_positions(scores, 3).tolist() == [1, 0, 2]
    assert best_positions(scores, 9).tolist() == [1, 0, 2, 3, 4]
