"""Damaged and hostile variants of a sound file, for every reader of files that others wrote."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from composir.errors import ComposirError

WRONG_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 10**400, 1.5, 1e308, "", "\x1b[31m", "\ud800", "../../etc/passwd"),
    *([], [[]], [None, 5], {}, {"a": {"b": []}}),
)


def refusals(
    place: Path, variants: Mapping[str, bytes], read: Callable[[Path], object]
) -> set[str]:
    """Put every variant in a file's place and read it; names of those that were refused.

    Anything else than a `ComposirError` that is raised fails the test, and says of which variant.
    """
    refused = set()
    for name, content in variants.items():
        place.write_bytes(content)
        try:
            read(place)
        except ComposirError as error:
            if str(error).strip():
                refused.add(name)
        except BaseException as error:
            error.add_note(f"the variant was {name!r}: {content[:300]!r}")
            raise
    return refused


def text_variants(sound: str) -> dict[str, bytes]:
    """A text file that is cut, of other encodings, binary, empty, or one endless line."""
    data = sound.encode("utf-8")
    return {
        "empty": b"",
        "blank": b" \n\n",
        "cut": data[: len(data) * 2 // 3],
        "latin": b"\xe9\xe8" + data,
        "utf16": sound.encode("utf-16"),
        "marked": b"\xef\xbb\xbf" + data,
        "zeros": bytes(5000),
        "binary": np.random.default_rng(0).bytes(3000),
        "one line": b"a" * 200_000,
    }


def json_variants(sound: dict[str, Any], values: Sequence[Any] = WRONG_VALUES) -> dict[str, bytes]:
    """A JSON object that is damaged as text, nested, endless, or of wrong values."""
    line = json.dumps(sound)
    first = json.dumps(next(iter(sound)))
    texts = {
        "nested lists": "[" * 1_000_000,
        "closed lists": "[" * 100_000 + "]" * 100_000,
        "nested objects": '{"a":' * 100_000,
        "900 deep": f"{{{first}: {'[' * 900}{']' * 900}}}",
        "digits": f"{{{first}: {'9' * 5000}}}",
        "NaN": f"{{{first}: NaN}}",
        "infinite": f"{{{first}: 1e999}}",
        "a key twice": f"{line[:-1]}, {first}: 5}}",
        "no object": "[1, 2]",
        "null": "null",
        "number": "5",
        "text": '"text"',
        "two": line + line,
    }
    variants = text_variants(line) | {name: text.encode() for name, text in texts.items()}
    for place in places(sound):
        shown = ".".join(map(str, place))
        for number, value in enumerate(values):
            variants[f"{shown} {number}"] = json.dumps(replaced(sound, place, value)).encode()
        variants[f"{shown} away"] = json.dumps(without(sound, place)).encode()
    return variants


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place of a JSON value, the whole excepted."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value[:2]))
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(value: Any, place: tuple[str | int, ...], new: Any) -> Any:
    """A copy with another value at one place."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed


def without(value: Any, place: tuple[str | int, ...]) -> Any:
    """A copy without what is at one place."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    return changed


def npy(
    header: str, data: bytes = b"", version: tuple[int, int] = (1, 0), length: int = -1
) -> bytes:
    """An `.npy` file of any header."""
    text = header.encode("latin-1") + b"\n"
    size = len(text) if length < 0 else length
    packed = struct.pack("<H" if version[0] == 1 else "<I", size)
    return b"\x93NUMPY" + bytes(version) + packed + text + data


def described(kind: str, shape: str) -> str:
    """A header as numpy writes it."""
    return f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}"


def array_variants(sound: np.ndarray[Any, Any]) -> dict[str, bytes]:
    """An array that is cut, of other types and shapes, or whose header promises anything."""
    file = io.BytesIO()
    np.save(file, sound)
    data = file.getvalue()
    pickled = io.BytesIO()
    np.save(pickled, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    huge, kind = 10**12, repr(sound.dtype.str)
    others = {
        "nan": np.full_like(sound, np.nan) if sound.dtype.kind == "f" else sound[:0],
        "wider": np.concatenate([sound, sound], axis=-1),
        "shorter": sound[:1],
        "empty": sound[:0],
        "deeper": sound[None],
        "texts": sound.astype("U8"),
        "complex": sound.astype(np.complex64),
        "records": np.zeros(3, dtype=[("a", "<f4"), ("b", "<i2")]),
        "swapped": sound.astype(sound.dtype.newbyteorder(">")),
    }
    made = {name: _saved(array) for name, array in others.items()}
    return (
        text_variants("no array")
        | made
        | {
            "cut": data[:-3],
            "cut header": data[:20],
            "longer": data + b"more",
            "pickle": pickled.getvalue(),
            "huge": npy(described(kind, f"({huge}, {huge})"), b"1234"),
            "endless side": npy(described(kind, f"({'9' * 5000},)")),
            "negative": npy(described(kind, "(-1, 4)")),
            "nested": npy("(" * 5000),
            "no braces": npy("{'descr': '<f4'"),
            "promised header": npy(described(kind, "(1,)"), version=(2, 0), length=2**32 - 1),
            "many sides": npy(described(kind, "(" + "1, " * 40 + ")")),
            "no type": npy(described("'<q99'", "(2,)"), bytes(16)),
            "void": npy(described("'|V4'", "(2,)"), bytes(8)),
            "wide texts": npy(described("'<U999999999'", "(2,)"), bytes(8)),
        }
    )


def _saved(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def archive_variants(sound: dict[str, np.ndarray[Any, Any]]) -> dict[str, bytes]:
    """An `.npz` file that is damaged, of hostile arrays, or unpacks to far more than itself."""
    file = io.BytesIO()
    np.savez(file, **sound)  # type: ignore[arg-type]
    data = file.getvalue()
    name = next(iter(sound))
    variants = text_variants("no archive") | {
        "cut": data[:-40],
        "bytes changed": data[:100] + bytes(50) + data[150:],
        "bomb": zipped({f"{key}.npy": bomb(3_000_000) for key in sound}),
        "lying": zipped({f"{key}.npy": b"x" for key in sound}).replace(
            struct.pack("<I", 1), struct.pack("<I", 2**31)
        ),
    }
    whole = {f"{key}.npy": _saved(array) for key, array in sound.items()}
    for kind, content in array_variants(sound[name]).items():
        variants[f"{name} {kind}"] = zipped(whole | {f"{name}.npy": content})
    return variants


def zipped(files: dict[str, bytes]) -> bytes:
    """A packed archive."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def bomb(side: int) -> bytes:
    """An array of so many equal bytes, which packs to next to nothing."""
    return npy(described("'|i1'", f"({side},)"), bytes(side))
