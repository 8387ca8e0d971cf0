"""What lies at an output's place is replaced where composir wrote it, and left alone otherwise."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from composir.data.outputs import (
    GENERATOR,
    PAGE,
    OutputKind,
    check_file,
    check_folder,
    check_own_folder,
    inside,
    open_inside,
    refuse_links,
    withdrawn_if_refused,
    write_file,
    write_inside,
)
from composir.errors import OutputError, QueryError

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
NOTES = OutputKind("notes", (".txt",), (rb"composir's ",))
OURS = b"composir's notes"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "ours.txt").write_bytes(OURS)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "link.txt").symlink_to(tmp_path / "mine.txt")
    (tmp_path / "to-ours.txt").symlink_to(tmp_path / "ours.txt")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "name", ["new.txt", "NEW.TXT", "ours.txt", "empty.txt", "folder/new.txt", "a/b/c/new.txt"]
)
def test_files_that_may_be_written(place: Path, name: str) -> None:
    check_file(place / name, NOTES, "--notes")
    assert write_file(place / name, "é", NOTES) == place / name
    assert (place / name).read_bytes() == "é".encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "is a folder, but a file is to be written; choose another place"),
        ("file/new.txt", "file is no folder; choose another place"),
        ("file/a/b.txt", "file is no folder; choose another place"),
        ("dangling/new.txt", "dangling is no folder; choose another place"),
        ("x" * 300 + ".txt", "name too long; choose another place"),
        ("photo.jpg", r"notes ends in \.txt; name it e\.g\. photo\.txt"),
        ("file", r"notes ends in \.txt; name it e\.g\. file\.txt"),
        ("mine.txt", "is there already and is not notes of composir's; choose another name, or"),
        ("link.txt", "is a link, which is left alone; choose another name, or delete it first"),
        ("to-ours.txt", "is a link, which is left alone"),
        ("dangling", "is a link, which is left alone"),
    ],
)
def test_files_that_may_not_be_written(place: Path, name: str, message: str) -> None:
    before = contents(place)
    with pytest.raises(OutputError, match=f"^--notes .*{message}"):
        check_file(place / name, NOTES, "--notes")
    with pytest.raises(OutputError, match=f"^cannot write .*{message}"):
        write_file(place / name, "text", NOTES)
    assert contents(place) == before
    assert (place / "dangling").is_symlink()
    assert (place / "to-ours.txt").is_symlink()


@unix_only
def test_special_files_are_neither_opened_nor_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the system allows sockets short names only
    os.mkfifo("pipe.txt")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.txt")
        for name, what in (("pipe.txt", "a pipe"), ("socket.txt", "a device or socket")):
            with pytest.raises(OutputError, match=f"is {what}, which is left alone"):
                write_file(Path(name), "text", NOTES)
    assert Path("pipe.txt").is_fifo()
    assert Path("socket.txt").is_socket()
    with pytest.raises(OutputError, match="is a device or socket, which is left alone"):
        check_file(Path("/dev/null"), NOTES)


@unix_only
def test_a_page_is_for_whom_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        new = write_file(tmp_path / "new.txt", OURS, NOTES)
        assert new.stat().st_mode & 0o777 == 0o640
        new.chmod(0o600)
        write_file(new, OURS, NOTES)
        assert new.stat().st_mode & 0o777 == 0o600  # who keeps a page private keeps the next so
    finally:
        os.umask(before)


def test_a_file_that_the_disk_refuses_leaves_the_old_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot be written .*No space left on device"):
        write_file(place / "ours.txt", "more", NOTES)
    assert (place / "ours.txt").read_bytes() == OURS
    assert not list(place.glob(".composir-tmp-*"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_what_may_not_be_written_is_refused(place: Path) -> None:
    (place / "ours.txt").chmod(0o400)
    with pytest.raises(OutputError, match="may not be written"):
        check_file(place / "ours.txt", NOTES)
    (place / "folder").chmod(0o500)
    with pytest.raises(OutputError, match="may not be written into"):
        check_file(place / "folder" / "new.txt", NOTES)


@pytest.mark.parametrize(
    ("page", "ours"),
    [
        (f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{GENERATOR}', True),
        (f'<!doctype html><html lang="en"><head><meta charset="utf-8">{GENERATOR}<title>', True),
        # Before pages said who made them.
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<meta http-equiv="Content-Security-Policy"\n content="default-src \'none\'; img-src',
            True,
        ),
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width,initial-scale=1"><title>composir bench: mine</title>',
            True,
        ),
        ('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>', False),
        (f"<html><body>How to write {GENERATOR}", False),
        ("\x89PNG", False),
    ],
)
def test_pages_of_composir_are_known_again(tmp_path: Path, page: str, ours: bool) -> None:
    (tmp_path / "page.html").write_text(page)
    assert PAGE.has_written(tmp_path / "page.html") == ours


@pytest.mark.parametrize(
    ("name", "message"),
    [("file", "is a file, but a folder is needed"), ("file/new", "file is no folder")],
)
def test_folders_that_may_not_be_written(place: Path, name: str, message: str) -> None:
    with pytest.raises(OutputError, match=f"^--out .*{message}"):
        check_folder(place / name, "--out")
    with pytest.raises(OutputError, match=f"^--out .*{message}"):
        check_own_folder(place / name, {"mark"}, "--out")


def test_folders_need_not_exist(place: Path) -> None:
    check_folder(place / "a" / "b")
    check_own_folder(place / "a" / "b", {"mark"})
    check_own_folder(place / "folder", {"mark"})
    assert not (place / "a").exists()


def test_a_folder_is_composirs_own_by_its_mark(place: Path) -> None:
    (place / "folder" / "holiday.jpg").touch()
    with pytest.raises(OutputError, match=r"holds something else \(holiday\.jpg\); name a new"):
        check_own_folder(place / "folder", {"mark"}, "--out")
    (place / "folder" / "mark").touch()
    check_own_folder(place / "folder", {"mark"}, "--out")
    (place / "folder" / "below").mkdir()
    (place / "folder" / "below" / "more").symlink_to(place / "file")
    with pytest.raises(OutputError, match=r"below.more: is a link"):
        check_own_folder(place / "folder", {"mark"}, "--out")


def test_nothing_is_written_through_links_in_a_folder(place: Path) -> None:
    own = place / "folder"
    (own / "file").symlink_to(place / "file")
    (own / "below").symlink_to(place, target_is_directory=True)
    (own / "dangling").symlink_to(place / "nowhere")
    before = contents(place)
    for name in ("file", "below/file", "below/new/file", "dangling"):
        with pytest.raises(OutputError, match="is a link, and composir writes through none"):
            write_inside(own, name, "text")
        with pytest.raises(OutputError, match="is a link"):
            os.close(open_inside(own, name, os.O_WRONLY | os.O_TRUNC))
    assert contents(place) == before
    with pytest.raises(OutputError, match="is a link"):
        refuse_links(own)


def test_the_folder_itself_may_be_reached_through_a_link(place: Path) -> None:
    (place / "way").symlink_to(place / "folder", target_is_directory=True)
    write_inside(place / "way", "new", "text")
    refuse_links(place / "way")
    assert (place / "folder" / "new").read_text() == "text"
    assert inside(place / "way", "a/b") == place / "way" / "a" / "b"


@unix_only
def test_a_pipe_in_a_folder_is_not_opened(place: Path) -> None:
    os.mkfifo(place / "folder" / "pipe")
    with pytest.raises(OutputError, match="is a pipe"):
        open_inside(place / "folder", "pipe", os.O_WRONLY)
    with pytest.raises(OutputError, match="is a pipe"):
        refuse_links(place / "folder")


def refused_in(folder: Path, *names: str, blank: bool = True) -> None:
    def fill() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()
        (folder / "data").mkdir()
        raise QueryError("no")

    with pytest.raises(QueryError), withdrawn_if_refused(folder, {"mark", "data"}, lambda: blank):
        fill()


def test_a_refused_command_leaves_no_new_folder(place: Path) -> None:
    refused_in(place / "a" / "b", "mark", ".composir-tmp-1")
    assert not (place / "a").exists()
    refused_in(place / "folder", "mark")
    assert list((place / "folder").iterdir()) == []  # it was there before


def test_what_is_worth_keeping_survives_a_refusal(place: Path) -> None:
    refused_in(place / "kept", "mark", blank=False)
    assert (place / "kept" / "mark").exists()
    refused_in(place / "used", "mark", "photo.jpg")
    assert (place / "used" / "photo.jpg").exists()
    (place / "folder" / "mark").touch()
    refused_in(place / "folder", "mark")
    assert (place / "folder" / "mark").exists()
