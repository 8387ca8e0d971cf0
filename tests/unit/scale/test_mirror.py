"""Copies of galleries in an object store: what is sent, when it counts, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_writes
from composir.data.remote_paths import RemotePath
from composir.errors import (
    ComposirError,
    GalleryBusyError,
    GalleryDamagedError,
    GalleryError,
    ObjectStoreError,
)
from composir.gallery import Gallery, open_gallery
from composir.gallery.mirror_note import mirror_note
from composir.gallery.store import Store
from composir.scale.mirror import Told, changed, copy_folder, fetched, local_files
from composir.scale.mirror import copy as copies
from composir.scale.mirror.local_files import published_files
from composir.scale.mirror.published import (
    PUBLISHED_NAME,
    Published,
    PublishedFile,
    published_file,
    read_published,
)
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain

G = RemotePath("memory://bucket/g")
COLOURS = ("red", "green", "blue", "yellow", "black", "white")


class World:
    """Pictures, a store, and machines that work on one gallery."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.model = ColourModel()
        self.remarks: list[str] = []
        self.fetched: list[int] = []
        self.told = Told(self._reported, self.remarks.append)
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        self.at("a")

    def _reported(self, stage: str, done: int, total: int) -> None:
        if stage == "fetching" and done == total:
            self.fetched.append(total)

    def at(self, name: str) -> None:
        """Go to another machine."""
        self._patch.setenv("COMPOSIR_HOME", str(self.folder / name))
        self._patch.setattr("socket.gethostname", lambda: name)

    def add(self, *colours: str) -> None:
        """More pictures."""
        for colour in colours:
            plain(self.pictures / f"{colour}.png", colour)

    def index(self) -> None:
        """An index run of this machine."""
        with changed(G, self.told) as copy:
            Gallery.create_or_open(copy.folder, self.model).index([self.pictures])

    def held(self) -> set[str]:
        """What this machine finds."""
        return stems(fetched(G, self.told))

    @property
    def published(self) -> Published:
        """The newest edition."""
        found = read_published(G)
        assert found is not None
        return found


def stems(folder: Path) -> set[str]:
    """Names of the pictures of a gallery."""
    store = Store(folder, open_gallery(folder).info().dimension)
    return {path.stem for path, _ in store.stream_rows([])}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    made.add("red", "green")
    yield made
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def objects() -> set[str]:
    return {name.removeprefix("/bucket/g/") for name in MemoryFileSystem.store}


def rewrite(record: Published, **changes: Any) -> None:
    replace(record, **changes).write(G)


def test_only_what_is_missing_is_fetched(world: World) -> None:
    world.index()
    world.at("b")
    assert world.held() == {"red", "green"}
    assert world.held() == {"red", "green"}
    assert world.fetched == [len(world.published.files)]

    copy_folder(G).joinpath(world.published.files[0].path).unlink()
    (copy_folder(G) / "composir-mirror.json").unlink()
    world.held()
    assert world.fetched[1:] == [1]


def test_every_object_of_the_newest_two_editions_is_there_and_no_other(world: World) -> None:
    for colour in COLOURS:
        world.add(colour)
        world.index()
    newest = world.published
    assert newest.dropped
    assert objects() == newest.objects | set(newest.dropped) | {PUBLISHED_NAME}


def test_a_run_without_changes_publishes_nothing(world: World) -> None:
    world.index()
    with changed(G, world.told):
        pass
    before = world.published
    with changed(G, world.told):
        pass
    assert world.published == before


