"""The one way from picture files to pixels: threads decode the next batch while a model works."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from composir.encode.image_files import ImageFile
from composir.model.sessions import default_threads
from composir.types import PixelArray


def decoded(
    pictures: Sequence[ImageFile],
    places: Sequence[int],
    read: Callable[[ImageFile], PixelArray | str],
    batch: int,
) -> Iterator[tuple[Sequence[int], list[PixelArray | str]]]:
    """Batches of decoded pictures; at most two of them are in memory.

    Args:
        pictures: All pictures.
        places: Which of them, in order.
        read: Gives pixels, or the reason why there are none; called from threads.
        batch: Most pictures at once.
    """
    batches = [places[start : start + batch] for start in range(0, len(places), batch)]
    with ThreadPoolExecutor(default_threads()) as pool:

        def begin(number: int) -> list[Future[PixelArray | str]]:
            chosen = batches[number] if number < len(batches) else ()
            return [pool.submit(read, pictures[place]) for place in chosen]

        ahead = begin(0)
        try:
            for number, chosen in enumerate(batches):
                now = [picture.result() for picture in ahead]
                ahead = begin(number + 1)
                yield chosen, now
        finally:
            pool.shutdown(cancel_futures=True)
