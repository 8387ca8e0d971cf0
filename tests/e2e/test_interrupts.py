"""Ctrl-C, one to three times in a row, wherever it strikes: exit code 130, and no traceback."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from composir.gallery import Gallery
from tests.e2e.commands import paint_all
from tests.fakes import ColourModel

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
SECONDS_BETWEEN = 0.05
SOON = 20  # seconds; what is interrupted would take a minute
# Whoever runs the tests in the background has Ctrl-C ignored in all children.
BEGIN = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)
def at_work():
    print("at work", flush=True)
"""
VERB = (
    BEGIN
    + """
import types, typer
from composir.cli import entry, main
verb = types.ModuleType("a_verb")
verb.app = typer.Typer()
{body}
verb.app.command()(act)
sys.modules["a_verb"] = verb
main.VERBS["act"] = main.Verb("a_verb", "Act.")
sys.argv = ["composir", "act"]
entry.run()
"""
)
BODIES = {
    "threads that do not end": """
from concurrent.futures import ThreadPoolExecutor
def act():
    with ThreadPoolExecutor(2) as pool:
        pool.submit(time.sleep, 60)
        at_work()
        time.sleep(60)
""",
    "Python's shutdown, which waits for a thread": """
from threading import Thread
def act():
    Thread(target=time.sleep, args=(60,)).start()
    at_work()
""",
    "a library that makes an error of its own of it": """
def act():
    try:
        at_work()
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("a part failed to import")
""",
    "a clean-up that waits": """
def act():
    try:
        at_work()
        time.sleep(60)
    finally:
        time.sleep(60)
""",
}


def interrupted(
    code: str, times: int, *words: str | Path, path: Path | None = None
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program that gets Ctrl-C once it is at work."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [path or ".", *sys.path]))},
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        try:
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(SECONDS_BETWEEN)
            while times > 2 and not _ended(process):  # a busy machine hears two at once as one
                process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=SOON)
        finally:
            process.kill()
    assert "at work" in first, stderr
    return process.returncode, stdout, stderr


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("name", BODIES)
def test_three_in_a_row_end_whatever_there_is_to_wait_for(name: str) -> None:
    code, _, stderr = interrupted(VERB.format(body=BODIES[name]), 3)
    assert code == 130
    assert "Traceback" not in stderr
    assert "Abort" not in stderr


def test_one_between_the_verbs_end_and_pythons_is_no_traceback() -> None:
    body = """
from composir.cli import interrupts
def at_the_end(code, finish=interrupts.finish):
    at_work()
    time.sleep(60)
    return finish(code)
interrupts.finish = at_the_end
def act():
    pass
"""
    code, _, stderr = interrupted(VERB.format(body=body), 1)
    assert (code, stderr) == (130, "")


def test_one_stops_and_says_so() -> None:
    body = """
def act():
    at_work()
    time.sleep(60)
"""
    code, _, stderr = interrupted(VERB.format(body=body), 1)
    assert (code, stderr) == (130, "stopped.\n")


def test_a_second_one_does_not_disturb_what_is_kept() -> None:
    body = """
def act():
    try:
        at_work()
        time.sleep(60)
    except KeyboardInterrupt:
        time.sleep(0.5)
        print("kept", flush=True)
        raise
"""
    code, stdout, stderr = interrupted(VERB.format(body=body), 2)
    assert (code, stdout) == (130, "kept\n")
    assert stderr in {"stopped.\n", "stopping; Ctrl-C once more ends at once\nstopped.\n"}


def test_one_that_python_cannot_raise_is_not_lost() -> None:
    body = """
class Gone:
    def __del__(self):
        at_work()
        time.sleep(60)
def act():
    Gone()
    time.sleep(60)
"""
    code, _, stderr = interrupted(VERB.format(body=body), 1)
    assert code == 130
    assert "Traceback" not in stderr


def test_imports_are_interrupted_too(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text('import time\nprint("at work", flush=True)\ntime.sleep(60)')
    code = BEGIN + "from composir.cli.entry import run; run()"
    returned, _, stderr = interrupted(code, 1, path=tmp_path)
    assert (returned, stderr) == (130, "stopped.\n")
    returned, _, stderr = interrupted(code, 3, path=tmp_path)
    assert (returned, "Traceback" in stderr) == (130, False)


def test_an_index_run_is_interrupted_and_the_next_goes_on(tmp_path: Path) -> None:
    paint_all(tmp_path / "pictures")
    child = """
from tests.fakes import ColourModel
from composir.cli import entry, models
class Slow(ColourModel):
    def encode_pixels(self, pixels):
        at_work()
        time.sleep(0.4)
        return super().encode_pixels(pixels)
models.resolve_model = lambda name, threads: Slow()
sys.argv[0] = "composir"
entry.run()
"""
    words = ("index", tmp_path / "pictures", "--gallery", tmp_path / "gallery", "--batch-size", "1")
    code, _, stderr = interrupted(BEGIN + child, 3, *words)
    assert code == 130
    assert "Traceback" not in stderr
    model = ColourModel()
    report = Gallery(tmp_path / "gallery", model).index([tmp_path / "pictures"])
    assert (report.total, report.failures) == (8, ())


def test_a_search_that_waits_for_its_reference_is_interrupted(tmp_path: Path) -> None:
    child = """
from tests.e2e.commands import paint_all, composir
from tests.fakes import ColourModel
from pathlib import Path
from composir.cli import entry, models, reference
models.resolve_model = lambda name, threads: ColourModel()
pictures, gallery = map(Path, sys.argv[1:])
paint_all(pictures)
composir("index", pictures, "--gallery", gallery)
read = reference.within
def watched(seconds, work):
    at_work()
    return read(seconds, work)
reference.within = watched
sys.argv[:] = ["composir", "search", "-i", "-", "--gallery", str(gallery)]
entry.run()
"""
    code, _, stderr = interrupted(BEGIN + child, 3, tmp_path / "pictures", tmp_path / "gallery")
    assert code == 130
    assert "Traceback" not in stderr