def test_an_edition_counts_once_its_record_is_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that dies while it sends leaves the edition before as it was."""
    world.index()
    world.add("blue")
    sent = object_writes.upload

    def dies(local: Path, address: RemotePath) -> None:
        if "data" in str(address):
            sent(local, address)
        else:
            raise ObjectStoreError("away")

    monkeypatch.setattr(copies, "upload", dies)
    with pytest.raises(ObjectStoreError):
        world.index()
    world.at("b")
    assert world.held() == {"red", "green"}

    monkeypatch.setattr(copies, "upload", sent)
    world.at("a")
    assert world.held() == {"red", "green", "blue"}  # its own, which is not published yet
    assert "stopped before all was published" in world.remarks[-1]
    world.index()
    world.at("b")
    assert world.held() == {"red", "green", "blue"}


def test_an_interrupted_run_publishes_what_it_has_done(world: World) -> None:
    world.index()
    with pytest.raises(KeyboardInterrupt), changed(G, world.told) as copy:  # noqa: PT012
        world.add("blue")
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        raise KeyboardInterrupt
    world.at("b")
    assert world.held() == {"red", "green", "blue"}


def test_work_that_another_machine_has_overtaken_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    away = monkeypatch.context()
    with away as patch:
        patch.setattr(copies, "upload", lambda *_: pytest.fail("nothing may be sent"))
        patch.setattr(copies.Copy, "publish", _no_store)
        world.add("blue")
        with pytest.raises(ObjectStoreError):
            world.index()
    world.at("b")
    world.add("yellow")
    world.index()
    world.at("a")
    with pytest.raises(GalleryError, match=r"another machine has changed .* move that\s+folder"):
        world.index()
    assert "blue" in stems(copy_folder(G))


def _no_store(*_: Any, **__: Any) -> None:
    raise ObjectStoreError("away")


def test_who_is_overtaken_in_spite_of_its_mark_overwrites_nothing(world: World) -> None:
    world.index()
    other = Published("another", ())
    with pytest.raises(GalleryError, match="another machine has published"):  # noqa: PT012, SIM117
        with changed(G, world.told) as copy:
            other.write(G)
            world.add("blue")
            Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
    assert world.published == other


def test_a_process_of_this_machine_takes_its_own_mark_over(world: World) -> None:
    with changed(G, world.told):
        mark = MemoryFileSystem.store["/bucket/g/composir-writer.json"].getvalue()
    MemoryFileSystem().pipe_file(f"{G}/composir-writer.json", mark)
    world.index()
    MemoryFileSystem().pipe_file(f"{G}/composir-writer.json", mark)
    world.at("b")
    with pytest.raises(GalleryBusyError, match="on a "):
        world.index()


def test_two_processes_of_a_machine_do_not_change_it_at_once(world: World) -> None:
    with (
        changed(G, world.told),
        pytest.raises(GalleryBusyError, match="of this machine"),
        changed(G, world.told),
    ):
        pass


def test_a_search_goes_on_while_a_run_of_this_machine_changes_it(world: World) -> None:
    world.index()
    with changed(G, world.told) as copy:
        world.add("blue")
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        assert world.held() == {"red", "green", "blue"}


def test_a_run_publishes_now_and_then_what_is_whole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "SECONDS_BETWEEN_EDITIONS", 0.0)
    with changed(G, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        begun = copy.folder / "images.lance" / "data" / "half-written.lance"
        begun.write_bytes(b"h")
        copy.publish_if_due()
        assert "images.lance/data/half-written.lance" not in world.published.objects
        assert len(world.published.files) == len(published_files(copy.folder)) - 1
        world.at("b")
        assert world.held() == {"red", "green"}
        begun.unlink()
        world.at("a")


def test_a_store_that_is_away_for_a_while_stops_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "SECONDS_BETWEEN_EDITIONS", 0.0)
    with changed(G, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        with monkeypatch.context() as patch:
            patch.setattr(copies, "upload", _no_store)
            copy.publish_if_due()
    assert "not published yet" in world.remarks[0]
    assert len(world.published.files) > 2


def test_who_fetches_an_edition_that_has_gone_gets_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    old = world.published
    for colour in ("blue", "yellow"):
        world.add(colour)
        world.index()
    records = iter([old, world.published])
    monkeypatch.setattr(copies, "read_published", lambda _: next(records))
    world.at("b")
    assert world.held() == {"red", "green", "blue", "yellow"}


def test_what_is_missing_in_the_store_is_said(world: World) -> None:
    world.index()
    lost = next(name for name in world.published.objects if "/data/" in name)
    MemoryFileSystem().rm_file(f"{G}/{lost}")
    world.at("b")
    with pytest.raises(GalleryError, match="missing in the store"):
        world.held()


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../b", "a//b", "C:/x", "a\\b", ""])
def test_a_record_leads_nowhere_else(world: World, name: str) -> None:
    world.index()
    whole, file = world.published, PublishedFile("fine", 1, "images.lance/x")
    for one in (replace(file, path=name), replace(file, object=name)):
        rewrite(whole, files=(one,))
        with pytest.raises(GalleryError, match="outside of its gallery"):
            fetched(G, world.told)
    rewrite(whole, files=(), dropped=(name,))
    with pytest.raises(GalleryError, match="outside of its gallery"):
        fetched(G, world.told)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "composir-published.json"),
        (b"\xff", "UTF-8"),
        (b"[]", "is not the record of a published gallery"),
        (b'{"schema_version": 2}', "newer composir"),
        (
            b'{"kind": "x", "schema_version": 1, "edition": "e", "files": []}',
            "'composir-published'",
        ),
    ],
)
def test_a_damaged_record_is_said(world: World, content: bytes, told: str) -> None:
    MemoryFileSystem().pipe_file(f"{G}/{PUBLISHED_NAME}", content)
    with pytest.raises(GalleryError, match=told):
        fetched(G, world.told)


def test_links_in_a_copy_are_not_followed(world: World, tmp_path: Path) -> None:
    world.index()
    world.at("b")
    (tmp_path / "elsewhere").mkdir()
    copy_folder(G).mkdir(parents=True)
    (copy_folder(G) / "images.lance").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="link"):
        world.held()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_gallery_that_left_the_store_leaves_its_copies(world: World) -> None:
    world.index()
    world.at("b")
    world.held()
    MemoryFileSystem().rm(str(G), recursive=True)
    folder = fetched(G, world.told)
    assert mirror_note(folder) is None
    with pytest.raises(GalleryError):
        open_gallery(folder)


def test_a_new_gallery_in_the_place_of_an_old_one_is_not_mixed_with_it(world: World) -> None:
    """Its versions have the numbers of the old one's."""
    world.index()
    world.at("b")
    assert world.held() == {"red", "green"}
    MemoryFileSystem().rm(str(G), recursive=True)
    world.at("c")
    for path in world.pictures.iterdir():
        path.unlink()
    world.add("blue", "white")
    world.index()
    world.at("b")
    assert world.held() == {"blue", "white"}


