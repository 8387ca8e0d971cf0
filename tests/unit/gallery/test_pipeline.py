"""Channels and the pipeline: bounded, ordered to the end, and never stuck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from composir.errors import ImageReadError
from composir.gallery.duplicates import Signature
from composir.gallery.pipeline import Channel, EncodedBatch, Finished, Pipeline, Written
from composir.gallery.reader import NewPicture, ReadFile, Unreadable
from composir.gallery.rows import Picture, Place
from composir.images.bounds import check_stopped
from composir.types import FloatArray, PixelArray

PICTURE = Picture("0" * 32, 1, 1, None, None, b"", Signature(0, bytes(48)))


class Collector:
    """A writer that keeps everything in memory."""

    def __init__(self) -> None:
        self.items: list[Written] = []
        self.commits = 0

    def add(self, item: Written) -> None:
        self.items.append(item)

    def commit_if_due(self) -> None:
        return

    def commit(self) -> None:
        self.commits += 1

    def encoded(self) -> int:
        return sum(len(item.files) for item in self.items if isinstance(item, EncodedBatch))


def places(count: int) -> Iterator[Place]:
    for number in range(count):
        yield Place(Path(f"/{number}"), "", 1, 1)


def read(place: Place) -> ReadFile:
    if place.path.name.endswith("7"):
        return Unreadable(place, "sevens are bad", is_picture_gone=True)
    return NewPicture(place, PICTURE, np.zeros((2, 2, 3), dtype=np.uint8))


def encode(pixels: PixelArray) -> FloatArray:
    return np.ones((len(pixels), 4), dtype=np.float32)


def run(
    count: int = 100,
    *,
    read: Callable[[Place], ReadFile] = read,
    encode: Callable[[PixelArray], FloatArray] = encode,
    writer: Collector | None = None,
    watch: Callable[[], None] = lambda: None,
) -> Collector:
    writer = writer or Collector()
    Pipeline(read, encode, writer, batch_size=8, decoders=3).run(places(count), watch)
    return writer


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def test_everything_arrives_once() -> None:
    written = run(100)

    assert written.encoded() == 90
    assert sum(isinstance(item, Unreadable) for item in written.items) == 10
    assert written.commits == 1


def test_batches_are_full_but_the_last() -> None:
    sizes = [len(i.files) for i in run(100).items if isinstance(i, EncodedBatch)]

    assert sizes == [8] * 11 + [2]


def test_nothing_to_do_ends_at_once() -> None:
    assert run(0).items == []


@pytest.mark.parametrize("stage", ["read", "encode"])
def test_an_error_keeps_what_was_encoded(stage: str) -> None:
    calls: list[str] = []

    def fail_late(here: str) -> bool:
        calls.append(here)
        if here == stage and calls.count(here) > (40 if stage == "read" else 3):
            raise ZeroDivisionError(stage)
        return True

    writer = Collector()
    with pytest.raises(ZeroDivisionError, match=stage):
        run(
            1000,
            read=lambda place: (fail_late("read"), read(place))[1],
            encode=lambda pixels: (fail_late("encode"), encode(pixels))[1],
            writer=writer,
        )

    assert writer.commits == 1
    if stage == "encode":
        assert writer.encoded() == 24


def test_an_error_of_the_writer_stops_everything() -> None:
    class Full(Collector):
        def add(self, item: Written) -> None:
            raise OSError(28, "No space left on device")

    writer = Full()
    with pytest.raises(OSError, match="No space left"):
        run(1000, writer=writer)

    assert writer.commits == 0


def test_an_error_of_the_source_is_raised() -> None:
    def broken() -> Iterator[Place]:
        yield from places(5)
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        Pipeline(read, encode, Collector(), batch_size=8, decoders=2).run(broken(), lambda: None)


def test_ctrl_c_ends_soon_and_commits() -> None:
    def press() -> None:
        raise KeyboardInterrupt

    def encode_slowly(pixels: PixelArray) -> FloatArray:
        time.sleep(0.02)
        return encode(pixels)

    writer = Collector()
    with pytest.raises(KeyboardInterrupt):
        run(
            100_000,
            encode=encode_slowly,
            writer=writer,
            watch=press,
        )

    assert writer.commits == 1
    assert 0 < writer.encoded() < 1000


def test_ctrl_c_makes_decoders_give_up_and_their_files_count_as_nothing() -> None:
    writer, decoding = Collector(), threading.Event()

    def decode_for_ever(place: Place) -> ReadFile:
        decoding.set()
        while True:
            try:
                check_stopped()
            except ImageReadError as error:
                return Unreadable(place, str(error), is_picture_gone=True)
            time.sleep(0.01)

    def interrupt() -> None:
        if decoding.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pipeline(decode_for_ever, encode, writer, batch_size=8, decoders=3).run(
            places(10), interrupt
        )
    assert writer.items == []


def test_a_slow_model_holds_the_readers_back() -> None:
    opened: list[int] = []
    most: list[int] = []
    writer = Collector()

    def count_ahead(pixels: PixelArray) -> FloatArray:
        most.append(len(opened) - writer.encoded())
        return encode(pixels)

    def count_opened(place: Place) -> ReadFile:
        opened.append(1)
        return read(place)

    run(
        1000,
        read=count_opened,
        encode=count_ahead,
        writer=writer,
    )

    assert max(most) <= 1000 * 0.1 + 8 * 2 + 8 * 2 * 8 + 8 + 3


def test_a_cut_channel_releases_writers_and_readers() -> None:
    channel: Channel[int] = Channel(1)
    assert channel.put(1)
    blocked = threading.Thread(target=channel.put, args=(2,))
    blocked.start()
    channel.cut()
    blocked.join(5)

    assert not blocked.is_alive()
    assert not channel.put(3)
    with pytest.raises(Finished):
        channel.get()


def test_a_channel_with_two_writers_ends_after_both() -> None:
    channel: Channel[int] = Channel(4, writers=2)
    channel.put(1)
    channel.finish()

    assert channel.get() == 1
    assert channel.get(timeout=0.01) is None
    channel.finish()
    with pytest.raises(Finished):
        channel.get()
