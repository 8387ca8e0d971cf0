"""JSON and text of others: read in bounds, refused with place and reason."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from composir.data import untrusted_json
from composir.data.fields import Text
from composir.data.schema import as_row
from composir.data.untrusted_json import (
    JsonFaultError,
    decode_json,
    parse_json,
    read_json,
    read_lines,
    read_text,
)
from composir.errors import DatasetError, GalleryError


def test_values_are_read_as_they_are() -> None:
    value = {"a": [1, 2.5, None, True, "\u00e9\U0001f600"], "b": {"c": -3}}
    assert decode_json(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 1_000_000, "nested more than 100 deep"),
        ("[" * 101 + "]" * 101, "nested more than 100 deep"),
        ('{"a":' * 101 + "1" + "}" * 101, "nested more than 100 deep"),
        ("9" * 4301, "more than 4,300 digits"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ("[NaN]", "NaN is no JSON"),
        ("[-Infinity]", "-Infinity is no JSON"),
        ("[1e999]", "the number 1e999 is too large"),
        ("[1,]", "not JSON"),
        ("", "not JSON"),
    ],
)
def test_what_is_beyond_reading_is_told(text: str, reason: str) -> None:
    with pytest.raises(JsonFaultError, match=reason):
        decode_json(text)
    with pytest.raises(GalleryError, match=rf"^here: .*{reason}"):
        parse_json("here", text, GalleryError)


def test_a_hundred_levels_are_read_and_brackets_in_texts_do_not_count() -> None:
    assert decode_json("[" * 100 + "]" * 100)
    assert decode_json(json.dumps(["[" * 500])) == ["[" * 500]


def test_lenient_reading_lets_pass_what_programs_write() -> None:
    assert decode_json('{"a": 1, "a": 2}', lenient=True) == {"a": 2}
    assert decode_json("[Infinity]", lenient=True) == [float("inf")]
    with pytest.raises(JsonFaultError, match="nested"):
        decode_json("[" * 101 + "]" * 101, lenient=True)


def test_a_megabyte_of_brackets_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 1_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=r"deep\.json: .*nested"):
            read_json(path, DatasetError)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_too_many_values_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untrusted_json, "MOST_VALUES", 100)
    with pytest.raises(JsonFaultError, match="more than 100 values"):
        decode_json("[" + "{}," * 60 + "1]")


def test_a_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{\n"a": }')
    with pytest.raises(DatasetError, match=r"a\.json, line 2: not JSON"):
        read_json(path, DatasetError)


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"[]", dict, "holds a list, not an object"),
        (b"null", list, "holds null, not a list"),
        (b"5", dict, "holds a number, not an object"),
        (b'{"a": "\xff"}', dict, r"not UTF-8 text \(invalid start byte at byte 7\)"),
        (b'{"a": "\\ud800"}', dict, "half of a surrogate pair"),
    ],
)
def test_files_of_something_else(tmp_path: Path, content: bytes, kind: type, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"a\.json: {message}"):
        read_json(path, DatasetError, kind, halves=False)


def test_a_mark_at_the_beginning_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}')
    assert [where for where, _ in read_lines(path, DatasetError)] == [
        f"{path}, line 1",
        f"{path}, line 3",
    ]
    assert read_text(path, DatasetError) == '{"a": 1}\n\n{"a": 2}'


@pytest.mark.parametrize("read", [read_json, read_text, lambda *a: [*read_lines(*a)]])
def test_missing_files_folders_and_large_ones(
    tmp_path: Path, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DatasetError, match="none: this file is missing"):
        read(tmp_path / "none", DatasetError)
    with pytest.raises(DatasetError, match="a folder, not a file"):
        read(tmp_path, DatasetError)


def test_a_file_above_its_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # takes no room
    with pytest.raises(DatasetError, match=r"large\.json: cannot be read .*too large"):
        read_json(path, DatasetError)
    with pytest.raises(DatasetError, match="too large"):
        list(read_lines(path, DatasetError))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="not a regular file"):
        read_json(tmp_path / "pipe", DatasetError)
    with pytest.raises(DatasetError, match="not a regular file"):
        list(read_lines(tmp_path / "pipe", DatasetError))


def test_a_line_without_end_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_json, "MOST_LINE", 100)
    path = tmp_path / "lines"
    path.write_text("short\n" + "x" * 1000 + "\n")
    lines = read_lines(path, DatasetError)
    assert next(lines)[1] == "short"
    with pytest.raises(DatasetError, match="line 2: more than 100 characters"):
        next(lines)


@dataclass(frozen=True, slots=True)
class Numbered:
    """What a dataclass asks of an object."""

    text: Text
    number: Annotated[int, Field(strict=True, ge=0, le=5)]
    list: tuple[Text, ...] = ()


SOUND = {"text": "a", "number": 5, "list": ["a"], "more": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 5}, "'text' must be a text, not 5"),
        ({"list": "a"}, "'list' must be a list, not \"a\""),
        ({"list": ["a", 5]}, "'list.1' must be a text, not 5"),
        ({"number": 6}, "'number' 6 should be less than or equal to 5"),
        ({"number": "5"}, "'number' must be a whole number, not \"5\""),
        ({"number": True}, "'number' must be a whole number, not true"),
    ],
)
def test_values_of_other_types_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(GalleryError, match=rf"^f, line 3: {message}"):
        as_row("f, line 3", SOUND | change, Numbered, GalleryError)


def test_what_lacks_and_what_is_no_object_is_named() -> None:
    with pytest.raises(GalleryError, match=r"^f: no 'number'"):
        as_row("f", {"text": "a"}, Numbered, GalleryError)
    with pytest.raises(GalleryError, match=r"^f: must be an object, not 5"):
        as_row("f", 5, Numbered, GalleryError)


def test_values_as_they_should_be() -> None:
    assert as_row("f", SOUND, Numbered, GalleryError) == Numbered("a", 5, ("a",))
