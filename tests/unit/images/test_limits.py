"""However hostile a file, memory and time stay within their limits, and Ctrl-C is heard."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from composir.errors import ImageReadError
from composir.images import bounded, bounds, cost, read_image
from composir.images.bounded import Decoders, Job
from tests import floods, pictures
from tests.pictures import encoded, quadrants

_MEGABYTE = 1 << 20
_RUN = """
import resource, sys
from pathlib import Path
from composir.errors import ImageReadError
from composir.images import read_image
from composir.images.bounded import DECODERS
for path in sys.argv[2:]:
    try:
        image = read_image(path, min_side=int(sys.argv[1]) or None)
        print("read", *image.rgb.size)
    except ImageReadError as error:
        print("refused", error)
DECODERS.close()
status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
print(int(status.split()[0]) >> 10, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)
"""

linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="peak memory is measured, and limited, on Linux"
)


def read_apart(paths: list[Path], min_side: int = 0) -> tuple[list[str], int]:
    """Read pictures in a fresh process; what came of each, and the peak of it and its children."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(min_side), *map(str, paths)],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    *answers, peaks = done.stdout.splitlines()
    return answers, sum(map(int, peaks.split()))


@linux
class TestMemory:
    def test_a_flood_stays_within_a_gigabyte(self, tmp_path: Path) -> None:
        paths = pictures.write_all(floods.MEMORY_FLOODS, tmp_path)
        for min_side in (0, 384):
            answers, peak = read_apart(paths, min_side)
            assert len(answers) == len(paths)
            assert peak < 1024

    def test_a_flood_of_usual_size_is_a_picture(self) -> None:
        image = read_image(floods.flat_webp(500))
        assert image.rgb.size == (500, 500)
        assert image.rgb.getextrema() == ((0, 0), (0, 0), (0, 0))

    def test_deep_and_transparent_pictures_are_converted_in_parts(self, tmp_path: Path) -> None:
        makers = {
            "grey16.png": lambda: floods.flat_png((255, 40_000), 16, 0),
            "rgba.png": lambda: floods.flat_png((255, 40_000), 8, 6),
            "wide-rgba.png": lambda: floods.flat_png((5_000_000, 2), 8, 6),
            "float.tif": lambda: floods.flat_tiff((255, 40_000), bits=32, is_float=True),
        }
        answers, peak = read_apart(pictures.write_all(makers, tmp_path))
        assert answers == ["read 255 40000"] * 2 + ["read 5000000 2", "read 255 40000"]
        # The canvas and the result take 8 bytes a pixel; conversions of all at once took 26 more.
        assert peak < 100 + 14 * 10

    def test_a_decoder_is_held_to_its_share(self) -> None:
        script = (
            "from composir.images.worker import _memory_limited\n"
            "with _memory_limited(10 << 20): bytearray(40 << 20); print('fits')\n"
            "try:\n"
            "    with _memory_limited(10 << 20): bytearray(100 << 20)\n"
            "except MemoryError: print('does not fit')\n"
            "bytearray(100 << 20); print('fits again')"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines() == ["fits", "does not fit", "fits again"]


def test_memory_of_all_pictures_leaves_room_for_the_program_in_a_gigabyte() -> None:
    assert bounds.MEMORY <= 900 * _MEGABYTE


def test_threads_share_one_budget() -> None:
    budget, lock, held, most = bounds.MemoryBudget(100), threading.Lock(), [0], [0]

    def use(size: int) -> None:
        with budget.reserved(size):
            with lock:
                held[0] += min(size, 100)
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= min(size, 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, [10, 70, 30, 100, 40, 60, 500] * 5))  # 500 is taken for all there is
    assert most[0] <= 100


@pytest.mark.parametrize("name", floods.TIME_FLOODS)
def test_slow_files_are_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.3)
    with pytest.raises(ImageReadError, match=r"takes longer than 0\.3 seconds"):
        read_image(floods.TIME_FLOODS[name](), min_side=64)


@pytest.mark.parametrize("name", floods.HEADER_FLOODS)
def test_endless_headers_are_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "SECONDS", 0.2)
    with pytest.raises(ImageReadError, match=r"takes longer than 0\.2 seconds"):
        read_image(floods.HEADER_FLOODS[name]())


