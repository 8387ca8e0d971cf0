"""Index runs over pictures in an object store: fsspec's own, in the memory of this process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_store
from composir.data.remote_paths import RemotePath, as_path, root_path
from composir.errors import ComposirError, GalleryError, MissingExtraError, ObjectStoreError
from composir.gallery import Gallery, beside
from composir.gallery.shards import merge_shards, parse_shard
from composir.gallery.shards.shard_run import index_shard
from composir.images.remote_scan import changed_ns
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scene
from tests.unit.gallery.world import counts

ROOT = "memory://bucket/pictures"
COLOURS = ("red", "green", "blue", "yellow")


def content(seed: int) -> bytes:
    made = BytesIO()
    scene(seed).save(made, "PNG")
    return made.getvalue()


class Bucket:
    """Six pictures in a store, a gallery on the disk, and what was asked of the store."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.store = MemoryFileSystem()
        self.asked: list[str] = []
        self.failing: dict[str, Exception] = {}
        for number in range(6):
            self.put(f"{'ab'[number % 2]}/scene-{number}.png", content(number))
        self.model = ColourModel()
        self.gallery = Gallery.create_or_open(folder / "gallery", self.model)
        self._watch(patch, "ls")
        self._watch(patch, "cat_file")

    def _watch(self, patch: pytest.MonkeyPatch, name: str) -> None:
        asks = getattr(MemoryFileSystem, name)

        def watched(store: MemoryFileSystem, path: str, *rest: Any, **more: Any) -> Any:
            self.asked += [path] if name == "cat_file" else []
            for part, error in self.failing.items():
                if part in f"{name} {path}":
                    raise error
            return asks(store, path, *rest, **more)

        patch.setattr(MemoryFileSystem, name, watched)

    def put(self, name: str, data: bytes) -> None:
        self.store.pipe_file(f"/bucket/pictures/{name}", data)

    def index(self, root: str = ROOT, **options: Any) -> tuple[int, int, int, int, int]:
        self.asked.clear()
        self.model.encoded = 0
        return counts(self.gallery.index([Path(root)], **options))

    def paths(self) -> set[str]:
        ids, _ = self.gallery.vectors()
        return {str(image.path) for image in self.gallery.images(ids).values()}


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    yield Bucket(tmp_path, monkeypatch)
    monkeypatch.undo()
    MemoryFileSystem().rm("/bucket", recursive=True)
    object_store._opened.cache_clear()


def test_an_address_stays_one_as_a_path() -> None:
    path = as_path("s3://bucket/a/b c.jpg")

    assert str(path) == os.fspath(path) == "s3://bucket/a/b c.jpg"
    assert path.as_uri() == "s3://bucket/a/b%20c.jpg"
    assert (path.name, str(path.parent)) == ("b c.jpg", "s3://bucket/a")
    assert path == root_path(Path("s3://bucket/a//b c.jpg/")) == path.absolute() == path.resolve()
    assert str(path.relative_to(as_path("s3://bucket"))) == "a/b c.jpg"
    assert path.is_absolute()
    assert not path.exists()


def test_a_path_of_this_machine_is_none() -> None:
    assert not isinstance(as_path("/s3:/bucket/a.jpg"), RemotePath)
    assert root_path("photos") == Path.cwd() / "photos"


def test_pictures_of_a_store_are_indexed_and_found(bucket: Bucket) -> None:
    assert bucket.index() == (6, 0, 0, 0, 6)
    assert f"{ROOT}/b/scene-1.png" in bucket.paths()
    found = bucket.gallery.search(Query(text="red")).hits[0]
    assert str(found.path).startswith(f"{ROOT}/")
    assert not found.unreachable
    assert bucket.gallery.thumbnails([found.id])[found.id].startswith(b"\xff\xd8")


def test_the_gallery_knows_the_root_when_it_is_opened_again(bucket: Bucket) -> None:
    bucket.index()
    info = Gallery(bucket.gallery.path, bucket.model).info()

    assert [str(root) for root in info.roots] == [ROOT]
    assert counts(bucket.gallery.index(info.roots)) == (0, 0, 6, 0, 6)


