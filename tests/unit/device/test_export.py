"""Export, the client that comes with it, and the server that reads its messages."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.compose import QueryBatch, open_trained
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.device import query_export as export
from composir.device.client import QuerySide
from composir.device.message import pack, unpack
from composir.device.query_export import CLIENT, export_query_side
from composir.device.server import composed_from_message, message_composer
from composir.errors import DeviceMessageError, OutputError, QueryError
from composir.images.preprocess import PreprocessSpec
from composir.model import Model
from tests.fakes import COLOURS
from tests.tiny_bundle import make_bundle, make_composer

RED = np.full((30, 40, 3), COLOURS["red"], dtype=np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return make_bundle(tmp_path / "tiny")


@pytest.fixture
def folder(tmp_path: Path, model: Model) -> Path:
    return make_composer(tmp_path / "isa", model, "pixels", name="tiny-isa")


@pytest.fixture
def composer(folder: Path, model: Model) -> SplicedComposer:
    return open_trained(folder, model)


@pytest.fixture
def device(tmp_path: Path, folder: Path) -> Path:
    return export_query_side(ComposerFolder.load(folder), tmp_path / "device").folder


def test_an_export_holds_what_a_device_needs_and_nothing_else(device: Path) -> None:
    names = {path.relative_to(device).as_posix() for path in device.rglob("*") if path.is_file()}
    client = {f"{CLIENT}/{name}.py" for name in ("__init__", "query_side", "resize", "wire")}
    assert names == {"query.onnx", "query_side.json", "README.md", "SHA256SUMS"} | client
    for line in (device / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((device / name).read_bytes()).hexdigest() == digest


def test_the_card_says_what_a_client_has_to_know(device: Path, composer: SplicedComposer) -> None:
    card = json.loads((device / "query_side.json").read_text())
    assert card["tokens"] == 1
    assert card["preprocess"]["size"] == 8
    assert card["graph"]["outputs"] == ["tokens", "attention"]
    assert card["composer_fingerprint"] == composer.folder.fingerprint
    assert card["gallery_fingerprint"] == composer.model.fingerprint
    assert composer.model.text_checksum.startswith(card["text_checksum"])
    assert card["licence"] == "none"


def test_exact_preprocessing_travels_and_earlier_clients_refuse_it(
    folder: Path, device: Path, tmp_path: Path
) -> None:
    assert json.loads((device / "query_side.json").read_text())["schema_version"] == 1
    manifest = json.loads((folder / "composer.json").read_text())
    manifest["preprocess"] |= {"fit": "centre-crop", "exact": "transformers", "short_side": 9}
    (folder / "composer.json").write_text(json.dumps(manifest))
    exactly = export_query_side(ComposerFolder.load(folder), tmp_path / "exactly").folder
    card = json.loads((exactly / "query_side.json").read_text())
    assert card["schema_version"] == 2  # more than the clients before knew
    spec = PreprocessSpec.model_validate(card["preprocess"])
    assert (spec.exact, spec.short_side) == ("transformers", 9)
    picture = np.random.default_rng(3).integers(0, 256, (31, 40, 3), dtype=np.uint8)
    session = QuerySide(exactly)._session
    feeds = {"pixels": spec.apply(Image.fromarray(picture))[None]}
    wanted = session.run(["tokens"], feeds)[0][0]
    np.testing.assert_array_equal(QuerySide(exactly).look(picture).tokens, wanted)


def test_an_export_may_be_repeated_but_touches_no_other_folder(
    device: Path, folder: Path, tmp_path: Path
) -> None:
    assert export_query_side(ComposerFolder.load(folder), device).sizes["query.onnx"] > 0
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.jpg").touch()
    with pytest.raises(OutputError, match=r"holds something else \(mine\.jpg\)"):
        export_query_side(ComposerFolder.load(folder), tmp_path / "photos")
    with pytest.raises(OutputError, match="is a file"):
        export_query_side(ComposerFolder.load(folder), tmp_path / "photos" / "mine.jpg")


def test_an_export_writes_through_no_link(device: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (device / "README.md").unlink()
    (device / "README.md").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=r"README\.md: is a link"):
        export_query_side(ComposerFolder.load(folder), device)
    assert (tmp_path / "mine").read_text() == "mine"


def test_an_export_that_was_stopped_may_be_repeated(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_out: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(export, "_copy_client", stop)
        with pytest.raises(KeyboardInterrupt):
            export_query_side(ComposerFolder.load(folder), tmp_path / "device")
    assert export_query_side(ComposerFolder.load(folder), tmp_path / "device").sizes


@pytest.mark.parametrize("kind", ["vector", "patch_tokens"])
def test_only_what_takes_pixels_can_be_exported(tmp_path: Path, model: Model, kind: str) -> None:
    other = make_composer(tmp_path / kind, model, kind)
    with pytest.raises(QueryError, match="takes pixels"):
        export_query_side(ComposerFolder.load(other), tmp_path / "device")
    assert not (tmp_path / "device").exists()


def test_the_device_s_tokens_are_the_composer_s(device: Path, composer: SplicedComposer) -> None:
    random = np.random.default_rng(0)
    rgb = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    look = QuerySide(device).look(rgb)

    own = composer.tokens(QueryBatch(("",), images=(lambda: Image.fromarray(rgb),)))
    np.testing.assert_allclose(look.tokens, own.words[0], atol=1e-6)
    assert own.attention is not None
    assert look.attention is not None
    np.testing.assert_allclose(look.attention, own.attention[0], atol=1e-6)
    assert look.vector is None


@pytest.mark.parametrize("encoding", ["fp16", "int8"])
@pytest.mark.parametrize("weights", [{}, {"direction": 1.5}, {"text": 0.5}])
def test_a_message_composes_as_the_picture_does(
    device: Path, composer: SplicedComposer, encoding: str, weights: dict[str, float]
) -> None:
    composer = composer.with_settings(**weights)
    message = unpack(QuerySide(device).message(RED, "that is blue", ("green",), encoding))
    sent = composed_from_message(message, composer)

    batch = QueryBatch(
        ("that is blue",), images=(lambda: Image.fromarray(RED),), negatives=(("green",),)
    )
    np.testing.assert_allclose(sent.vectors, composer.compose(batch).vectors, atol=0.01)


def test_without_the_vector_the_own_sentence_takes_its_place(
    device: Path, composer: SplicedComposer
) -> None:
    """`v + 2 (q - s)` becomes `s + 2 (q - s)`; here, by hand, from sentences alone."""
    message = unpack(QuerySide(device).message(RED, "blue"))
    only = {"direction": 0.0, "image": 0.0, "text": 0.0}
    sentence = composed_from_message(replace(message, text=""), composer.with_settings(**only))
    composed = composed_from_message(message, composer.with_settings(**only))
    s, q = sentence.vectors[0, 0], composed.vectors[0, 0]
    expected = s + 2 * (q - s)

    directed = composer.with_settings(sentence=0.0, direction=2.0, image=1.0)
    found = composed_from_message(message, directed).vectors[0, 0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-5)
    alone = composed_from_message(replace(message, text=""), directed).vectors[0, 0]
    np.testing.assert_allclose(alone, s, atol=1e-5)


def test_the_light_sides_vector_travels(tmp_path: Path, model: Model) -> None:
    folder = make_composer(tmp_path / "light", model, "pixels", name="tiny-isa", vector=True)
    composer = open_trained(folder, model).with_settings(image=2.0)
    written = export_query_side(ComposerFolder.load(folder), tmp_path / "out")
    side = QuerySide(written.folder)
    data = side.message(RED, "blue")
    sent = composed_from_message(unpack(data), composer)
    batch = QueryBatch(("blue",), images=(lambda: Image.fromarray(RED),))

    np.testing.assert_allclose(sent.vectors, composer.compose(batch).vectors, atol=0.01)
    assert side.card["vector"] == 4
    assert side.card["graph"]["outputs"] == ["tokens", "attention", "vector"]
    assert written.message_bytes["fp16"] == len(data) - len(b"tiny-isa") - len(b"blue")
    with pytest.raises(DeviceMessageError, match="has no vector; the composer tiny-isa makes one"):
        composed_from_message(replace(unpack(data), vector=None), composer)


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("gallery_fingerprint", "another model"),
        ("text_checksum", "another text encoder"),
        ("composer_fingerprint", "another composer"),
    ],
)
def test_tokens_of_another_model_are_refused(
    device: Path, composer: SplicedComposer, field: str, why: str
) -> None:
    message = unpack(QuerySide(device).message(RED, "blue"))
    change: dict[str, Any] = {field: "0123456789abcdef"}
    foreign = replace(message, **change)
    with pytest.raises(DeviceMessageError, match=why):
        composed_from_message(foreign, composer)
    with pytest.raises(DeviceMessageError, match=why):
        message_composer(foreign, composer)


def test_tokens_of_another_shape_are_refused(device: Path, composer: SplicedComposer) -> None:
    message = unpack(QuerySide(device).message(RED, "blue"))
    wider = replace(message, tokens=np.ones((3, 4), dtype=np.float32))
    with pytest.raises(DeviceMessageError, match=r"\(3, 4\)"):
        composed_from_message(unpack(pack(wider)), composer)


def test_the_exported_client_runs_without_composir(device: Path, tmp_path: Path) -> None:
    """In an interpreter that can import numpy, Pillow and onnxruntime, and composir not at all."""
    code = f"""
import sys
sys.modules["composir"] = None
import numpy as np
sys.path.insert(0, {str(device)!r})
from {CLIENT} import QuerySide
red = np.full((30, 40, 3), (255, 0, 0), dtype=np.uint8)
open({str(tmp_path / "query.cir")!r}, "wb").write(QuerySide({str(device)!r}).message(red, "blue"))
print(sorted(name for name in ("pydantic", "tokenizers", "torch") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert unpack((tmp_path / "query.cir").read_bytes()).text == "blue"


def test_a_damaged_or_newer_export_is_refused(device: Path, tmp_path: Path) -> None:
    damaged, newer = tmp_path / "damaged", tmp_path / "newer"
    shutil.copytree(device, damaged)
    shutil.copytree(device, newer)
    (damaged / "query.onnx").write_bytes(b"x")
    with pytest.raises(ValueError, match="damaged"):
        QuerySide(damaged)
    card = json.loads((newer / "query_side.json").read_text())
    (newer / "query_side.json").write_text(json.dumps(card | {"schema_version": 3}))
    with pytest.raises(ValueError, match="newer"):
        QuerySide(newer)