def test_files_that_change_have_other_names_and_small_ones_none(world: World) -> None:
    world.index()
    by_path = {file.path: file for file in world.published.files}
    manifest = by_path["composir-gallery.json"]
    assert manifest.text is not None
    assert json.loads(manifest.text)["bundle"]["name"] == world.model.name
    version = next(file for path, file in by_path.items() if "_versions" in path)
    assert version.object.startswith(f"{version.path}.")
    data = next(file for path, file in by_path.items() if "/data/" in path)
    assert data.object == data.path


def test_a_full_disk_is_no_fault_of_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    world.at("b")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MemoryFileSystem, "get_file", full)
    with pytest.raises(GalleryError, match=r"(?i)space|full") as raised:
        world.held()
    assert not isinstance(raised.value, ObjectStoreError | GalleryDamagedError)


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_who_is_killed_when_the_record_is_written_knows_its_own_edition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    world.add("blue")
    write = Published.write

    def written(edition: Published, address: RemotePath) -> None:
        write(edition, address)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Published, "write", written)
        patch.setattr(copies.Copy, "_settle", killed)
        with pytest.raises(KeyboardInterrupt):
            world.index()
    world.add("yellow")
    world.index()
    world.at("b")
    assert world.held() == {"red", "green", "blue", "yellow"}


def test_a_record_that_was_written_without_an_answer_is_gone_on_from(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, answers = Published.write, iter([ObjectStoreError("no answer")])

    def unanswered(edition: Published, address: RemotePath) -> None:
        write(edition, address)
        for error in answers:
            raise error

    monkeypatch.setattr(copies, "SECONDS_BETWEEN_EDITIONS", 0.0)
    monkeypatch.setattr(Published, "write", unanswered)
    with changed(G, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        copy.publish_if_due()
        world.add("blue")
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
    assert "no answer" in world.remarks[0]
    world.at("b")
    assert world.held() == {"red", "green", "blue"}


def test_nothing_that_a_killed_run_has_sent_outlasts_forgetting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Published, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            world.index()
    sent = objects()
    assert any("/data/" in name for name in sent)
    other = f"{G}/images/red.png"
    MemoryFileSystem().pipe_file(other, b"somebody's")
    world.add("blue")
    world.index()

    with changed(G, world.told, purge=True) as copy:
        open_gallery(copy.folder, world.model).forget([world.pictures / "red.png"])

    assert objects() == world.published.objects | {PUBLISHED_NAME, "images/red.png"}


@pytest.mark.parametrize("odd", ["a\\b", "a:b", "\udc80"])
def test_files_that_no_record_may_name_are_not_published(world: World, odd: str) -> None:
    with changed(G, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        (copy.folder / odd).write_text("somebody's")
    world.at("b")
    assert world.held() == {"red", "green"}


@pytest.mark.parametrize("changes", [{"path": "\ud800"}, {"text": "\ud800"}, {"text": "ä"}])
def test_a_record_holds_nothing_that_no_disk_can_hold(
    world: World, changes: dict[str, Any]
) -> None:
    world.index()
    file = replace(PublishedFile("fine", 1, text="x"), **changes)
    rewrite(world.published, files=(file,), edition="next")
    with pytest.raises(GalleryError, match=PUBLISHED_NAME):
        fetched(G, world.told)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 99999])
def test_a_mark_that_is_none_says_what_to_do(world: World, content: bytes) -> None:
    MemoryFileSystem().pipe_file(f"{G}/composir-writer.json", content)
    with pytest.raises(ComposirError, match=r"not .*(a writer's mark; delete it|composir's)"):
        world.index()


def test_a_huge_object_in_the_place_of_a_record_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.scale.mirror.published.JSON_LIMIT", 1000)
    MemoryFileSystem().pipe_file(f"{G}/{PUBLISHED_NAME}", b" " * 1001)
    with pytest.raises(ObjectStoreError, match=r"longer than 1,000 bytes"):
        fetched(G, world.told)


def test_an_address_may_be_longer_than_names_of_files(world: World) -> None:
    first, second = (RemotePath(f"memory://bucket/{'日' * 900}{last}") for last in "ab")
    with changed(first, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
    assert stems(fetched(first, world.told)) == {"red", "green"}
    assert copy_folder(first) != copy_folder(second)


def test_a_shard_that_begins_in_a_copy_stays_when_that_is_fetched(world: World) -> None:
    world.index()
    world.at("b")
    table = copy_folder(G) / "shards" / "1-of-2" / "images.lance"
    table.mkdir(parents=True)
    world.held()
    assert table.is_dir()


def test_large_files_are_known_by_all_of_their_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "index.sqlite").write_bytes(content)
    first = published_file(tmp_path, "index.sqlite")
    (tmp_path / "index.sqlite").write_bytes(content[:-1] + b"x")
    assert first.size == len(content)
    assert published_file(tmp_path, "index.sqlite").object != first.object


def test_editions_that_take_long_are_made_seldom(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 100.0, 150.0, 200.0, 1001.0, 1001.0])
    monkeypatch.setattr(copies, "SECONDS_BETWEEN_EDITIONS", 60.0)
    made: list[bool] = []
    with changed(G, world.told) as copy:
        monkeypatch.setattr(copy, "publish", lambda **_: made.append(True))
        monkeypatch.setattr("time.monotonic", lambda: next(now))
        copy._next_edition = 0.0
        copy.publish_if_due()  # from 0 to 100
        copy.publish_if_due()  # at 150
        copy.publish_if_due()  # at 200
        assert made == [True]
        copy.publish_if_due()
        assert made == [True, True]
        monkeypatch.undo()


