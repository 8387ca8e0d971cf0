"""Every store gives what the gallery gives, keeps up with it, and says what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.compose import load_composer
from composir.errors import BundleMismatchError, FilterError, QueryError, StoreError
from composir.gallery import Gallery
from composir.gallery.expressions import Kind
from composir.scale import open_store
from composir.scale.served_gallery import ServedGallery
from composir.scale.served_store import Inventory, ServedStore, StoredRow
from composir.scale.upload import gallery_rows, inventory_of, upload
from composir.types import Query, SearchResult
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain

EVERYWHERE = [
    "width > 22 AND width <= 25",
    "width = 20 OR price = 2",
    "price <> 2",
    "NOT price < 2",
    "NOT (price = 2 AND new)",
    "price IN (1.5, 7)",
    "price NOT IN (2)",
    "note = 'it''s'",
    "note IN ('100%', 'x')",
    "note IS NULL",
    "note IS NOT NULL AND NOT new",
    "new IS NOT TRUE",
    "sold >= '2024-01-01'",
    "sold = '2024-02-29'",
    "sold BETWEEN '2023-01-01' AND '2023-12-31'",
    "note LIKE '100\\%'",
    "1 = 1",
    "1 = 2",
]
NOT_IN_QDRANT = [
    "path LIKE '%re%'",
    "note ILIKE 'IT%'",
    "width + 1 > 25",
    "-width < -25",
    "year(sold) = 2024 AND month(sold) = 6",
    "length(note) = 4",
    "width > height - 1",
    "note < 'b'",
]


Opened = Callable[[], ServedStore]


def nothing(_done: int, _total: int) -> None:
    """No progress."""


def served(store: ServedStore) -> ServedGallery:
    return ServedGallery(store, lambda _place: ColourModel())


def same(theirs: SearchResult, ours: SearchResult) -> bool:
    """Whether hits agree in order and scores; images that score alike may change places."""
    assert [hit.score for hit in theirs.hits] == pytest.approx(
        [hit.score for hit in ours.hits], abs=2e-3
    )
    scores = {hit.path: hit.score for hit in ours.hits}
    return all(
        hit.path in scores or hit.score <= ours.hits[-1].score + 2e-3 for hit in theirs.hits
    ) and all(
        scores.get(hit.path, hit.score) == pytest.approx(hit.score, abs=2e-3) for hit in theirs.hits
    )


def test_a_store_answers_as_the_gallery_does(gallery: Gallery, opened: Opened) -> None:
    report = upload(gallery, opened(), nothing)
    assert (report.written, report.unchanged, report.removed) == (8, 0, 0)

    ours = gallery.search(Query(text="red green"), k=8)
    theirs = served(opened()).search(Query(text="red green"), k=8)
    assert same(theirs, ours)
    held = {hit.id: dict(hit.metadata) for hit in ours.hits}
    for hit in theirs.hits:
        assert dict(hit.metadata) == held[hit.id]
    assert theirs.confidence.value == pytest.approx(ours.confidence.value, abs=1e-3)
    assert (theirs.gallery_size, theirs.searched) == (8, 8)


def test_negatives_dates_and_references(gallery: Gallery, opened: Opened, tmp_path: Path) -> None:
    upload(gallery, opened(), nothing)
    reference = tmp_path / "pictures" / "yellow.png"
    query = Query(image=reference, text="the same without red")

    ours, theirs = gallery.search(query), served(opened()).search(query)
    dated = Query(text="red"), {"sort": "date:oldest", "where": "sold IS NOT NULL"}

    assert same(theirs, ours)
    assert reference not in [hit.path for hit in theirs.hits]
    old = gallery.search(dated[0], sort="date:oldest", where="sold IS NOT NULL")
    new = served(opened()).search(dated[0], sort="date:oldest", where="sold IS NOT NULL")
    assert [hit.path for hit in new.hits] == [hit.path for hit in old.hits]


def test_files_are_not_looked_for_and_asking_for_that_is_refused(gallery: Gallery) -> None:
    store = open_store(f"lancedb://{gallery.path.parent}/db/photos")
    upload(gallery, store, lambda _done, _total: None)
    (gallery.path.parent / "pictures" / "red.png").unlink()
    opened = served(store)
    assert opened.search(Query(text="red"), k=1).hits[0].path.stem == "red"
    assert opened.search(Query(text="red"), k=1, missing="keep").hits[0].path.stem == "red"
    with pytest.raises(QueryError, match="does not know which folders were indexed"):
        opened.search(Query(text="red"), missing="hide")
    asked = Query(text="blue")
    ours, theirs = gallery.embed_query(asked), opened.embed_query(asked)
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)


def test_a_product_of_similarities(gallery: Gallery, opened: Opened, tmp_path: Path) -> None:
    upload(gallery, opened(), nothing)
    composer = load_composer("product", ColourModel())
    query = Query(image=tmp_path / "pictures" / "red.png", text="blue")
    ours = gallery.search(query, k=3, composer=composer)
    theirs = served(opened()).search(query, k=3, composer=composer)
    assert same(theirs, ours)


def test_filters_mean_the_same_in_every_store(gallery: Gallery, opened: Opened) -> None:
    upload(gallery, opened(), nothing)
    asked = served(opened())
    no_likes = asked.store.shown.startswith("qdrant")
    for where in EVERYWHERE + ([] if no_likes else NOT_IN_QDRANT):
        ours = gallery.search(Query(text="red"), where=where, k=9)
        theirs = asked.search(Query(text="red"), where=where, k=9)
        assert {hit.path for hit in theirs.hits} == {hit.path for hit in ours.hits}, where
        assert theirs.searched == ours.searched, where
    for where in NOT_IN_QDRANT if no_likes else []:
        with pytest.raises(FilterError, match="Qdrant cannot filter by"):
            asked.search(Query(text="red"), where=where)
    with pytest.raises(FilterError, match=r"no column 'colr'.*width \(numbers\)"):
        asked.search(Query(text="red"), where="colr = 1")


def test_only_what_changed_is_sent(gallery: Gallery, opened: Opened, tmp_path: Path) -> None:
    upload(gallery, opened(), nothing)
    again = upload(gallery, opened(), nothing)
    assert (again.written, again.unchanged, again.removed) == (0, 8, 0)

    pictures = tmp_path / "pictures"
    (pictures / "black.png").unlink()
    plain(pictures / "new" / "red.png", "red", side=77)
    gallery.index([pictures])
    third = upload(gallery, opened(), nothing)

    assert (third.written, third.unchanged, third.removed) == (1, 7, 1)
    found = served(opened()).search(Query(text="red"), where="width = 77")
    assert [hit.path for hit in found.hits] == [pictures / "new" / "red.png"]


class Breaking:
    """A store that goes away after some rows."""

    def __init__(self, store: ServedStore, after: int) -> None:
        self._store, self._left = store, after
        self.faults = (*store.faults, ConnectionError)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def upsert(self, some: Sequence[StoredRow]) -> None:
        if self._left < len(some):
            self._store.upsert(some[: self._left])
            raise ConnectionError("connection refused")
        self._store.upsert(some)


def test_a_store_that_goes_away_loses_nothing(gallery: Gallery, opened: Opened) -> None:
    broken: Any = Breaking(opened(), 3)
    with pytest.raises(StoreError, match=r"connection refused.*the same command goes on"):
        upload(gallery, broken, nothing)

    report = upload(gallery, opened(), nothing)

    assert (report.written, report.unchanged) == (5, 3)


def test_vectors_of_two_models_do_not_mix(gallery: Gallery, opened: Opened) -> None:
    upload(gallery, opened(), nothing)
    other = ColourModel()
    other.fingerprint = "another"
    with pytest.raises(BundleMismatchError, match="holds vectors of"):
        ServedGallery(opened(), lambda _place: other)
    opened().prepare(replace(inventory_of(gallery), fingerprint="another"))
    with pytest.raises(StoreError, match="choose another name"):
        upload(gallery, opened(), nothing)


def test_a_store_with_nothing_says_how_to_fill_it(opened: Opened) -> None:
    with pytest.raises(StoreError, match="composir export vectors --to"):
        served(opened())


def test_the_nearest_are_those_of_the_vectors(gallery: Gallery, opened: Opened) -> None:
    store = opened()
    upload(gallery, store, nothing)
    ids, whole = gallery.vectors()
    query = (whole[3] + 0.1 * whole[0]) / np.linalg.norm(whole[3] + 0.1 * whole[0])
    scores = whole @ query

    for exact in (True, False):
        found = store.nearest(query, 4, None, exact=exact)
        near = [scores[ids.index(row.id)] for row in found]
        assert near == pytest.approx(np.sort(scores)[:-5:-1], abs=2e-3)
        assert np.allclose(found[0].vector, whole[ids.index(found[0].id)], atol=2e-3)
    assert store.sample(3, None).shape == (3, 4)
    assert store.sample(100, None).shape == (8, 4)


def test_an_address_is_checked_before_anything_else() -> None:
    for address, said in {
        "ftp://x/y": "no address of a store",
        "qdrant://u:geheim@host/x": "QDRANT_API_KEY",
        "qdrant://host/x?api_key=geheim": "QDRANT_API_KEY",
        "postgresql://u:geheim@host/db": "PGPASSWORD",
        "postgresql://host/db?password=geheim": "PGPASSWORD",
        "qdrant://host:port/x": "no address of a store",
        "mysql://u:geheim@host/db": "no address of a store",
    }.items():
        with pytest.raises(StoreError, match=said) as refusal:
            open_store(address)
        assert "geheim" not in str(refusal.value)


def test_names_of_tables_and_collections() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="no name of a table"):
        open_store("postgresql://host/db?table=a;drop")
    with pytest.raises(StoreError, match="lancedb://FOLDER/TABLE"):
        open_store("lancedb://x")


def test_a_server_that_is_not_there_is_named() -> None:
    pytest.importorskip("qdrant_client")
    with pytest.raises(StoreError, match="9/photos does not do"):
        served(open_store("qdrant://127.0.0.1:9/photos"))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"composir": 1}', '{"composir": {"format": 9}}'])
def test_what_is_no_inventory_is_refused(text: str) -> None:
    with pytest.raises(StoreError):
        Inventory.read(text, "here")


def test_an_inventory_comes_back() -> None:
    made = Inventory("mini", "abc", 512, {"width": Kind.NUMBER, "a b": Kind.DATE})
    assert Inventory.read(made.text(), "here") == made


def test_somebody_elses_table_is_left_alone(tmp_path: Path) -> None:
    import lance
    import pyarrow as pa

    lance.write_dataset(pa.table({"a": [1]}), str(tmp_path / "other.lance"))
    with pytest.raises(StoreError):
        served(open_store(f"lancedb://{tmp_path}/other"))
    assert lance.dataset(str(tmp_path / "other.lance")).count_rows() == 1


def test_rows_of_one_gallery_have_digests_of_their_own(gallery: Gallery) -> None:
    found = [
        row for some in gallery.on_newest(lambda table: list(gallery_rows(table))) for row in some
    ]
    assert len({row.digest for row in found}) == len(found) == 8
    shutil.rmtree(gallery.path)
