import io
import os
import threading
from pathlib import Path

import pytest

from composir.data.streams import UnreadableStreamError, read_at_most, read_regular, within


def test_a_file_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_regular(path, 100) == b"x" * 100
    with pytest.raises(UnreadableStreamError, match="over 99 bytes"):
        read_regular(path, 99)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    with pytest.raises(UnreadableStreamError, match="folder"):
        read_regular(tmp_path, 100)
    with pytest.raises(UnreadableStreamError, match="No such file"):
        read_regular(tmp_path / "missing", 100)
    with pytest.raises(UnreadableStreamError, match="null byte"):
        read_regular("a\0b", 100)


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes and devices")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnreadableStreamError, match="pipe"):
        read_regular(tmp_path / "pipe", 100)
    with pytest.raises(UnreadableStreamError, match="device"):
        read_regular("/dev/zero", 100)


class Endless(io.RawIOBase):
    """Gives zeros for ever, and counts them."""

    given = 0

    def read(self, size: int = -1, /) -> bytes:
        self.given += size
        return bytes(size)


def test_an_endless_stream_is_read_no_further_than_the_limit() -> None:
    endless = Endless()
    with pytest.raises(UnreadableStreamError, match="larger than 3 MB"):
        read_at_most(endless, 3 << 20)
    assert endless.given == (3 << 20) + 1


def test_waiting_has_an_end() -> None:
    never = threading.Event()
    with pytest.raises(UnreadableStreamError, match=r"within 0\.05 seconds"):
        within(0.05, never.wait)
    never.set()


def test_what_the_work_gives_or_raises_comes_back() -> None:
    assert within(60, lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 // 0)
