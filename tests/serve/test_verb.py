"""`composir serve` as a process, and `composir search` that finds it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from composir.cli import models
from composir.data.announced import RunningServer, announced, running_server
from tests.e2e.commands import composir
from tests.fakes import ColourModel
from tests.serve.live import colours

ROOT = Path(__file__).parents[2]
# Whoever runs the tests in the background has Ctrl-C ignored in all children.
BEGIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from composir.cli import models; from tests.fakes import ColourModel; "
    "models.resolve_model = lambda name, compute: ColourModel(); "
    "from composir.cli.entry import run; run()"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(models, "resolve_model", lambda name, compute: ColourModel())
    return tmp_path


@contextmanager
def process(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A server that has said where it listens; ended with the block."""
    command = [sys.executable, "-c", BEGIN, "serve", *map(str, words)]
    started = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        assert started.stderr is not None
        started.stderr.close()


def address(started: subprocess.Popen[str]) -> str:
    assert started.stderr is not None
    line = started.stderr.readline()
    assert "8 pictures of" in line, line + started.stderr.read()
    return line.split()[-1]


def wait_until_ready(url: str) -> None:
    with httpx.Client(
        base_url=url, trust_env=False, transport=httpx.HTTPTransport(retries=20)
    ) as client:
        assert client.get("/readyz", timeout=30).json()["status"] == "ready"


def test_a_search_asks_the_running_server(home: Path) -> None:
    gallery = colours(home)
    words = ("search", "red", "--gallery", gallery, "-k", "3", "--json")
    alone = json.loads(composir(*words).stdout)
    with process(gallery, "--port", "0") as started:
        wait_until_ready(address(started))
        assert running_server(gallery) is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(models, "existing_gallery", _nobody)  # this process opens nothing
            served = json.loads(composir(*words).stdout)
            refused = composir(*words, "--where", "nothing = 1")
            assert composir(*words, "--no-server").exit_code == 1  # `_nobody` was asked
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) in {0, -signal.SIGTERM}
    assert _told(served) == _told(alone)
    assert refused.exit_code == 2
    assert "no column 'nothing'" in refused.stderr
    assert running_server(gallery) is None
    assert _told(json.loads(composir(*words).stdout)) == _told(alone)


def _nobody(*_: object) -> None:
    raise AssertionError("the gallery was opened")


def _told(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "seconds": 0}


def test_a_file_of_a_dead_server_is_passed_over(home: Path) -> None:
    gallery = colours(home)
    with announced(gallery, RunningServer(9, "key")):
        [file] = (home / "home" / "servers").iterdir()
        if os.name == "posix":
            assert file.stat().st_mode & 0o077 == 0
        result = composir("search", "red", "--gallery", gallery, "-k", "1", "--paths")
    assert result.exit_code == 0
    assert Path(result.stdout.strip()).stem == "red"
    assert not file.exists()


def test_another_program_at_the_port_gets_nothing(home: Path, client: httpx.Client) -> None:
    """The server of another gallery stands for any other program: it cannot prove the key."""
    gallery = colours(home)
    port = client.base_url.port
    assert port is not None
    with announced(gallery, RunningServer(port, "key of the server before")):
        assert running_server(gallery) is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--host", "0.0.0.0", "--port", "0"), "can be reached from other machines"),
        (("--composer", "isa"), "NAME=FOLDER"),
        (("--api-key-file", "short.txt"), "16 characters or more"),
        (("--api-key-file", "missing.txt"), "No such file"),
    ],
)
def test_what_cannot_be_served_is_one_clear_error(
    home: Path, words: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "short.txt").write_text("secret\n")
    result = composir("serve", colours(home), *words)
    assert result.exit_code == 2
    assert problem in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_one_clear_error(home: Path, client: httpx.Client) -> None:
    result = composir("serve", colours(home), "--port", str(client.base_url.port))
    assert result.exit_code == 2
    assert "choose another port with --port" in result.stderr


def test_ctrl_c_ends_it(home: Path) -> None:
    with process(colours(home), "--port", "0") as started:
        wait_until_ready(address(started))
        started.send_signal(signal.SIGINT)
        assert started.wait(20) == 130
        assert started.stderr is not None
        assert "Traceback" not in started.stderr.read()
