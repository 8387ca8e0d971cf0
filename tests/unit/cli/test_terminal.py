import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from composir.cli.terminal import duration, echo, file_size, print_json, printable, shortened
from composir.types import Failure


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("lamp.jpg", "lamp.jpg"),
        ("Åse & 東京 собака.jpg", "Åse & 東京 собака.jpg"),
        ("red\x1b[31m.jpg", "red\\x1b[31m.jpg"),
        ("two\nlines\t.jpg", "two\\nlines\\t.jpg"),
        ("right\u202eto-left", "right\\u202eto-left"),
        ("not\udcffutf8.jpg", "not\\xffutf8.jpg"),
        ("lone\ud800surrogate", "lone\\ud800surrogate"),
    ],
)
def test_names_are_escaped_only_where_they_could_harm_a_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown
    shown.encode("utf-8")


def test_what_is_printed_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    echo("one\x1b[31m\ttwo\r\nthree\x07", lead="\x1b[2J", colour="red")
    assert capsys.readouterr().out == "\\x1b[2Jone\\x1b[31m\ttwo\\r\nthree\\x07\n"


def test_a_lead_has_its_colour_where_a_terminal_listens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    echo(" \x1b[31m", lead="BROKEN", colour="red")
    assert capsys.readouterr().out == "\x1b[31mBROKEN\x1b[0m \\x1b[31m\n"


def test_a_long_path_is_cut_in_the_middle() -> None:
    path = "/home/someone/pictures/2024/summer/holiday/beach-0001.jpg"
    short = shortened(path, 30)
    assert len(short) == 30
    assert short.startswith("/home/")
    assert short.endswith("/beach-0001.jpg")
    assert shortened("short.jpg", 30) == "short.jpg"


@pytest.mark.parametrize("width", range(3, 12))
def test_a_shortened_text_fits_any_width(width: int) -> None:
    assert len(shortened("0123456789abcdef", width)) == width


def test_sizes_and_times_carry_units() -> None:
    assert file_size(512) == "512 B"
    assert file_size(3_500_000) == "3.5 MB"
    assert duration(4.21) == "4.2 s"
    assert duration(200) == "3 min 20 s"
    assert duration(7500) == "2 h 05 min"


def test_json_takes_everything_that_results_carry(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {
            "failure": Failure(Path("a.jpg"), "truncated"),
            "when": datetime(2024, 5, 1, 12, 30),
            "score": np.float32(0.5),
            "name": "not\udcffutf8.jpg",
        }
    )
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == {
        "failure": {"path": "a.jpg", "reason": "truncated"},
        "when": "2024-05-01T12:30:00",
        "score": 0.5,
        "name": "not\udcffutf8.jpg",
    }


def test_json_refuses_what_it_does_not_know() -> None:
    with pytest.raises(TypeError, match="object"):
        print_json({"what": object()})
