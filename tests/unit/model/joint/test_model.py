"""A joint encoder as a model: what goes to its backend, and what is made of the answer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.errors import BundleError, ModelError
from composir.model import load_model, open_model
from composir.model.base import Parts
from composir.model.catalogue import receiver_of
from composir.model.joint import joint_model as joint
from composir.model.joint.joint_bundle import JointBundle, save_joint
from composir.model.joint.joint_model import JointModel, unpadded
from composir.model.joint.probe import WORDS, landmarks, probe
from composir.model.pace import batch_for
from composir.types import FloatArray
from tests.fakes import COLOURS, ColourModel

SPEC = {"size": 32, "fit": "pad", "pad_colour": joint.PADDING}


class Backend:
    """Colours; it remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Parts, str]] = []
        self.answer: list[FloatArray] | None = None

    def prepare(self) -> None:
        return

    def encode(self, items: Sequence[Parts], instruction: str) -> list[FloatArray]:
        self.given += [(parts, instruction) for parts in items]
        return self.answer if self.answer is not None else [self._vector(p) for p in items]

    @staticmethod
    def _vector(parts: Parts) -> FloatArray:
        model = ColourModel()
        found = [
            model.encode_texts([part]) if isinstance(part, str) else model.encode_images([part])
            for part in parts
        ]
        vector: FloatArray = 3 * np.concatenate(found).mean(axis=0)
        return vector


def bundle(folder: Path, **fields: object) -> JointBundle:
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str, object] = {
        "name": folder.name,
        "backend": "endpoint",
        "endpoint": {"url": "http://127.0.0.1:9/v1", "model": "colours", "shape": "messages"},
        "preprocess": SPEC,
        "instructions": {"query": "ask", "picture": "see"},
        "licence": "MIT",
    }
    vectors = np.stack(Backend().encode(probe(), ""))
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return save_joint(folder, rows.astype(np.float32), {**made, **fields})


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Backend:
    fake = Backend()
    monkeypatch.setattr(joint, "open_backend", lambda bundle, threads: fake)
    return fake


@pytest.fixture
def model(tmp_path: Path, backend: Backend) -> JointModel:
    """One that was known again already."""
    made = JointModel(bundle(tmp_path / "colours"))
    made.encode_texts(["red"])
    backend.given.clear()
    return made


def painted(width: int, height: int, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, height), COLOURS[colour])


def test_vectors_are_of_unit_norm_and_those_of_colours(model: JointModel) -> None:
    plain = ColourModel()
    assert np.allclose(model.encode_texts(["red", "blue"]), plain.encode_texts(["red", "blue"]))
    assert np.allclose(model.encode_images([painted(9, 9)]), plain.encode_images([painted(9, 9)]))
    both = model.encode([(painted(9, 9), "green")], "ask")
    assert np.allclose(np.linalg.norm(both, axis=1), 1)
    assert model.encode([], "").shape == (0, 4)


@pytest.mark.parametrize("size", [(40, 20), (20, 40), (32, 32), (300, 1), (7, 7)])
def test_pictures_keep_their_shape_and_a_gallerys_equal_a_querys(
    model: JointModel, backend: Backend, size: tuple[int, int]
) -> None:
    picture = painted(*size)
    model.encode_pixels(model.image_spec.apply(picture)[None])
    model.encode([(picture,)], "see")
    (indexed, told), (asked, _) = backend.given
    assert told == "see"
    first, second = indexed[0], asked[0]
    assert isinstance(first, Image.Image)
    assert isinstance(second, Image.Image)
    assert first.tobytes() == second.tobytes()
    assert max(first.size) == 32
    assert first.width / first.height == pytest.approx(max(1, size[0]) / size[1], rel=0.1) or (
        min(first.size) == 1
    )


def test_a_picture_of_nothing_but_the_padding_stays_a_picture() -> None:
    plain = np.full((4, 4, 3), joint.PADDING, dtype=np.uint8)
    assert unpadded(plain).shape == (4, 4, 3)


def test_queries_and_pictures_are_told_their_own(model: JointModel, backend: Backend) -> None:
    model.encode_texts(["red"])
    model.encode_images([painted(9, 9)])
    assert [told for _, told in backend.given] == ["ask", "see"]


def _rows(*widths: int) -> list[FloatArray]:
    return [np.ones(width, dtype=np.float32) for width in widths]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (_rows(4, 5), "vectors of 5 numbers, and gave 4 before"),
        (_rows(4), "1 vectors for 2 inputs"),
        ([np.zeros(4, np.float32), *_rows(4)], "zero, NaN or infinite"),
        ([np.full(4, np.nan, np.float32), *_rows(4)], "zero, NaN or infinite"),
    ],
)
def test_answers_that_are_no_vectors_are_refused(
    model: JointModel, backend: Backend, answer: list[FloatArray], told: str
) -> None:
    backend.answer = answer
    with pytest.raises(ModelError, match=told):
        model.encode_texts(["red", "blue"])


