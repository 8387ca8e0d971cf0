import io
import threading

import pytest

from composir.data.streams import UnreadableStreamError, read_at_most, within


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
