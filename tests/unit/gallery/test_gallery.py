"""Opening and describing galleries, and what must be refused."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pytest

from composir.data.places import GALLERY_MANIFEST
from composir.errors import BundleMismatchError, GalleryError, OutputError, QueryError
from composir.explain import explain_search
from composir.gallery import Gallery, open_gallery
from composir.pages.contact_sheet import contact_sheet, gather
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scenes


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    scenes(folder, range(5))
    return folder


@pytest.fixture
def gallery(tmp_path: Path, pictures: Path) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    made.index([pictures])
    return made


def test_info_says_what_is_there(gallery: Gallery, pictures: Path) -> None:
    info = gallery.info()

    assert (info.images, info.dimension, info.bundle) == (5, 4, "colours")
    assert info.roots == (pictures,)
    assert info.bytes > 1000
    assert info.created <= info.updated


def test_vectors_are_what_the_model_made(gallery: Gallery) -> None:
    ids, vectors = gallery.vectors()

    assert len(set(ids)) == 5
    assert vectors.shape == (5, 4)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-3)


def test_thumbnail_is_a_jpeg_and_unknown_ids_are_refused(gallery: Gallery) -> None:
    first = gallery.vectors()[0][0]

    assert gallery.thumbnail(first).startswith(b"\xff\xd8")
    for unknown in ("0" * 16, "", "x' OR '1'='1"):
        with pytest.raises(QueryError, match="no image with the id"):
            gallery.thumbnail(unknown)


def test_a_page_made_while_another_process_indexes_loses_no_hit(
    gallery: Gallery, pictures: Path
) -> None:
    reader = open_gallery(gallery.path, ColourModel())
    result = reader.search(Query(text="red"), k=5)
    lost = result.hits[0]
    lost.path.unlink()
    store, drop = gallery._snapshot().store, [lost.id]
    store.drop(drop)  # what an index run commits before it tidies up
    sheet = gather(result, reader)
    assert set(sheet.thumbnails) == {hit.id for hit in result.hits}

    gallery.index([pictures])  # tidies up: the version that the search saw is gone

    sheet = gather(result, reader)
    assert set(sheet.thumbnails) == {hit.id for hit in result.hits[1:]}
    assert "no thumbnail" in contact_sheet([sheet], title="Red")
    looks = explain_search(result, reader, "sum")
    assert lost.id not in looks.thumbnails


def test_opening_without_a_model_answers_what_needs_none(gallery: Gallery) -> None:
    opened = open_gallery(gallery.path)

    assert len(opened) == 5
    assert opened.info().fingerprint == "colours-1"


def test_a_missing_gallery_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="composir index"):
        open_gallery(tmp_path / "nowhere")


def test_a_file_is_no_gallery(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("hello")

    with pytest.raises(GalleryError, match="is a file"):
        Gallery.create_or_open(path, ColourModel())


def test_a_folder_with_other_things_is_left_alone(pictures: Path) -> None:
    before = sorted(pictures.iterdir())

    with pytest.raises(GalleryError, match="nothing was touched"):
        Gallery.create_or_open(pictures, ColourModel())

    assert sorted(pictures.iterdir()) == before
    with pytest.raises(GalleryError, match="is not a gallery"):
        open_gallery(pictures)


@pytest.mark.parametrize(
    "facts",
    [[], {"/a": []}, {"/a": {"exclude": [], "volumes": [{"folder": "/", "device": "x"}]}}],
)
def test_damaged_facts_of_roots_are_named(gallery: Gallery, facts: object) -> None:
    path = gallery.path / GALLERY_MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "root_facts": facts}))

    with pytest.raises(GalleryError, match=r"composir-gallery\.json is damaged"):
        open_gallery(gallery.path)


def test_a_manifest_of_an_earlier_version_is_read(gallery: Gallery, pictures: Path) -> None:
    path = gallery.path / GALLERY_MANIFEST
    content = json.loads(path.read_text())
    del content["root_facts"]
    path.write_text(json.dumps(content))

    assert open_gallery(gallery.path).info().excludes == {pictures: ()}
    assert gallery.index([pictures]).unchanged == 5


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b"{}", b'{"kind": "other", "schema_version": 1}', b"\xff\xfe"]
)
def test_a_damaged_manifest_is_named(gallery: Gallery, damage: bytes) -> None:
    (gallery.path / GALLERY_MANIFEST).write_bytes(damage)

    with pytest.raises(GalleryError, match=r"composir-gallery\.json is damaged"):
        open_gallery(gallery.path)


def test_a_manifest_without_a_field_is_damaged(gallery: Gallery) -> None:
    path = gallery.path / GALLERY_MANIFEST
    content = json.loads(path.read_text())
    del content["bundle"]
    path.write_text(json.dumps(content))

    with pytest.raises(GalleryError, match="damaged"):
        open_gallery(gallery.path)


def test_a_newer_format_asks_for_an_upgrade(gallery: Gallery) -> None:
    path = gallery.path / GALLERY_MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))

    with pytest.raises(GalleryError, match="pip install --upgrade"):
        open_gallery(gallery.path)


@pytest.mark.parametrize(("place", "name"), [(lance, "dataset"), (lance.LanceDataset, "to_table")])
def test_many_files_open_are_not_called_damage(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    told = "Unable to open file x.lance: Too many open files (os error 24), /lance/local.rs:1:2"

    def refuse(*_: object, **__: object) -> None:
        raise ValueError(f"LanceError(IO): Generic LocalFileSystem error: {told}")

    with monkeypatch.context() as patched:
        patched.setattr(place, name, refuse)
        with pytest.raises(GalleryError, match="too many files are open") as refusal:
            open_gallery(gallery.path, ColourModel()).vectors()
    assert "damaged" not in str(refusal.value)
    assert "composir repair" not in str(refusal.value)


@pytest.mark.parametrize("name", ["composir-gallery.json", "images.lance/_versions"])
def test_many_files_open_are_told_wherever_they_are_met(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    where = "os.listdir" if name.endswith("_versions") else "composir.gallery.manifest.read_regular"
    monkeypatch.setattr(where, refuse)
    with pytest.raises(GalleryError, match="too many files are open") as refusal:
        len(open_gallery(gallery.path))
    assert "damaged" not in str(refusal.value)


def test_what_may_not_be_read_is_not_called_searchable(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = gallery.path / "images.lance" / "data"
    monkeypatch.setattr("os.access", lambda path, _mode: Path(path) != data)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(f"LanceError(IO): {data}: Permission denied (os error 13), /x/local.rs:1:2")

    monkeypatch.setattr("lance.dataset", refuse)
    opened = open_gallery(gallery.path, ColourModel())
    questions: list[Callable[[], object]] = [
        lambda: opened.search(Query(text="red")),
        lambda: opened.index([gallery.path]),
    ]
    for ask in questions:
        with pytest.raises(GalleryError, match=f"this user may not read {data}") as refusal:
            ask()
        assert "read-only" not in str(refusal.value)


def test_a_damaged_dataset_is_named(gallery: Gallery) -> None:
    for version in (gallery.path / "images.lance" / "_versions").iterdir():
        version.write_bytes(b"nonsense")

    with pytest.raises(GalleryError, match="damaged"):
        len(open_gallery(gallery.path))


def test_another_bundle_is_refused_with_the_command_that_helps(
    gallery: Gallery, pictures: Path
) -> None:
    with pytest.raises(BundleMismatchError) as refusal:
        Gallery.create_or_open(gallery.path, ColourModel("colours-2"))

    command = f"composir index {pictures} --gallery {gallery.path}-colours-colours-"
    assert command in str(refusal.value)


def test_a_bundle_that_changed_since_opening_is_refused_when_indexing(
    tmp_path: Path, pictures: Path
) -> None:
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    manifest = gallery._manifest
    replace(manifest, bundle=replace(manifest.bundle, fingerprint="other")).write(gallery.path)

    with pytest.raises(BundleMismatchError):
        gallery.index([pictures])


def test_an_empty_gallery_says_what_to_do(tmp_path: Path) -> None:
    gallery = Gallery.create_or_open(tmp_path / "gallery", ColourModel())

    assert len(gallery) == 0
    assert gallery.failures() == ()
    assert gallery.vectors()[1].shape == (0, 4)
    with pytest.raises(GalleryError, match="composir index"):
        gallery.search(Query(text="red"))


def test_a_leftover_of_a_killed_creation_does_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "gallery"
    folder.mkdir()
    (folder / ".composir-tmp-abc").write_bytes(b"{")

    assert len(Gallery.create_or_open(folder, ColourModel())) == 0


def test_relative_paths_and_dots_are_understood(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    gallery = Gallery.create_or_open(Path("gallery"), ColourModel())
    gallery.index([Path("pictures/../pictures")])

    assert all(hit.path.parent == pictures for hit in gallery.search(Query(text="red")).hits)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_read_only_gallery_searches_but_does_not_index(gallery: Gallery, pictures: Path) -> None:
    folders = [gallery.path, *(p for p in gallery.path.rglob("*") if p.is_dir())]
    for cached in (gallery.path / "cache").iterdir():
        cached.unlink()
    for folder in folders:
        folder.chmod(0o555)
    (gallery.path / "index.lock").chmod(0o444)
    try:
        assert gallery.search(Query(text="red"), k=2).hits
        with pytest.raises(GalleryError, match="read-only"):
            gallery.index([pictures])
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_gallery_on_a_read_only_disk_says_so(
    gallery: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    plain(pictures / "new.png", "red")
    monkeypatch.setattr("composir.gallery.upkeep.os.open", refuse)
    with pytest.raises(GalleryError, match="read-only: it can be searched but not indexed"):
        gallery.index([pictures])


def test_without_a_writable_cache_the_matrix_is_held_in_memory(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = gallery.search(Query(text="red"), k=5).hits
    for cached in (gallery.path / "cache").iterdir():
        cached.unlink()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("composir.gallery.matrix.replaced_atomically", refuse)
    found = open_gallery(gallery.path, ColourModel()).search(Query(text="red"), k=5).hits

    assert [hit.id for hit in found] == [hit.id for hit in expected]
    assert not list((gallery.path / "cache").iterdir())


def test_a_cache_file_cut_short_is_not_believed(gallery: Gallery) -> None:
    expected = gallery.search(Query(text="red"), k=5).hits
    (cached,) = (gallery.path / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:-8])

    found = open_gallery(gallery.path, ColourModel()).search(Query(text="red"), k=5).hits

    assert [hit.id for hit in found] == [hit.id for hit in expected]


@pytest.mark.parametrize("where", [None, "width > 1"])
def test_a_version_that_is_cleaned_away_meanwhile_gives_way_to_the_newest(
    gallery: Gallery, pictures: Path, monkeypatch: pytest.MonkeyPatch, where: str | None
) -> None:
    reader = open_gallery(gallery.path, ColourModel())
    questions: list[Callable[[], int]] = [
        lambda: reader.search(Query(text="red"), where=where).gallery_size,
        lambda: len(reader.vectors()[0]),
    ]
    for number, ask in enumerate(questions):
        ask()
        plain(pictures / f"added {number}.png", ("red", "blue")[number])
        gallery.index([pictures])
        kept = reader._kept
        assert kept is not None
        monkeypatch.setattr(kept.store, "is_current", lambda: True)  # it was, a moment ago

        assert ask() == 6 + number


def test_a_first_run_that_was_killed_before_its_first_commit_left_an_empty_gallery(
    tmp_path: Path, pictures: Path
) -> None:
    gallery = Gallery.create_or_open(tmp_path / "new", ColourModel())
    (gallery.path / "images.lance" / "_versions").mkdir(parents=True)

    assert len(gallery) == 0
    assert gallery.index([pictures]).added == 5


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_files_have_the_mode_that_the_umask_says(tmp_path: Path, pictures: Path) -> None:
    before = os.umask(0o022)
    try:
        gallery = Gallery.create_or_open(tmp_path / "new", ColourModel())
        gallery.index([pictures])
    finally:
        os.umask(before)

    modes = {path: path.stat().st_mode & 0o777 for path in gallery.path.rglob("*")}
    assert gallery.path / GALLERY_MANIFEST in modes
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o644}


@pytest.mark.parametrize(
    "name", ["index.lock", "failures.jsonl", "composir-gallery.json", "images.lance/_versions/x"]
)
def test_links_in_a_gallery_are_not_written_through(
    gallery: Gallery, pictures: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine").write_text("mine")
    place = gallery.path / name
    if place.exists():
        (tmp_path / "mine").write_bytes(place.read_bytes())
        place.unlink()
    before = (tmp_path / "mine").read_bytes()
    place.symlink_to(tmp_path / "mine")
    (pictures / "broken.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(OutputError, match=rf"{place.name}: is a link"):
        gallery.index([pictures])
    assert (tmp_path / "mine").read_bytes() == before
    assert place.is_symlink()


@pytest.mark.parametrize("name", ["composir-gallery.json", "failures.jsonl"])
def test_links_in_a_gallery_are_not_read(gallery: Gallery, tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_text("{}")
    (gallery.path / name).unlink(missing_ok=True)
    (gallery.path / name).symlink_to(tmp_path / "mine")
    with pytest.raises(GalleryError, match=rf"{name} cannot be read: a link"):
        Gallery(gallery.path).failures()


@pytest.mark.parametrize("name", ["cache", "images.lance"])
def test_a_search_writes_and_reads_through_no_link(
    gallery: Gallery, tmp_path: Path, name: str
) -> None:
    moved = (gallery.path / name).rename(tmp_path / "elsewhere")
    before = sorted(moved.rglob("*"))
    (gallery.path / name).symlink_to(moved, target_is_directory=True)
    with pytest.raises(OutputError, match=rf"{name}: is a link"):
        Gallery(gallery.path, ColourModel()).search(Query(text="red"))
    assert sorted(moved.rglob("*")) == before


@pytest.mark.parametrize("shape", [(4, 4), (6, 4), (5, 3)])
def test_a_matrix_of_another_size_is_made_anew(gallery: Gallery, shape: tuple[int, int]) -> None:
    right = [hit.score for hit in gallery.search(Query(text="red")).hits]
    (cached,) = (gallery.path / "cache").iterdir()
    before = np.load(cached)
    np.save(cached, np.zeros(shape, np.float32))
    again = Gallery(gallery.path, ColourModel()).search(Query(text="red"))
    assert [hit.score for hit in again.hits] == right
    np.testing.assert_array_equal(np.load(cached), before)


def test_a_dataset_put_in_place_of_another_has_a_matrix_of_its_own(
    gallery: Gallery, pictures: Path, tmp_path: Path
) -> None:
    """A backup that is put back may reach a version and a number of rows that were there before."""
    table, backup = gallery.path / "images.lance", tmp_path / "backup"
    shutil.copytree(table, backup)
    added = plain(pictures / "red.png", "red")
    gallery.index([pictures])
    reader = open_gallery(gallery.path, ColourModel())
    assert reader.search(Query(text="red")).hits[0].path == added
    state = (gallery._snapshot().store.version, len(gallery))
    added.unlink()
    added = plain(pictures / "blue.png", "blue")
    shutil.rmtree(table)
    shutil.copytree(backup, table)

    gallery.index([pictures])

    assert (gallery._snapshot().store.version, len(gallery)) == state, "or this tests nothing"
    for asked in (gallery, open_gallery(gallery.path, ColourModel()), reader):
        assert asked.search(Query(text="blue")).hits[0].path == added
    assert len(list((gallery.path / "cache").iterdir())) == 1


def test_a_table_put_back_is_seen_by_who_has_the_gallery_open(
    gallery: Gallery, pictures: Path, tmp_path: Path
) -> None:
    """The same version and rows, and all files of both are there: one small file differs."""
    table, backup = gallery.path / "images.lance", tmp_path / "backup"
    shutil.copytree(table, backup)
    red = plain(pictures / "red.png", "red")
    gallery.index([pictures])
    reader = open_gallery(gallery.path, ColourModel())
    reader.search(Query(text="red"))
    other = tmp_path / "other"
    shutil.copytree(gallery.path, other)
    shutil.rmtree(other / "images.lance")
    shutil.copytree(backup, other / "images.lance")
    red.unlink()
    blue = plain(pictures / "blue.png", "blue")
    open_gallery(other, ColourModel()).index([pictures])
    shutil.copytree(other / "images.lance", table, dirs_exist_ok=True)

    assert reader.search(Query(text="blue")).hits[0].path == blue


def test_temporary_files_of_killed_runs_go_after_a_while(gallery: Gallery, pictures: Path) -> None:
    abandoned, recent = (gallery.path / "cache" / f".composir-tmp-{n}" for n in "ab")
    for path in (abandoned, recent):
        path.write_bytes(b"half a matrix")
    os.utime(abandoned, (1, 1))
    gallery.index([pictures])
    assert not abandoned.exists()
    assert recent.exists()