def test_nothing_is_fetched_where_nothing_has_changed(bucket: Bucket) -> None:
    bucket.index()

    assert bucket.index() == (0, 0, 6, 0, 6)
    assert bucket.asked == []


def test_changed_moved_and_deleted_pictures(bucket: Bucket) -> None:
    bucket.index()
    bucket.put("a/scene-0.png", content(10))
    bucket.store.mv("/bucket/pictures/a/scene-2.png", "/bucket/pictures/c/other.png")
    bucket.store.rm("/bucket/pictures/a/scene-4.png")

    assert bucket.index() == (1, 1, 3, 1, 5)
    assert bucket.model.encoded == 1
    assert len(bucket.asked) == 2


def test_what_is_no_picture_and_what_is_excluded_stays_out(bucket: Bucket) -> None:
    bucket.put("notes.txt", b"words")
    bucket.put(".hidden/scene.png", content(7))
    bucket.put("empty.png", b"")
    bucket.put("broken.png", b"no picture")
    report = bucket.gallery.index([Path(ROOT)], exclude=["b"])

    assert counts(report) == (3, 0, 0, 0, 3)
    assert report.other_kinds == {".txt": 1}
    reasons = {str(one.path): one.reason for one in report.failures}
    assert set(reasons) == {f"{ROOT}/empty.png", f"{ROOT}/broken.png"}
    assert bucket.index() == (0, 0, 3, 0, 3)  # the pattern is remembered, failures are as well
    assert bucket.asked == []


def test_a_single_picture_and_folders_that_overlap(bucket: Bucket) -> None:
    roots = [Path(f"{ROOT}/a/scene-0.png"), Path(f"{ROOT}/a"), Path(ROOT)]

    assert counts(bucket.gallery.index(roots)) == (6, 0, 0, 0, 6)
    assert counts(bucket.gallery.index(roots[::-1])) == (0, 0, 6, 0, 6)


@pytest.mark.parametrize(("name", "told"), [("x/../7.png", "x/'..'"), ("/7.png", "''")])
def test_a_name_that_no_path_can_hold_is_told(bucket: Bucket, name: str, told: str) -> None:
    bucket.put(name, content(7))
    bucket.index()
    bucket.store.rm("/bucket/pictures/a/scene-0.png")
    report = bucket.gallery.index([Path(ROOT)])

    assert counts(report) == (0, 0, 5, 1, 5)  # what is deleted leaves all the same
    assert [(str(one.path), one.reason) for one in report.failures] == [
        (f"{ROOT}/{told}", "a name with an empty part, `.` or `..`")
    ]


@pytest.mark.parametrize("name", ["what?.png", "50%20off#1.png", "naïve 你.png"])
def test_names_with_signs_of_addresses(bucket: Bucket, name: str) -> None:
    bucket.put(name, content(7))

    assert bucket.index() == (7, 0, 0, 0, 7)
    assert f"{ROOT}/{name}" in bucket.paths()


def test_a_folder_of_this_machine_beside_a_store(bucket: Bucket, tmp_path: Path) -> None:
    plain(tmp_path / "disk" / "red.png", "red")
    bucket.index()

    assert counts(bucket.gallery.index([tmp_path / "disk"])) == (1, 0, 0, 0, 7)
    assert counts(bucket.gallery.index([Path(ROOT), tmp_path / "disk"])) == (0, 0, 7, 0, 7)


def test_a_copy_on_the_disk_is_no_move_out_of_the_store(bucket: Bucket, tmp_path: Path) -> None:
    bucket.index()
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "copy.png").write_bytes(content(0))

    assert counts(bucket.gallery.index([tmp_path / "disk"])) == (0, 1, 0, 0, 7)


