"""References as they are named on the command line, and paths as other programs take them."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from composir.cli import models, reference
from composir.cli.main import app
from composir.data import fetch
from tests.e2e.commands import composir, paint, paint_all
from tests.fakes import ColourModel

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX pipes and names")


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of eight pictures, indexed into the default gallery."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    paint_all(tmp_path / "pictures")
    assert composir("index", tmp_path / "pictures").exit_code == 0
    return tmp_path / "pictures"


def names(output: str) -> list[str]:
    return [Path(hit["path"]).name for hit in json.loads(output)["hits"]]


def refused(*words: str | Path) -> str:
    result = composir(*words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr


def test_two_images_are_averaged_and_both_left_out(pictures: Path) -> None:
    two = ("-i", pictures / "red.png", "-i", pictures / "blue.png")
    answer = composir("search", *two, "--json").stdout
    assert names(answer)[0] == "magenta.png"
    assert not {"red.png", "blue.png"} & set(names(answer))
    assert json.loads(answer)["query"]["images"] == [str(pictures / n) for n in two[1::2]]


def test_pages_show_every_reference_and_the_crop(pictures: Path, tmp_path: Path) -> None:
    hits, why = tmp_path / "hits.html", tmp_path / "why.html"
    two = ("-i", pictures / "red.png", "-i", pictures / "blue.png")
    result = composir("search", *two, "green", "--html", hits, "--explain", why)
    assert result.exit_code == 0, result.stderr
    for page in (hits, why):
        text = page.read_text(encoding="utf-8")
        assert "red.png</figcaption>" in text
        assert "blue.png</figcaption>" in text
    assert "average of 2 references" in why.read_text(encoding="utf-8")
    part = ("-i", pictures / "red.png", "--crop", "0%,0%,50%,50%")
    assert composir("search", *part, "--html", hits, "--explain", why).exit_code == 0
    for page in (hits, why):
        assert "0%,0%,50%,50%" in page.read_text(encoding="utf-8")


def test_a_crop_is_asked_about_and_told(pictures: Path, tmp_path: Path) -> None:
    picture = Image.new("RGB", (40, 20), "yellow")
    picture.paste("cyan", (20, 0, 40, 20))
    picture.save(tmp_path / "both.png")
    answer = composir("search", "-i", tmp_path / "both.png", "--crop", "20,0,20,20", "--json")
    assert names(answer.stdout)[0] == "cyan.png"
    part = {"x": 20, "y": 0, "width": 20, "height": 20, "unit": "px"}
    assert json.loads(answer.stdout)["query"]["crop"] == part
    assert "reaches beyond" in refused(
        "search", "-i", tmp_path / "both.png", "--crop", "30,0,20,20"
    )
    assert "no reference image to crop" in refused("search", "red", "--crop", "0,0,1,1")


def test_standard_input_is_a_reference(pictures: Path) -> None:
    data = (pictures / "red.png").read_bytes()
    words = ["search", "-i", "-", "blue", "--json"]
    result = CliRunner().invoke(app, words, input=data)
    assert names(result.stdout)[0] == "magenta.png"
    assert "red.png" not in names(result.stdout)
    assert json.loads(result.stdout)["query"]["image"] == "standard input"
    empty = CliRunner().invoke(app, words, input=b"")
    assert (empty.exit_code, "nothing came" in empty.stderr) == (2, True)
    assert "name `-` once" in refused("search", "-i", "-", "-i", "-")


@posix
def test_a_named_pipe_is_read(pictures: Path, tmp_path: Path) -> None:
    pipe, data = tmp_path / "pipe", (pictures / "red.png").read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(data), daemon=True)
    writer.start()
    result = composir("search", "-i", pipe, "blue", "--json")
    writer.join()
    assert names(result.stdout)[0] == "magenta.png"


@posix
def test_a_pipe_that_nobody_writes_to_is_given_up(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference, "SECONDS", 0.1)
    os.mkfifo(tmp_path / "pipe")
    assert "within 0.1 seconds" in refused("search", "-i", tmp_path / "pipe")


@posix
def test_devices_are_refused(pictures: Path) -> None:
    assert "not a file" in refused("search", "-i", "/dev/zero")


def test_a_file_url_is_a_file(pictures: Path) -> None:
    path = paint(pictures.parent / "a b%41#?ü.png", "red")
    url = path.as_uri()
    assert "%20" in url
    for form in (url, url.replace("file://", "file://localhost", 1)):
        result = composir("search", "-i", form, "blue", "--json")
        assert names(result.stdout)[0] == "magenta.png", result.stderr
    assert "another machine" in refused("search", "-i", "file://server/a.png")
    assert "%3F" in refused("search", "-i", "file:///a.png?b")
    assert "does not exist" in refused("search", "-i", "file:///nowhere/a.png")


def test_an_address_needs_leave_and_https(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def play(url: str) -> bytes:
        asked.append(url)
        return (pictures / "red.png").read_bytes()

    monkeypatch.setattr(fetch, "fetch", play)
    url = "https://example.org/a.png?b=c#d"
    assert "--allow-url" in refused("search", "-i", url)
    assert "https only" in refused("search", "-i", url.replace("https", "http"), "--allow-url")
    assert "file:// or https://" in refused("search", "-i", "ftp://example.org/a.png")
    assert asked == []
    result = composir("search", "-i", url, "blue", "--allow-url", "--json")
    assert names(result.stdout)[0] == "magenta.png"
    assert json.loads(result.stdout)["query"]["image"] == url
    assert asked == [url]


def test_an_address_of_this_machine_is_refused(pictures: Path) -> None:
    error = refused("search", "-i", "https://127.0.0.1:9/a.png", "--allow-url")
    assert "not on the public internet" in error


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (lambda: None, "no picture on the clipboard"),
        (lambda: ["a.png", "b.png"], "2 files"),
        (lambda: ["nowhere.png"], "No such file"),
        (lambda: (_ for _ in ()).throw(NotImplementedError("xclip is required")), "xclip"),
    ],
)
def test_a_clipboard_without_a_picture_says_so(
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: Callable[[], object],
    reason: str,
) -> None:
    monkeypatch.setattr("PIL.ImageGrab.grabclipboard", found)
    assert reason in refused("search", "-i", "clipboard:")


def test_the_clipboard_is_a_reference(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (Image.new("RGB", (40, 30), "red"), [str(pictures / "red.png")]):
        monkeypatch.setattr("PIL.ImageGrab.grabclipboard", lambda found=found: found)
        result = composir("search", "-i", "clipboard:", "blue", "--json")
        assert names(result.stdout)[0] == "magenta.png", result.stderr


def test_paths_alone_are_on_stdout_whole(pictures: Path) -> None:
    folder = pictures / ("long " * 30) / ("longer " * 30)
    path = paint(folder / "red.png", "red")
    assert composir("index", pictures).exit_code == 0
    lines = composir("search", "red", "--paths", "--no-collapse").stdout.splitlines()
    assert str(path) in lines
    assert str(path) in composir("search", "red", "--no-collapse").stdout
    ended = composir("search", "red", "-0", "-k", "3").stdout
    assert ended.count("\0") == 3
    assert all(Path(name).is_file() for name in ended.split("\0")[:-1])
    assert "choose one" in refused("search", "red", "--paths", "--json")


@posix
def test_names_of_any_bytes_come_as_they_are(pictures: Path) -> None:
    name = os.fsencode(pictures) + b"/\xff\xfe line\nbreak.png"
    out = io.BytesIO()
    Image.new("RGB", (40, 30), (250, 10, 0)).save(out, "PNG")
    try:
        Path(os.fsdecode(name)).write_bytes(out.getvalue())
    except OSError:
        pytest.skip("a file system that takes UTF-8 names alone")
    assert composir("index", pictures).exit_code == 0
    plain = composir("search", "red", "-0", "--no-collapse").stdout_bytes
    assert name in plain.split(b"\0")
    answer = json.loads(composir("search", "red", "--json", "--no-collapse").stdout)
    assert name in [os.fsencode(hit["path"]) for hit in answer["hits"]]
    own = composir("search", "-i", os.fsdecode(name), "--json")
    assert os.fsdecode(name) not in [hit["path"] for hit in json.loads(own.stdout)["hits"]]


@posix
@pytest.mark.parametrize(("verb", "code"), [("--help", 0), ("info", 0), ("nonsense", 2)])
def test_a_reader_that_has_gone_changes_no_exit_code(pictures: Path, verb: str, code: int) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "composir", verb], stdout=writing, stderr=writing, check=False
        )
    finally:
        os.close(writing)
    assert done.returncode == code
