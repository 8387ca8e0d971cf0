"""Who is killed, or overtaken while files are sent, loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_writes
from composir.data.remote_paths import RemotePath
from composir.errors import (
    GalleryError,
    ObjectStoreError,
)
from composir.gallery import Gallery, open_gallery
from composir.scale.mirror import changed, copy_folder, fetched, local_files
from composir.scale.mirror import copy as copies
from composir.scale.mirror.local_files import published_files
from composir.scale.mirror.published import (
    PUBLISHED_NAME,
    Published,
    read_published,
)
from tests.unit.scale.mirrored import G, World, killed, objects


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
