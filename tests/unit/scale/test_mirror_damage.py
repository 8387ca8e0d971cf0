"""What is damaged, hostile or missing in a store or in a copy of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data.remote_paths import RemotePath
from composir.errors import (
    ComposirError,
    GalleryDamagedError,
    GalleryError,
    ObjectStoreError,
)
from composir.gallery import Gallery
from composir.scale.mirror import changed, copy_folder, fetched
from composir.scale.mirror.published import (
    PUBLISHED_NAME,
    PublishedFile,
)
from tests.unit.scale.mirrored import G, World, rewrite, stems


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
