"""Run as a process of its own by the tests: indexes a folder slowly, and says what it encoded."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from composir.errors import ComposirError
from composir.gallery import Gallery
from composir.gallery import writer as writing
from composir.types import FloatArray, PixelArray
from tests.fakes import ColourModel


class SlowModel(ColourModel):
    """Notes every encoded picture in a file, so that work done twice is seen."""

    def __init__(self, log: Path, seconds: float) -> None:
        super().__init__()
        self._log, self._seconds = log, seconds

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        time.sleep(self._seconds)
        with self._log.open("a") as log:
            log.write("x" * len(pixels))
        return super().encode_pixels(pixels)


def main(pictures: Path, gallery: Path, log: Path, seconds: float) -> int:
    writing.ROWS_A_COMMIT = 8
    # Whoever runs the tests in the background has Ctrl-C ignored in all children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        opened = Gallery.create_or_open(gallery, SlowModel(log, seconds))
        report = opened.index([pictures], batch_size=4)
    except ComposirError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{report.added} {report.unchanged} {report.total}\n")
    return 0


if __name__ == "__main__":
    folders = [Path(part) for part in sys.argv[1:4]]
    sys.exit(main(folders[0], folders[1], folders[2], float(sys.argv[4])))
