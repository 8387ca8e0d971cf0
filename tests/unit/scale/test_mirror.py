"""Copies of galleries in an object store: what is sent, when it counts, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_writes
from composir.data.remote_paths import RemotePath
from composir.errors import (
    GalleryBusyError,
    GalleryError,
    ObjectStoreError,
)
from composir.gallery import Gallery, open_gallery
from composir.gallery.mirror_note import mirror_note
from composir.scale.mirror import changed, copy_folder, fetched
from composir.scale.mirror import copy as copies
from composir.scale.mirror.local_files import published_files
from composir.scale.mirror.published import (
    PUBLISHED_NAME,
    Published,
    published_file,
)
from tests.unit.scale.mirrored import COLOURS, G, World, objects, stems


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
