"""The split between device and server, and explanations, as a user meets them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from composir.cli import models
from composir.compose import load_composer
from composir.compose.spliced import SplicedComposer
from composir.device.client import QuerySide
from composir.device.client.wire import pack, unpack
from composir.device.query_export import export_query_side
from composir.device.server import composed_from_message
from composir.errors import DeviceMessageError
from tests.e2e.commands import composir, paint_all
from tests.fakes import COLOURS
from tests.tiny_bundle import make_bundle, make_composer

RED = np.full((30, 40, 3), COLOURS["red"], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Holds an indexed gallery, a composer `isa` packaged with its model, and pictures."""
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "isa", model, "pixels", name="isa")
    make_composer(tmp_path / "map", model, "vector")
    whole = make_bundle(tmp_path / "tiny")
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: whole)
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    paint_all(tmp_path / "pictures")
    assert composir("index", tmp_path / "pictures").exit_code == 0
    return tmp_path


@pytest.fixture
def device(folder: Path) -> Path:
    result = composir("export", "query-side", "--composer", "isa", "--out", folder / "device")
    assert result.exit_code == 0, result.output
    assert "query.onnx" in result.stdout
    assert "a query as fp16: 54 bytes" in result.stdout
    return folder / "device"


def test_a_message_finds_what_the_picture_finds(folder: Path, device: Path) -> None:
    (folder / "query.cir").write_bytes(QuerySide(device).message(RED, "blue", ("green",)))
    sent = json.loads(composir("search", "--message", folder / "query.cir", "--json").stdout)
    picture: list[str | Path] = ["--image", folder / "pictures" / "red.png", "--include-reference"]
    shown = composir("search", *picture, "blue", "--not", "green", "--composer", "isa", "--json")
    hits = json.loads(shown.stdout)["hits"]

    # Two colours lie equally far from the query: which comes first is a matter of rounding.
    scores = {hit["id"]: hit["score"] for hit in hits}
    assert {hit["id"]: hit["score"] for hit in sent["hits"]} == pytest.approx(scores, abs=0.01)
    assert max(scores.values()) - min(scores.values()) > 0.5
    asked = {"image": None, "images": [], "crop": None, "text": "blue", "negatives": ["green"]}
    assert sent["query"] == asked
    assert sent["composer"] == "isa"


def test_a_negation_in_a_message_is_read_by_the_server(folder: Path, device: Path) -> None:
    side = QuerySide(device)
    (folder / "said.cir").write_bytes(side.message(RED, "blue, without green"))
    (folder / "given.cir").write_bytes(side.message(RED, "blue", ("green",)))
    said, given = (
        json.loads(composir("search", "--message", folder / f"{name}.cir", "--json").stdout)
        for name in ("said", "given")
    )
    literal = composir("search", "--message", folder / "said.cir", "--literal", "--json")

    assert said["understood"] == given["understood"] == {"text": "blue", "negatives": ["green"]}
    assert said["hits"] == given["hits"]
    assert json.loads(literal.stdout)["hits"] != given["hits"]


def test_a_message_without_words_finds_pictures_like_it(folder: Path, device: Path) -> None:
    (folder / "query.cir").write_bytes(QuerySide(device).message(RED))
    result = composir("search", "--message", folder / "query.cir", "--json")
    assert Path(json.loads(result.stdout)["hits"][0]["path"]).name == "red.png"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--message", "noise.cir"], "no query message"),
        (["--message", "missing.cir"], "cannot be read"),
        (["--message", "large.cir"], "at most 10000"),
        (["--message", "newer.cir"], "version 3"),
        (["--message", "outside.cir"], "needs the composer '/etc', which the model tiny does not"),
        (["--message", "query.cir", "--composer", "sum"], "takes no tokens"),
        (["--message", "query.cir", "--composer", "map"], "another composer"),
        (["--message", "query.cir", "blue"], "leave those out"),
        (["--message", "query.cir", "--explain", "why.html"], "use --image"),
        (["red", "--explain", "why.pdf"], ".json"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_error(
    folder: Path,
    device: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(folder)
    good = QuerySide(device).message(RED, "blue")
    Path("query.cir").write_bytes(good)
    Path("noise.cir").write_bytes(b"not a message")
    Path("large.cir").write_bytes(bytes(20_000))
    Path("outside.cir").write_bytes(pack(replace(unpack(good), composer="/etc")))
    Path("newer.cir").write_bytes(good[:4] + b"\x03" + good[5:])
    result = composir("search", *words, "--json")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr


@pytest.mark.parametrize(
    ("composer", "message"),
    [("sum", "is arithmetic"), ("map", "takes pixels"), ("nosuch", "nosuch")],
)
def test_what_has_no_query_side_is_not_exported(
    folder: Path, monkeypatch: pytest.MonkeyPatch, composer: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    result = composir("export", "query-side", "--composer", composer, "--out", "device")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not Path("device").exists()


def test_a_search_is_explained(folder: Path) -> None:
    picture: list[str | Path] = ["--image", folder / "pictures" / "red.png", "blue, and a photo"]
    for name in ("why.html", "why.json"):
        result = composir("search", *picture, "--composer", "isa", "--explain", folder / name)
        assert result.exit_code == 0, result.output
        assert name in result.stderr
    found = json.loads((folder / "why.json").read_text())
    assert [phrase["phrase"] for phrase in found["phrases"]] == ["blue", "and a photo"]
    assert found["tokens"][0]["nearest_words"][0] == "red"
    assert "What was seen in the reference" in (folder / "why.html").read_text()


def test_a_vector_of_another_width_is_refused(folder: Path) -> None:
    model = make_bundle(folder / "tiny")
    make_composer(folder / "light", model, "pixels", name="light", vector=True)
    composer = load_composer(str(folder / "light"), model)
    assert isinstance(composer, SplicedComposer)
    export_query_side(composer.folder, folder / "light-device")
    good = QuerySide(folder / "light-device").message(RED, "blue")
    for width, fits in ((model.dimension, True), (model.dimension + 8, False)):
        vector = np.full(width, width**-0.5, dtype=np.float32)
        message = replace(unpack(good), vector=vector)
        if fits:
            assert composed_from_message(message, composer).vectors.shape[0] == 1
        else:
            with pytest.raises(DeviceMessageError, match=f"a vector of {width} numbers"):
                composed_from_message(message, composer)