class TestDecoders:
    def test_a_picture_comes_back_as_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        content = pictures.COLOUR_PICTURES["turned.jpg"]()
        here = read_image(content)
        monkeypatch.setattr(cost, "SLOW_SECONDS", 0.0)
        there = read_image(content)
        assert there.rgb.tobytes() == here.rgb.tobytes()
        assert (there.width, there.height, there.format) == (48, 32, "JPEG")

    def test_facts_and_reasons_come_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cost, "SLOW_SECONDS", 0.0)
        block = pictures.exif(original="2023:05:06 12:34:56", make="Canon", model="R5")
        content = encoded(quadrants(), "JPEG", exif=block)
        image = read_image(content)
        assert str(image.taken_at) == "2023-05-06 12:34:56"
        assert image.camera == "Canon R5"
        with pytest.raises(ImageReadError, match="damaged, incomplete"):
            read_image(content[:-100])

    def test_one_process_serves_many(self) -> None:
        decoders = Decoders()
        started = [self._decode(decoders, "plain.png") and self._process(decoders) for _ in "123"]
        decoders.close()
        assert len(set(started)) == 1

    def test_a_process_that_was_ended_meanwhile_is_replaced(self) -> None:
        decoders = Decoders()
        assert self._decode(decoders, "plain.png") == (48, 32)
        decoders._idle[0]._process.kill()
        assert self._decode(decoders, "plain.jpg") == (48, 32)
        decoders.close()

    def test_a_decoder_that_crashes_is_a_reason(self) -> None:
        decoders = Decoders([sys.executable, "-c", "import os; os.abort()"])
        with pytest.raises(ImageReadError, match="the decoder gave up"):
            self._decode(decoders, "plain.png")

    def test_a_system_without_processes_is_a_reason(self) -> None:
        with pytest.raises(ImageReadError, match="could be started") as caught:
            self._decode(Decoders(["/no/such/program"]), "plain.png")
        assert caught.value.needs is not None

    def test_a_thread_that_is_to_stop_leaves_its_decoder(self) -> None:
        event = threading.Event()
        decoders = Decoders([sys.executable, "-c", "import time; time.sleep(60)"])
        threading.Timer(0.2, event.set).start()
        begun = time.monotonic()
        with bounds.stoppable(event), pytest.raises(ImageReadError, match="stopped"):
            self._decode(decoders, "plain.png", seconds=50)
        assert time.monotonic() - begun < 30

    def test_a_thread_that_is_to_stop_waits_for_no_memory(self) -> None:
        event = threading.Event()
        event.set()
        budget = bounds.MemoryBudget(1)
        with (
            budget.reserved(1),
            bounds.stoppable(event),
            pytest.raises(ImageReadError, match="stopped"),
            budget.reserved(1),
        ):
            pass
        with budget.reserved(1):
            pass

    @linux
    def test_a_process_ends_with_the_one_that_it_works_for(self) -> None:
        script = (
            "import io, os\n"
            "from composir.images.bounded import DECODERS, Decoder\n"
            "print(Decoder(DECODERS._command)._process.pid, flush=True)\n"
            "os.kill(os.getpid(), 9)"
        )
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        status = Path(f"/proc/{int(done.stdout)}/stat")
        for _ in range(300):
            try:
                if ") Z " in status.read_text():
                    break
            except OSError:  # gone, perhaps just now
                break
            time.sleep(0.1)
        else:
            pytest.fail("it goes on alone")

    @pytest.mark.skipif(sys.platform == "win32", reason="signals are sent on POSIX only")
    def test_an_interrupt_does_not_wait_for_the_decoder(self) -> None:
        script = (
            "import _thread, io, signal, sys, threading, time\n"
            "from composir.images.bounded import Decoders, Job\n"
            # A test run in the background of a shell inherits interrupts that are ignored.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "sleep = [sys.executable, '-c', 'import time; time.sleep(60)']\n"
            "threading.Timer(0.3, _thread.interrupt_main).start()\n"
            "try: Decoders(sleep).decode(Job(io.BytesIO(b'x'), 1, None, 1), 50)\n"
            "except KeyboardInterrupt: print('interrupted')"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=40, check=True
        )
        assert done.stdout == "interrupted\n"

    def _decode(self, decoders: Decoders, name: str, seconds: float = 20.0) -> tuple[int, int]:
        content = pictures.COLOUR_PICTURES[name]()
        job = Job(io.BytesIO(content), len(content), None, 64 << 20)
        return decoders.decode(job, seconds).rgb.size

    def _process(self, decoders: Decoders) -> int:
        return decoders._idle[0]._process.pid


def test_ordinary_pictures_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was wanted")

    monkeypatch.setattr(bounded.DECODERS, "decode", refuse)
    large = Image.new("RGB", (6000, 4000))
    contents = [encoded(large, "JPEG"), encoded(large, "JPEG", progressive=True)]
    contents += [pictures.COLOUR_PICTURES[f"plain.{end}"]() for end in ("png", "webp", "qoi")]
    for content in contents:
        read_image(content, min_side=384)
