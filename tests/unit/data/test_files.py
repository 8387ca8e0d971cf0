"""Files are opened where they are regular, and nowhere else."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from composir.data.files import (
    UnfitFileError,
    open_regular,
    read_regular,
    read_regular_text,
)

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="no such files there")


def test_reads_a_regular_file(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"one\r\ntwo")
    assert read_regular(file) == b"one\r\ntwo"
    assert read_regular(str(file), limit=8) == b"one\r\ntwo"
    assert read_regular_text(file) == "one\ntwo"
    with open_regular(file) as stream:
        assert stream.read(3) == b"one"


@unix_only
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnfitFileError, match="not a regular file"):
        open_regular(tmp_path / "pipe")


@unix_only
def test_devices_and_sockets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnfitFileError, match="not a regular file"):
        read_regular("/dev/zero")
    monkeypatch.chdir(tmp_path)  # the system allows sockets short names only
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(UnfitFileError, match="not a regular file"):
            read_regular("socket")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitFileError, match="a folder, not a file"):
        read_regular(tmp_path)


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnfitFileError, match="too large"):
        read_regular(tmp_path / "sparse")
    with pytest.raises(UnfitFileError, match="too large"):
        open_regular(tmp_path / "sparse", limit=1 << 30)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux' /proc")
def test_a_file_that_hides_its_size_is_capped() -> None:
    assert Path("/proc/self/maps").stat().st_size == 0
    with pytest.raises(UnfitFileError, match="too large"):
        read_regular("/proc/self/maps", limit=16)


@unix_only
def test_links_are_followed_only_where_they_may(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "link").symlink_to("a")
    assert read_regular(tmp_path / "link") == b"one"
    with pytest.raises(UnfitFileError, match="a link"):
        read_regular(tmp_path / "link", follow=False)


def test_what_the_system_refuses_stays_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "none")