def test_a_note_that_is_none_says_what_to_do(world: World) -> None:
    world.index()
    (copy_folder(G) / "composir-mirror.json").write_text("{")
    with pytest.raises(GalleryError, match="delete its folder, and it is fetched again"):
        fetched(G, world.told)


def test_an_empty_mark_is_told_where_stores_give_no_part_of_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = MemoryFileSystem.cat_file

    def ranged(store: MemoryFileSystem, path: str, **part: int) -> bytes:
        content: bytes = whole(store, path, **part)
        if part and not content:
            raise OSError(22, "The requested range is not satisfiable")
        return content

    monkeypatch.setattr(MemoryFileSystem, "cat_file", ranged)
    MemoryFileSystem().pipe_file(f"{G}/composir-writer.json", b"")
    with pytest.raises(GalleryError, match="delete it"):
        world.index()


def test_files_that_are_renamed_while_they_are_listed_stop_no_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    before = published_files(copy_folder(G))
    there = local_files._paths
    renamed = ["images.lance/_transactions/1.txn#1", "images.lance/data/1.lance#1", "a.json#1"]
    monkeypatch.setattr(local_files, "_paths", lambda folder: [*there(folder), *renamed])
    assert published_files(copy_folder(G), still_written=True) == before


def test_what_is_written_while_it_is_sent_is_part_of_no_edition(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "SECONDS_BETWEEN_EDITIONS", 0.0)
    sent = object_writes.upload

    def written(local: Path, address: RemotePath) -> None:
        if local.name == "failures.jsonl":
            local.write_bytes(b"y" * 70_000)
        sent(local, address)

    with changed(G, world.told) as copy:
        Gallery.create_or_open(copy.folder, world.model).index([world.pictures])
        (copy.folder / "failures.jsonl").write_bytes(b"x" * 70_000)
        with monkeypatch.context() as patch:
            patch.setattr(copies, "upload", written)
            copy.publish_if_due()
        assert read_published(G) is None
    world.at("b")
    fetched(G, world.told)
    assert (copy_folder(G) / "failures.jsonl").read_bytes() == b"y" * 70_000


def test_what_somebody_else_writes_at_the_end_is_not_taken_for_published(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.index()
    before, sent = world.published, object_writes.upload

    def written(local: Path, address: RemotePath) -> None:
        if local.name == "failures.jsonl":
            local.write_bytes(b"y" * 70_000)
        sent(local, address)

    with (  # noqa: PT012
        monkeypatch.context() as patch,
        pytest.raises(GalleryError, match="changed while they were published"),
        changed(G, world.told) as copy,
    ):
        patch.setattr(copies, "upload", written)
        (copy.folder / "failures.jsonl").write_bytes(b"x" * 70_000)
    assert world.published == before
    with changed(G):
        pass
    assert world.published != before
    world.at("b")
    assert (fetched(G) / "failures.jsonl").read_bytes() == b"y" * 70_000
