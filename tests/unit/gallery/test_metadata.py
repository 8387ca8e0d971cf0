"""Metadata from a sidecar: columns to filter by, changed without encoding anything."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from composir.errors import DatasetError, FilterError
from composir.gallery import Gallery
from composir.gallery.metadata import _WIDENED
from composir.types import IndexReport, Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scenes


class Shop:
    """Four pictures and a sidecar."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.pictures = folder, folder / "pictures"
        self.paths = scenes(self.pictures, range(4))
        self.model = ColourModel()
        self.gallery = Gallery.create_or_open(folder / "gallery", self.model)

    def index(self, table: Mapping[int, Mapping[str, Any]] | None = None) -> IndexReport:
        self.model.encoded = 0
        if table is None:
            return self.gallery.index([self.pictures])
        sidecar = self.folder / "meta.jsonl"
        lines = [{"file": self.paths[n].name, **values} for n, values in table.items()]
        sidecar.write_text("\n".join(json.dumps(line) for line in lines))
        return self.gallery.index([self.pictures], metadata=sidecar)

    def found(self, where: str) -> set[int]:
        hits = self.gallery.search(Query(text="red"), k=9, where=where).hits
        return {int(hit.path.stem[-4:]) for hit in hits}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    made.index(
        {
            0: {"price": 10, "kind": "mug", "new": True},
            1: {"price": 20, "kind": "it's", "new": False},
            2: {"price": 30, "kind": "mug"},
        }
    )
    return made


def test_columns_can_be_filtered_by(shop: Shop) -> None:
    assert shop.found("price >= 20") == {1, 2}
    assert shop.found("kind = 'mug' AND price < 20") == {0}
    assert shop.found("kind = 'it''s'") == {1}
    assert shop.found("new") == {0}
    assert shop.found("price IS NULL") == {3}
    assert shop.gallery.info().columns == ("price", "kind", "new")


def test_hits_carry_them(shop: Shop) -> None:
    hit = shop.gallery.search(Query(text="red"), where="price = 30").hits[0]

    assert (hit.metadata["price"], hit.metadata["kind"], hit.metadata["new"]) == (30, "mug", None)


def test_changing_them_encodes_nothing(shop: Shop) -> None:
    report = shop.index({0: {"price": 99}, 3: {"price": 5}})

    assert (report.unchanged, report.total, shop.model.encoded) == (4, 4, 0)
    assert shop.found("price > 50") == {0}
    assert shop.found("price IS NULL") == {1, 2}
    assert shop.gallery.info().columns == ("price",)
    assert len(shop.gallery.thumbnail(shop.gallery.vectors()[0][0])) > 100


def test_the_same_file_again_commits_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("an update without a change")

    monkeypatch.setattr("composir.gallery.store.Store.update", refuse)
    table = {
        0: {"price": 10, "kind": "mug", "new": True},
        1: {"price": 20, "kind": "it's", "new": False},
        2: {"price": 30, "kind": "mug"},
    }

    assert shop.index(table).unchanged == 4


def test_without_a_sidecar_they_stay(shop: Shop) -> None:
    plain(shop.pictures / "scene-0009.png", "red")

    shop.index()

    assert shop.found("price >= 20") == {1, 2}
    assert shop.found("price IS NULL") == {3, 9}


def test_they_move_along_and_survive_a_change_of_the_picture(shop: Shop) -> None:
    shop.paths[0].rename(shop.pictures / "scene-0008.png")
    plain(shop.paths[1], "blue")

    report = shop.index()

    assert (report.added, report.reused, report.dropped) == (1, 1, 0)
    assert shop.found("price = 10") == {8}
    assert shop.found("price = 20") == {1}


@pytest.mark.parametrize(
    ("value", "where", "old"),
    [
        (2.5, "price = 2.5", "price = 10"),
        ("dear", "price = 'dear'", "price = '10'"),
        (True, "price = 'true'", "price = '10'"),
    ],
)
def test_a_column_widens_when_other_types_come(
    shop: Shop, value: Any, where: str, old: str
) -> None:
    other = shop.folder / "other"
    plain(other / "scene-0007.png", "red")
    sidecar = shop.folder / "other.jsonl"
    sidecar.write_text(json.dumps({"file": "scene-0007.png", "price": value}))

    shop.gallery.index([other], metadata=sidecar)

    assert shop.found(where) == {7}
    assert shop.found(old) == {0}


def test_a_column_takes_the_type_of_the_file_that_replaces_another(shop: Shop) -> None:
    shop.index({n: {"price": "dear", "kind": 5} for n in range(4)})
    with pytest.raises(FilterError, match=r"price is text .*e\.g\. 'dear'"):
        shop.found("price > 15")

    shop.index({0: {"price": 10, "kind": "2024-01-31"}, 1: {"price": 20, "kind": "2024-02-01"}})

    assert shop.found("price > 15") == {1}
    assert shop.found("kind < '2024-02-01'") == {0}
    told = shop.gallery.info().column_types
    assert (told["price"], told["kind"]) == ("numbers", "dates")
    shop.index({n: {"price": 2.5} for n in range(2)})
    shop.index({n: {"price": 3} for n in range(2)})
    assert shop.gallery._snapshot().store.schema.field("price").type == "int64"