def test_huge_numbers_are_brought_to_unit_norm(model: JointModel, backend: Backend) -> None:
    backend.answer = [np.full(4, 1e30, np.float32)]
    assert np.allclose(model.encode_texts(["red"]), 0.5)


def test_another_model_behind_the_endpoint_is_told_before_anything_is_encoded(
    model: JointModel, backend: Backend
) -> None:
    anew = JointModel(model.bundle)
    backend.answer = _rows(4)
    for encode in (anew.encode_images, anew.encode_images):
        with pytest.raises(ModelError, match="gives other vectors than when it was added"):
            encode([painted(9, 9)])
    assert [parts for parts, _ in backend.given] == [(WORDS,), (WORDS,)]  # no picture was sent


def test_the_space_is_known_again_wherever_it_is(tmp_path: Path) -> None:
    first = bundle(tmp_path / "a")
    endpoint = {"url": "http://127.0.0.1:10/w", "model": "colours", "shape": "chat"}
    moved = bundle(tmp_path / "b", endpoint=endpoint, instructions={"query": "x", "picture": "see"})
    assert moved.fingerprint == first.fingerprint
    others: tuple[dict[str, Any], ...] = (
        {"instructions": {"query": "ask", "picture": "other"}},
        {"preprocess": {**SPEC, "size": 64}},
        {"endpoint": {**endpoint, "model": "another"}},
    )
    for place, fields in enumerate(others):
        assert bundle(tmp_path / f"c{place}", **fields).fingerprint != first.fingerprint


def test_landmarks_bear_rounding_and_tell_spaces_apart() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(4, 64)).astype(np.float32)
    vectors[0, 3] += 9
    vectors[2, 5] -= 9
    vectors[3, 7] += 9
    assert landmarks(vectors + np.float32(1e-3)) == landmarks(vectors)
    assert landmarks(vectors[:, ::-1].copy()) != landmarks(vectors)


def test_a_bundle_that_sends_elsewhere_has_to_be_added_first(tmp_path: Path) -> None:
    elsewhere = {"url": "https://api.example.org/v1", "model": "m", "shape": "chat"}
    bundle(tmp_path / "sent", endpoint=elsewhere)
    with pytest.raises(ModelError, match=r"to api.example.org; .*--allow-remote"):
        open_model(tmp_path / "sent")


@pytest.mark.parametrize(("seconds", "batch"), [(None, 32), (0.01, 32), (1.0, 10), (60.0, 1)])
def test_a_call_takes_about_ten_seconds(tmp_path: Path, seconds: float | None, batch: int) -> None:
    model = JointModel(bundle(tmp_path / "colours", seconds_a_picture=seconds))
    assert batch_for(model, 5) == batch_for(model, 5_000) == batch


def test_who_receives_pictures_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: JointModel
) -> None:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path))
    elsewhere = {"url": "https://api.example.org:8443/v1", "model": "m", "shape": "chat"}
    bundle(tmp_path / "models" / "there", endpoint=elsewhere)
    assert receiver_of(open_model("there")) == "api.example.org:8443"
    assert receiver_of(model) is None
    assert receiver_of(ColourModel()) is None


def test_what_needs_two_encoders_says_so(tmp_path: Path) -> None:
    bundle(tmp_path / "colours")
    assert open_model(tmp_path / "colours").joint is not None
    with pytest.raises(ModelError, match=r"joint encoder: .*open_model"):
        load_model(tmp_path / "colours")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / "probe.npy").unlink(), "probe.npy is missing"),
        (lambda folder: (folder / "joint.json").write_text("{}"), "missing"),
        (lambda folder: _edit(folder, '"endpoint",', '"telepathy",'), "belongs to the backend"),
        (lambda folder: _edit(folder, "http://127", "file://127"), "no address of an endpoint"),
        (lambda folder: _edit(folder, "http://127.0.0.1:9", "http://[::1"), "no address"),
        (lambda folder: _edit(folder, '"schema_version": 1', '"schema_version": 9'), "upgrade"),
    ],
)
def test_damaged_bundles_are_told(tmp_path: Path, harm: object, told: str) -> None:
    folder = tmp_path / "colours"
    bundle(folder)
    assert callable(harm)
    harm(folder)
    with pytest.raises(BundleError, match=told):
        open_model(folder)


def test_a_backend_of_a_later_version_is_told(tmp_path: Path) -> None:
    bundle(tmp_path / "later", backend="telepathy", endpoint=None)
    with pytest.raises(BundleError, match="run by telepathy, which this composir does not know"):
        open_model(tmp_path / "later").encode_texts(["red"])


def test_the_probe_is_read_with_its_checksum(tmp_path: Path) -> None:
    folder = tmp_path / "colours"
    bundle(folder)
    content = (folder / "probe.npy").read_bytes()
    (folder / "probe.npy").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"probe.npy is damaged"):
        _ = JointBundle.load(folder).fingerprint
    shutil.rmtree(folder)


def _edit(folder: Path, old: str, new: str) -> None:
    path = folder / "joint.json"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