def test_metadata_are_given_by_the_path_below_the_root(bucket: Bucket, tmp_path: Path) -> None:
    table = tmp_path / "facts.csv"
    table.write_text("file,colour\na/scene-0.png,red\nscene-1.png,blue\n")
    report = bucket.gallery.index([Path(ROOT)], metadata=table)

    assert report.unmatched == ("scene-1.png",)
    assert bucket.gallery.search(Query(text="red"), where="colour = 'red'").searched == 1


def test_a_bucket_that_vanished_takes_nothing_along(bucket: Bucket) -> None:
    bucket.index()
    kept = bucket.paths()
    bucket.store.mv("/bucket", "/elsewhere", recursive=True)
    with pytest.raises(ObjectStoreError, match="nothing is there; what is indexed stays"):
        bucket.index()
    assert bucket.paths() == kept
    bucket.store.mv("/elsewhere", "/bucket", recursive=True)

    assert bucket.index()[-1] == 6


def test_an_emptied_folder_is_not_taken_for_emptied(bucket: Bucket) -> None:
    bucket.index()
    for number in range(6):
        bucket.store.rm(f"/bucket/pictures/{'ab'[number % 2]}/scene-{number}.png")
    bucket.store.makedirs("/bucket/pictures/a", exist_ok=True)
    with pytest.raises(GalleryError, match="composir forget memory://bucket/pictures"):
        bucket.index()

    assert len(bucket.gallery) == 6
    assert bucket.gallery.forget([Path(ROOT)]).images == 6


@pytest.mark.parametrize("folder", ["ls /bucket/pictures", "ls /bucket/pictures/b"])
def test_a_listing_that_fails_drops_nothing(bucket: Bucket, folder: str) -> None:
    bucket.index()
    bucket.failing[folder] = PermissionError("The provided token has expired.")
    with pytest.raises(ObjectStoreError, match="token has expired"):
        bucket.index()
    assert len(bucket.gallery) == 6
    bucket.failing.clear()

    assert bucket.index() == (0, 0, 6, 0, 6)


def test_a_connection_that_is_lost_half_way(bucket: Bucket) -> None:
    bucket.index(f"{ROOT}/a")
    bucket.failing["cat_file /bucket/pictures/b/scene-5"] = ConnectionError("reset by peer")
    listed = object_store.list_folder

    def lost(*_: Any, **__: Any) -> dict[str, Any]:
        raise TimeoutError("no answer")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "info", lost)
        with pytest.raises(ObjectStoreError, match="reset by peer") as told:
            bucket.index(f"{ROOT}/b")
    assert told.value.code == "object-store"
    assert listed(RemotePath(ROOT))
    assert 3 <= len(bucket.gallery) <= 5
    bucket.failing.clear()
    bucket.index(f"{ROOT}/b")

    assert len(bucket.gallery) == 6


def test_one_picture_that_is_refused_is_its_own_failure(bucket: Bucket) -> None:
    bucket.failing["cat_file /bucket/pictures/b/scene-5"] = PermissionError("archived")
    report = bucket.gallery.index([Path(ROOT)])

    assert counts(report) == (5, 0, 0, 0, 5)
    assert [one.reason for one in report.failures] == ["cannot be read: archived (PermissionError)"]
    bucket.failing.clear()
    assert bucket.index() == (1, 0, 5, 0, 6)


def test_a_picture_that_changes_while_it_is_fetched_is_read_next_time(bucket: Bucket) -> None:
    asks = MemoryFileSystem.cat_file

    def changed(store: MemoryFileSystem, path: str, *rest: Any, **more: Any) -> Any:
        data = asks(store, path, *rest, **more)
        return data[:-1] if path.endswith("scene-3.png") else data

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "cat_file", changed)
        report = bucket.gallery.index([Path(ROOT)])
    assert [one.reason for one in report.failures] == [
        "cannot be read: it was changed while it was read"
    ]
    assert bucket.index() == (1, 0, 5, 0, 6)