def test_values_of_other_folders_keep_their_type(shop: Shop) -> None:
    plain(shop.folder / "other" / "scene-0007.png", "red")
    sidecar = shop.folder / "other.csv"
    sidecar.write_text("file,price,sold\nscene-0007.png,dear,2024-01-31\n")
    shop.gallery.index([shop.folder / "other"], metadata=sidecar)

    table = {n: {"price": 4, "sold": "2024-01-31T18:30:00"} for n in range(4)}
    shop.index(table)

    assert shop.found("price = '4'") == {0, 1, 2, 3}
    assert shop.found("price = 'dear'") == {7}
    assert shop.found("sold = '2024-01-31 18:30'") == {0, 1, 2, 3}
    assert shop.found("sold = date '2024-01-31'") == {7}
    version = shop.gallery._snapshot().store.version
    shop.index(table)  # and nothing is written again
    assert shop.found("price = '4'") == {0, 1, 2, 3}
    assert shop.gallery._snapshot().store.dataset.version <= version + 1


def test_a_change_of_type_that_was_killed_is_begun_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    table = {n: {"price": f"{n},5 or so", "kind": "cup"} for n in range(4)}
    with monkeypatch.context() as patched:
        patched.setattr("composir.gallery.metadata._rename", stop)
        with pytest.raises(KeyboardInterrupt):
            shop.index(table)

    shop.index(table)

    assert shop.found("price = '1,5 or so'") == {1}
    assert set(shop.gallery.info().columns) == {"price", "kind"}


def test_dates_come_with_hits(shop: Shop) -> None:
    shop.index({0: {"sold": "2024-01-31"}, 1: {"sold": "2023-12-24"}})
    hit = shop.gallery.search(Query(text="red"), where="sold > '2024-01-01'").hits[0]
    assert hit.metadata["sold"] == date(2024, 1, 31)


def test_a_widening_that_was_killed_is_finished(shop: Shop) -> None:
    store = shop.gallery._snapshot().store
    store.dataset.add_columns({"price" + _WIDENED: "cast(price as double)"})
    store.dataset.drop_columns(["price"])
    store.dataset.add_columns({"kind" + _WIDENED: "cast(kind as string)"})

    shop.index({n: {"price": 10 * (n + 1), "kind": "cup"} for n in range(4)})

    assert set(shop.gallery.info().columns) == {"price", "kind"}
    assert shop.found("price = 40") == {3}


def test_a_widening_that_was_killed_shows_nowhere_and_any_run_finishes_it(shop: Shop) -> None:
    store = shop.gallery._snapshot().store
    store.dataset.add_columns({"kind" + _WIDENED: "cast(kind as string)"})
    columns = shop.gallery.info().columns
    (hit,) = shop.gallery.search(Query(text="red"), k=1).hits
    assert not [name for name in (*columns, *hit.metadata) if name.endswith(_WIDENED)]
    store.dataset.add_columns({"price" + _WIDENED: "cast(price as double)"})
    store.dataset.drop_columns(["price"])

    shop.index()

    store = shop.gallery._snapshot().store
    assert not [name for name in store.schema.names if name.endswith(_WIDENED)]
    assert "price" in shop.gallery.info().columns
    assert str(store.schema.field("price").type) == "double"


def test_a_column_called_like_one_on_its_way_is_not_taken_for_it(shop: Shop) -> None:
    shop.index({n: {"size_": n, "size___widened": n, "a__widened": n} for n in range(4)})
    before = shop.gallery.info().columns

    shop.index()

    assert shop.gallery.info().columns == before
    assert shop.found("a_widened = 2") == {2}


def test_a_filter_on_a_column_that_is_gone_says_so(shop: Shop) -> None:
    with pytest.raises(FilterError, match=r"did you mean price.*price \(numbers\)"):
        shop.found("prize > 3")


def test_only_the_roots_given_change(shop: Shop, tmp_path: Path) -> None:
    other = tmp_path / "other"
    plain(other / "scene-0005.png", "red")
    sidecar = tmp_path / "other.csv"
    sidecar.write_text("file,price\nscene-0005.png,7\n")

    shop.gallery.index([other], metadata=sidecar)

    assert shop.found("price < 15") == {0, 5}


def test_a_touched_copy_keeps_its_own(shop: Shop) -> None:
    for path in shop.paths[1:3]:  # three files of one content, each with metadata of its own
        shutil.copyfile(shop.paths[0], path)
    shop.index({0: {"kind": "first"}, 1: {"kind": "second"}, 2: {"kind": "third"}})
    for path in shop.paths[:3]:
        os.utime(path, (1, 1))
    shop.index()
    kinds = {0: "first", 1: "second", 2: "third"}
    found = shop.gallery.search(Query(text="red"), k=9, collapse_duplicates=False).hits
    assert {int(h.path.stem[-4:]): h.metadata["kind"] for h in found if h.metadata["kind"]} == kinds


def test_of_copies_the_one_that_moved_gives_its_metadata(shop: Shop) -> None:
    shutil.copyfile(shop.paths[0], shop.paths[3])
    shop.index({0: {"kind": "stays"}, 3: {"kind": "moves"}})
    shop.paths[3].rename(shop.paths[3].with_name("moved0009.png"))
    shop.index()
    found = shop.gallery.search(Query(text="red"), k=9, collapse_duplicates=False).hits
    kinds = {h.path.name: h.metadata["kind"] for h in found}
    assert kinds["moved0009.png"] == "moves"
    assert kinds[shop.paths[0].name] == "stays"


def test_a_table_without_rows_replaces_nothing(shop: Shop) -> None:
    (shop.folder / "empty.csv").write_text("file,price\n")
    with pytest.raises(DatasetError, match=r"empty\.csv has no rows"):
        shop.gallery.index([shop.pictures], metadata=shop.folder / "empty.csv")
    assert shop.found("price >= 20") == {1, 2}
