"""The installed command in a process of its own, with the packaged model."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.commands import paint_all

COMPOSIR = Path(sys.executable).with_name("composir")


def run(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMPOSIR, *map(str, words)],
        capture_output=True,
        text=True,
        errors="strict",
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    paint_all(folder / "pictures")
    done = run("index", folder / "pictures", "--gallery", folder / "gallery", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"] == 8
    return folder / "gallery"


def test_the_command_is_installed() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("composir ")


def test_a_search_answers_in_json(gallery: Path) -> None:
    picture = gallery.parent / "pictures" / "red.png"
    done = run("search", "--image", picture, "in blue", "--gallery", gallery, "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert len(answer["hits"]) > 0
    assert str(picture) not in [hit["path"] for hit in answer["hits"]]


def test_a_terminal_without_unicode_gets_escapes(gallery: Path) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    for words in (["--help"], ["search", "красный", "--gallery", gallery], ["doctor"]):
        done = run(*words, **ascii_only)
        assert done.returncode == 0, done.stderr
        assert (done.stdout + done.stderr).isascii()


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_reader_that_leaves_early_is_no_crash(gallery: Path) -> None:
    line = f"'{COMPOSIR}' search red --gallery '{gallery}' | head -c 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert done.stdout == "1"
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_ends_with_130_and_the_gallery_still_answers(gallery: Path) -> None:
    pictures = gallery.parent / "many"
    paint_all(pictures)
    process = subprocess.Popen(
        [COMPOSIR, "index", pictures, "--gallery", gallery, "--batch-size", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "scanning" in process.stderr.readline()  # it is at work
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode in {0, 130}  # 0: it was faster than the signal
    assert "Traceback" not in stderr
    assert run("search", "red", "--gallery", gallery).returncode == 0
