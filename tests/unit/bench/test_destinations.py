"""Destinations are checked before anything is computed, and writing never ends in a traceback."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from composir.bench.destinations import check_destinations, write_text
from composir.bench.submission import SubmissionFile, write_files
from composir.errors import BenchError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize("name", ["new", "file", "folder/new", "a/b/c/new"])
def test_files_that_can_be_written(place: Path, name: str) -> None:
    check_destinations(files={"--html": place / name, "--csv": None})
    write_text(place / name, "é")
    assert (place / name).read_bytes() == "é".encode()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "is a folder, but a file is to be written"),
        ("file/new", "file is no folder"),
        ("file/a/b", "file is no folder"),
        ("dangling/new", "dangling is no folder"),
        ("x" * 300, "name too long"),
    ],
)
def test_files_that_cannot_be_written(place: Path, name: str, message: str) -> None:
    with pytest.raises(BenchError, match=f"^--html .*{message}.*; choose another place"):
        check_destinations(files={"--html": place / name})
    with pytest.raises(BenchError, match=r"cannot be written .*; choose another place"):
        write_text(place / name, "text")


@pytest.mark.parametrize(
    ("name", "message"),
    [("file", "is a file, but a folder is needed"), ("file/new", "file is no folder")],
)
def test_folders_that_cannot_be_written(place: Path, name: str, message: str) -> None:
    with pytest.raises(BenchError, match=f"^--out .*{message}"):
        check_destinations(files={}, folders={"--out": place / name})
    with pytest.raises(BenchError, match="cannot be written"):
        write_files([SubmissionFile("one.json", "{}")], place / name)


def test_folders_need_not_exist(place: Path) -> None:
    check_destinations(files={}, folders={"--out": place / "a" / "b", "--submission": None})
    assert not (place / "a").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_what_may_not_be_written_is_refused(place: Path) -> None:
    (place / "folder").chmod(0o500)
    with pytest.raises(BenchError, match="may not be written into"):
        check_destinations(files={"--html": place / "folder" / "new"})
