"""Merges of shards: equal to one index run, once, and refused where something is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.errors import GalleryBusyError, GalleryError
from composir.gallery import Gallery
from composir.gallery import writer as writing
from composir.gallery.manifest import read_manifest
from composir.gallery.shards import MergeReport, Shard, fragments, merge_shards, merging
from composir.gallery.shards.shard import SHARDS_NAME, ShardRecord, place_of, read_records
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scene
from tests.unit.gallery.shards import PICTURES, SHARDS, Workers, made_up_shard, rows_of
from tests.unit.gallery.world import counts


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Workers:
    made = Workers(tmp_path_factory.mktemp("shards"))
    made.work_all()
    assert len(made.ordinary) == PICTURES
    return made


@pytest.fixture
def workers(done: Workers, tmp_path: Path) -> Workers:
    """All shards are complete; the pictures are shared, and must stay as they are."""
    return done.with_a_copy(tmp_path / "gallery")


def hits(gallery: Gallery) -> list[tuple[Path, float]]:
    found = gallery.search(Query(text="red"), k=PICTURES).hits
    return [(hit.path, round(hit.score, 3)) for hit in found]


def test_four_shards_are_one_index(workers: Workers) -> None:
    report = merge_shards(workers.gallery)
    merged, ordinary = workers.open(), workers.ordinary

    assert (report.added, report.total, report.merged) == (PICTURES, PICTURES, (1, 2, 3, 4))
    assert rows_of(merged) == rows_of(ordinary)
    assert hits(merged) == hits(ordinary)
    assert merged.failures() == ordinary.failures() == report.failures
    now, usual = read_manifest(workers.gallery), read_manifest(ordinary.path)
    assert (now.roots, now.root_facts) == (usual.roots, usual.root_facts)
    assert {p.name for p in workers.gallery.iterdir()} == {p.name for p in ordinary.path.iterdir()}


def test_an_index_run_over_the_merged_gallery_has_nothing_to_do(workers: Workers) -> None:
    merge_shards(workers.gallery)
    workers.model.encoded = 0

    assert counts(workers.open().index([workers.pictures])) == (0, 0, PICTURES, 0, PICTURES)
    assert workers.model.encoded == 0


def test_it_is_one_commit(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = []
    commit = Store.commit

    def counted(self: Store, *given: Any) -> None:
        before = self.version
        commit(self, *given)
        versions.append((before, self.version))

    monkeypatch.setattr(Store, "commit", counted)
    merge_shards(workers.gallery)
    assert versions == [(1, 2)]


def test_merged_again_nothing_happens(workers: Workers) -> None:
    merge_shards(workers.gallery)
    before = rows_of(workers.open())
    again = merge_shards(workers.gallery)
    assert (again.added, again.merged, again.total) == (0, (), PICTURES)
    assert rows_of(workers.open()) == before


def after(module: Any, name: str) -> Callable[..., None]:
    """A step that is done, and then the process dies."""
    work = getattr(module, name)

    def die(*given: Any, **named: Any) -> None:
        work(*given, **named)
        raise RuntimeError("killed")

    return die


@pytest.mark.parametrize(
    ("module", "step"),
    [
        (merging, "prepare_additions"),
        (Store, "create"),
        (Store, "commit"),
        (merging, "write_failures"),
        (Store, "compact"),
        (merging, "tidy"),
        (ShardRecord, "write"),
        (shutil, "rmtree"),
    ],
)
def test_a_merge_killed_after_any_step_is_repeated(
    workers: Workers, module: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, step, after(module, step))
        with pytest.raises(RuntimeError, match="killed"):
            merge_shards(workers.gallery)

    merge_shards(workers.gallery)

    assert rows_of(workers.open()) == rows_of(workers.ordinary)
    left = {path.name for path in workers.gallery.iterdir()}
    assert left == {path.name for path in workers.ordinary.path.iterdir()}
    assert [f.path for f in workers.open().failures()] == [workers.broken]


def test_what_an_ordinary_run_cleaned_up_between_is_not_added_twice(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Store, "commit", after(Store, "commit"))
        with pytest.raises(RuntimeError, match="killed"):
            merge_shards(workers.gallery)
    workers.open().index([workers.pictures])  # the note of the commit goes with its version
    report = merge_shards(workers.gallery)
    assert (report.added, report.unchanged, report.total) == (0, PICTURES, PICTURES)


def lost(workers: Workers, number: int) -> None:
    """Take a shard away, as if its worker had never begun."""
    place = place_of(workers.gallery, Shard(number, SHARDS))
    place.rename(workers.folder / "lost")


def test_lost_shards_are_named_and_nothing_is_merged(workers: Workers) -> None:
    lost(workers, 3)
    records = read_records(workers.gallery)
    records[0].write(workers.gallery, "begun")
    place = place_of(workers.gallery, Shard(2, SHARDS))
    told = r"3 of 4 shards are missing: 1 \(begun and not finished\); 2 \(running now\); 3 \(never"
    with index_lock(place), pytest.raises(GalleryError, match=told):
        merge_shards(workers.gallery)
    assert len(workers.open()) == 0


def test_what_is_missing_may_follow(workers: Workers) -> None:
    lost(workers, 3)
    first = merge_shards(workers.gallery, allow_missing=True)
    assert (first.merged, first.missing) == ((1, 2, 4), {3: "never begun"})
    assert first.total == PICTURES - len(workers.paths_of(3))
    with pytest.raises(GalleryError, match="1 of 4 shards are missing: 3"):
        merge_shards(workers.gallery)

    workers.work(3)
    second = merge_shards(workers.gallery)

    assert (second.merged, second.merged_before) == ((3,), (1, 2, 4))
    assert second.added == len(workers.paths_of(3))
    assert rows_of(workers.open()) == rows_of(workers.ordinary)
    assert not (workers.gallery / SHARDS_NAME).exists()


def test_a_merged_shard_may_run_again_while_another_is_missing(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    workers.work_all(but=3)
    merge_shards(workers.gallery, allow_missing=True)
    scene(99).save(workers.paths_of(4)[0])

    assert workers.work(4).added == 1
    report = merge_shards(workers.gallery, allow_missing=True)

    assert (report.merged, report.replaced, report.merged_before) == ((4,), 1, (1, 2))


def test_shards_that_do_not_belong_together_are_refused(workers: Workers) -> None:
    """As where two workers of different plans began at the same moment."""
    record = read_records(workers.gallery)[1]
    bundle = replace(record.plan.bundle, name="other", fingerprint="other-1")
    odd = replace(record, plan=replace(record.plan, bundle=bundle))
    odd.write(workers.gallery, "complete")
    with pytest.raises(GalleryError, match=r"shard 1 of 4 .*the model colours .*not other"):
        merge_shards(workers.gallery)
    for other in read_records(workers.gallery):
        replace(other, plan=odd.plan).write(workers.gallery, "complete")
    with pytest.raises(GalleryError, match=r"are of other \(other-1\), and the gallery is of col"):
        merge_shards(workers.gallery)


def test_of_two_merges_one_is_refused(workers: Workers) -> None:
    with index_lock(workers.gallery), pytest.raises(GalleryBusyError):
        merge_shards(workers.gallery)


def test_without_shards_there_is_nothing_to_merge(tmp_path: Path) -> None:
    Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    with pytest.raises(GalleryError, match="--shard 1/4"):
        merge_shards(tmp_path / "gallery")


@pytest.fixture
def known(tmp_path: Path) -> Workers:
    """A gallery with metadata, made by one indexer; then things happen to its pictures."""
    made = Workers(tmp_path)
    sidecar = tmp_path / "prices.csv"
    sidecar.write_text(
        "file,price\n" + "".join(f"{p.name},{n}\n" for n, p in enumerate(made.paths))
    )
    Gallery.create_or_open(made.gallery, made.model).index([made.pictures], metadata=sidecar)
    return made


def merged(workers: Workers) -> tuple[int, MergeReport]:
    return workers.work_all(), merge_shards(workers.gallery)


def test_a_gallery_that_is_there_gets_what_is_new_or_changed(known: Workers) -> None:
    before = {row["path"]: row for row in rows_of(known.open())}
    scene(99).save(known.paths[0])
    scene(98).save(known.pictures / "new.png")
    known.broken.unlink()

    encoded, report = merged(known)

    assert (encoded, report.added, report.replaced, report.total) == (2, 1, 1, PICTURES + 1)
    now = {row["path"]: row for row in rows_of(known.open())}
    changed, new = str(known.paths[0]), str(known.pictures / "new.png")
    assert now[changed]["price"] == before[changed]["price"] == 0
    assert now[changed]["content_hash"] != before[changed]["content_hash"]
    assert now.pop(new)["price"] is None
    assert [p for p, row in now.items() if row != before[p]] == [changed]
    assert known.open().failures() == ()
    assert counts(known.open().index([known.pictures])) == (0, 0, PICTURES + 1, 0, PICTURES + 1)


def test_new_pictures_alone_are_taken_as_they_are(
    known: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene(98).save(known.pictures / "new.png")
    monkeypatch.setattr(fragments, "_written", None)  # linked, not written: never called
    assert merged(known)[1].added == 1
    prices = [row["price"] for row in rows_of(known.open())]
    assert sorted(price for price in prices if price is not None) == list(range(PICTURES))
    assert prices.count(None) == 1


def test_pictures_that_all_changed_are_all_replaced(known: Workers) -> None:
    for number, path in enumerate(known.paths):
        scene(200 + number).save(path)
    _, report = merged(known)
    assert (report.replaced, report.added, report.total) == (PICTURES, 0, PICTURES)
    prices = {row["path"]: row["price"] for row in rows_of(known.open())}
    assert prices == {str(path): number for number, path in enumerate(known.paths)}


def test_where_files_cannot_be_linked_they_are_copied(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_paths: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert merge_shards(workers.gallery).added == PICTURES
    assert rows_of(workers.open()) == rows_of(workers.ordinary)


def test_shards_of_many_commits_are_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their fragments have been compacted, or not, and bear the same numbers."""
    monkeypatch.setattr(writing, "ROWS_A_COMMIT", 1)
    workers = Workers(tmp_path)
    for number in (2, 3):
        workers.work(number, batch_size=1)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "compact", lambda *_self, **_named: None)
        workers.work(4, batch_size=1)
    places = [place_of(workers.gallery, Shard(number, SHARDS)) for number in (2, 3, 4)]
    numbers = [[one.id for one in Store(place, 4)._fragments()] for place in places]
    assert {0} < {*numbers[0], *numbers[1]} | {0} < {*numbers[2]}
    workers.work(1)

    assert merge_shards(workers.gallery).added == PICTURES
    assert rows_of(workers.open()) == rows_of(workers.ordinary)


class Wide(ColourModel):
    """Vectors wide enough for a vector index."""

    dimension = 16


@pytest.mark.parametrize("limit", [500, 700])
def test_the_vector_index_is_built_of_many_pictures(tmp_path: Path, limit: int) -> None:
    gallery = tmp_path / "gallery"
    Gallery.create_or_open(gallery, Wide())
    random = np.random.default_rng(0)
    for number in (1, 2):
        vectors = random.standard_normal((300, 16), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        made_up_shard(gallery, Wide(), Shard(number, 2), vectors)

    report = merge_shards(gallery, exact_limit=limit)

    assert report.total == 600
    assert Store(gallery, 16).has_index() == (limit == 500)