def test_messages_hold_no_secret(bucket: Bucket) -> None:
    words = "https://me:hush@host/x?sig=hush at AWS_SECRET=hush refused\nmore hush"
    bucket.failing["ls /bucket/pictures"] = RuntimeError(words)
    with pytest.raises(ObjectStoreError, match="refused") as told:
        bucket.index()

    assert "hush" not in str(told.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://key:hush@bucket/pictures",
        "s3://key:hu/sh@bucket/pictures",
        "abfs://box/pictures?sig=hush",
        "simplecache::s3://bucket/hush",
        "s3://bucket/a::hush",
    ],
)
def test_addresses_with_secrets_are_refused(bucket: Bucket, address: str) -> None:
    if address.startswith("simplecache"):
        assert not isinstance(as_path(address), RemotePath)
        return
    with pytest.raises(ObjectStoreError, match="credentials come from") as told:
        bucket.index(address)

    assert "hu" not in str(told.value).replace("what", "")
    assert "hush" not in (bucket.gallery.path / "composir-gallery.json").read_text()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("file:///tmp", "index a folder by its path"),
        ("https://example.com/photos", "the web lists no folders"),
        ("nonsense://bucket/photos", "nonsense"),
    ],
)
def test_addresses_of_no_store(bucket: Bucket, address: str, why: str) -> None:
    with pytest.raises(ObjectStoreError, match=why):
        bucket.index(address)


@pytest.mark.parametrize(
    ("address", "package"), [("s3://b/photos", "s3fs"), ("memory://b", "fsspec")]
)
def test_a_missing_extra_is_named(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, address: str, package: str
) -> None:
    object_store._opened.cache_clear()
    blocked = {"s3fs": ("s3fs",), "fsspec": ("fsspec", "fsspec.core")}[package]
    for name in blocked:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"{package} is not .*composir\[remote\]"):
        bucket.index(address)


def test_another_model_beside_is_refused_before_anything_is_done(bucket: Bucket) -> None:
    bucket.index()
    with pytest.raises(GalleryError, match="in an object store"):
        beside.switch_model(bucket.gallery.path, ColourModel("colours-2"))


def test_a_gallery_lies_on_this_machine() -> None:
    with pytest.raises(GalleryError, match="this machine's copy"):
        Gallery.create_or_open(RemotePath("s3://bucket/gallery"), ColourModel())


def test_shards_share_a_store_out(bucket: Bucket) -> None:
    for number in (1, 2):
        shard = parse_shard(f"{number}/2")
        index_shard(bucket.gallery.path, bucket.model, [Path(ROOT)], shard)
    merge_shards(bucket.gallery.path)

    assert bucket.index() == (0, 0, 6, 0, 6)
    assert bucket.asked == []


def test_what_a_store_tells_makes_a_mark() -> None:
    moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
    plain_time = changed_ns({"LastModified": moment})

    assert (
        plain_time
        == changed_ns({"updated": "2024-05-01T12:00:00Z"})
        == changed_ns({"mtime": moment.timestamp()})
    )
    marked = {changed_ns({"LastModified": moment, "ETag": tag}) for tag in ('"a"', '"b"')}
    assert len(marked) == 2
    assert {one // 10**9 for one in marked} == {plain_time // 10**9}
    assert changed_ns({}) == 0
    assert changed_ns({"modified": "yesterday"}) != changed_ns({"modified": "today"})


def test_fsspec_is_imported_for_an_address_alone(tmp_path: Path) -> None:
    plain(tmp_path / "pictures" / "red.png", "red")
    code = (
        "import sys\nfrom pathlib import Path\nfrom composir.gallery import Gallery\n"
        "from composir.types import Query\nfrom tests.fakes import ColourModel\n"
        f"gallery = Gallery.create_or_open(Path({str(tmp_path / 'gallery')!r}), ColourModel())\n"
        f"gallery.index([Path({str(tmp_path / 'pictures')!r})])\n"
        "gallery.search(Query(text='red'))\n"
        "sys.exit('fsspec' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])


def test_errors_of_stores_are_errors_of_galleries() -> None:
    assert issubclass(ObjectStoreError, GalleryError)
    assert issubclass(ObjectStoreError, ComposirError)
    assert ObjectStoreError.exit_code == 2
