"""Shards: who reads what, what a worker leaves behind, and what it is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from composir.errors import BundleMismatchError, GalleryBusyError, GalleryError
from composir.gallery import writer as writing
from composir.gallery.shards import Shard, merge_shards, parse_shard
from composir.gallery.shards.shard import place_of, read_record, read_records
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock
from composir.types import FloatArray, PixelArray
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scene
from tests.unit.gallery.shards import PICTURES, SHARDS, Workers


@pytest.fixture
def workers(tmp_path: Path) -> Workers:
    return Workers(tmp_path)


def test_every_file_belongs_to_one_shard_wherever_its_root_lies() -> None:
    names = [f"{n % 7}/picture {n}.jpg" for n in range(2000)]
    owners = [
        {s for s in range(1, 9) if Shard(s, 8).takes(f"{root}/{name}", root)}
        for name in names
        for root in ("/photos", "/mnt/disk 2/photos")
    ]
    assert all(len(owner) == 1 for owner in owners)
    assert owners[::2] == owners[1::2]
    counts = Counter(owner.pop() for owner in owners[::2])
    assert min(counts.values()) > 150  # of 250; the same on every machine


def test_the_hash_is_the_same_for_ever() -> None:
    """Another one would give files of half-done shards to other workers."""
    found = [
        next(s for s in range(1, 65) if Shard(s, 64).takes(f"/r/{name}", "/r"))
        for name in ("a.jpg", "b/c.png", "é.webp")
    ]
    assert found == [10, 47, 4]  # blake2b of the names, worked out by hand
    assert Shard(found[0], 64).takes("/r/a.jpg", "/r/a.jpg")  # a root may be a file


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/513", "a/b", "1/4/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(GalleryError, match="K/N"):
        parse_shard(text)


def test_a_shard_is_read() -> None:
    assert parse_shard("3/64") == Shard(3, 64)
    assert str(Shard(3, 64)) == "shard 3 of 64"


def test_together_they_encode_each_picture_once_and_the_gallery_is_left_alone(
    workers: Workers,
) -> None:
    assert workers.work_all() == PICTURES
    assert len(workers.open()) == 0
    assert [one.state for one in read_records(workers.gallery)] == ["complete"] * SHARDS


def test_a_shard_run_twice_changes_nothing(workers: Workers) -> None:
    first = workers.work(2)
    place = place_of(workers.gallery, Shard(2, SHARDS))
    before = Store(place, 4).identity

    again = workers.work(2)

    assert (again.added, again.unchanged, again.total) == (0, first.added, first.total)
    assert workers.model.encoded == 0
    assert Store(place, 4).identity == before


def test_the_broken_file_is_listed_by_its_shard_alone_and_not_read_again(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {n: [f.path for f in workers.work(n).failures] for n in range(1, SHARDS + 1)}
    (owner,) = [number for number, paths in told.items() if paths]
    assert told[owner] == [workers.broken]

    monkeypatch.setattr("composir.gallery.reader.read_regular", _refuse)
    assert [f.path for f in workers.work(owner).failures] == [workers.broken]


def _refuse(path: Path, *, limit: int) -> bytes:
    raise AssertionError(f"read {path}, at most {limit} bytes")


def test_a_killed_worker_goes_on_and_loses_one_batch_at_most(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_A_COMMIT", 4)
    stored: list[int] = []
    append = Store.append

    def die(self: Store, table: object) -> None:
        if stored:
            raise RuntimeError("killed")
        append(self, table)
        stored.append(len(self))

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", die)
        with pytest.raises(RuntimeError, match="killed"):
            workers.work(1, of=1, batch_size=2)
    record = read_record(workers.gallery, Shard(1, 1))
    assert record is not None
    assert record.state == "begun"

    again = workers.work(1, of=1)

    assert (again.added, again.unchanged) == (PICTURES - stored[0], stored[0])
    assert workers.model.encoded == PICTURES - stored[0]
    assert merge_shards(workers.gallery).added == PICTURES


def test_what_is_deleted_or_changed_before_the_merge_is_noticed(workers: Workers) -> None:
    workers.work(1, of=1)
    workers.paths[0].unlink()
    scene(77).save(workers.paths[1])

    again = workers.work(1, of=1)

    assert (again.added, again.dropped, again.total) == (1, 1, PICTURES - 1)
    assert merge_shards(workers.gallery).total == PICTURES - 1


def test_one_that_is_merged_has_nothing_left_to_do(workers: Workers) -> None:
    workers.work_all()
    merge_shards(workers.gallery)

    again = workers.work(3)

    assert (again.added, workers.model.encoded) == (0, 0)
    assert again.unchanged == len(workers.paths_of(3))


def test_there_may_be_more_shards_than_files(tmp_path: Path) -> None:
    workers = Workers(tmp_path)
    root = tmp_path / "single"
    plain(root / "red.png", "red")
    reports = [workers.work(n, of=3, roots=[root]) for n in (1, 2, 3)]
    assert sorted(report.total for report in reports) == [0, 0, 1]
    assert merge_shards(workers.gallery).total == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"of": 5}, "5 shards, not 4"),
        ({"roots": ["more"]}, "the folders"),
        ({"exclude": ("more",)}, "the patterns more, not none"),
    ],
)
def test_a_shard_of_another_plan_is_refused_with_what_differs(
    workers: Workers, change: dict[str, object], told: str
) -> None:
    workers.work(1)
    if "roots" in change:
        change = {"roots": [workers.pictures / "more"]}
    with pytest.raises(GalleryError, match=f"shard 2 of . does not go with .*{told}"):
        workers.work(2, **change)  # type: ignore[arg-type]
    assert [one.number for one in read_records(workers.gallery)] == [1]


def test_a_shard_of_another_model_is_refused(workers: Workers) -> None:
    workers.work(1)
    with pytest.raises(BundleMismatchError, match="colours"):
        workers.work(2, model=ColourModel("colours-2"))


def test_one_that_finds_no_picture_binds_nobody(workers: Workers, tmp_path: Path) -> None:
    empty = tmp_path / "wrong"
    empty.mkdir()
    with pytest.raises(GalleryError, match="no pictures found"):
        workers.work(1, roots=[empty])
    assert workers.work(1).total == len(workers.paths_of(1))


def test_the_same_shard_runs_once_at_a_time(workers: Workers) -> None:
    workers.work(1)
    with index_lock(place_of(workers.gallery, Shard(1, SHARDS))), pytest.raises(GalleryBusyError):
        workers.work(1)


def test_a_failing_model_keeps_what_was_encoded(workers: Workers) -> None:
    class Failing(ColourModel):
        def encode_pixels(self, pixels: PixelArray) -> FloatArray:
            if self.encoded >= 8:
                raise MemoryError
            return super().encode_pixels(pixels)

    with pytest.raises(Exception, match="failed on a batch"):
        workers.work(1, of=1, model=Failing(), batch_size=4)
    again = workers.work(1, of=1)
    assert (again.added, again.unchanged) == (PICTURES - 8, 8)


def test_damaged_records_are_told(workers: Workers) -> None:
    workers.work(1)
    record = place_of(workers.gallery, Shard(1, SHARDS)) / "composir-shard.json"
    record.write_text("{}")
    with pytest.raises(GalleryError, match="run the shard again"):
        merge_shards(workers.gallery)
    record.parent.replace(record.parent.with_name("2-of-4"))
    with pytest.raises(GalleryError, match=r"composir-shard\.json"):
        workers.work(3)
