"""Texts whose vectors a bundle brings: right ones, or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.compose.phrase_files import all_phrases, write_phrases
from composir.compose.retrieved import PhraseVectors
from composir.data.fields import ManifestPart
from composir.errors import BundleError
from composir.model import Bundle, Model, load_model
from composir.model.bundle import MANIFEST_NAME, save_manifest
from composir.model.known_texts import TEXTS, VECTORS, write_known
from composir.types import FloatArray
from tests.hostile import array_variants, refusals
from tests.tiny_bundle import make_bundle

KNOWN: dict[str, FloatArray] = {
    "red": np.array([1, 0, 0, 0], np.float32),
    "a blue thing": np.array([0.6, 0.8, 0, 0], np.float32),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle that knows two texts; what it knows of them is not what it would encode."""
    model = make_bundle(tmp_path / "tiny")
    save_with(model, write_known(model.bundle.folder, KNOWN, model.bundle.text_side_checksum))
    return model.bundle.folder


def save_with(model: Model, known: ManifestPart, **fields: Any) -> None:
    made = model.manifest.model_dump(exclude={"schema_version", "files"})
    save_manifest(model.bundle.folder, made | {"known_texts": known} | fields)


def test_known_texts_come_back_as_unit_vectors(folder: Path) -> None:
    found = load_model(folder).known_texts
    assert list(found) == list(KNOWN)
    for text, vector in KNOWN.items():
        assert found[text].dtype == np.float32
        np.testing.assert_allclose(found[text], vector, atol=1e-3)
        assert np.linalg.norm(found[text]) == pytest.approx(1.0, abs=1e-6)


def test_what_no_text_has_is_not_stored(folder: Path) -> None:
    assert np.load(folder / VECTORS).shape == (2, 2)
    assert np.load(folder / VECTORS).dtype == np.float16


def test_known_texts_are_not_encoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_model(folder)
    encode, asked = model.texts.encode, list[str]()

    def recording(texts: Sequence[str]) -> FloatArray:
        asked.extend(texts)
        return encode(texts)

    monkeypatch.setattr(model.texts, "encode", recording)
    found = PhraseVectors(model)(["red", "a photo", "a blue thing"])
    assert asked == ["a photo"]
    np.testing.assert_allclose(found[0], KNOWN["red"], atol=1e-3)


def test_an_older_bundle_knows_none(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    assert "known_texts" not in (model.bundle.folder / MANIFEST_NAME).read_text()
    assert model.known_texts == {}
    assert PhraseVectors(model)(["red"]).shape == (1, model.dimension)


@pytest.mark.parametrize("changed", ["tokenizer.json", "text.onnx", "words.npy", "max_tokens"])
def test_another_text_side_has_no_use_for_them(folder: Path, changed: str) -> None:
    model = load_model(folder)
    known = model.manifest.known_texts
    assert known is not None
    text = model.manifest.text
    if changed == "max_tokens":
        text = text.model_copy(update={"max_tokens": 12})
    else:
        with (folder / changed).open("ab") as file:
            file.write(b" ")
    save_with(model, known, text=text)
    assert Bundle.load(folder).known_texts() == {}


def test_galleries_and_composers_are_bound_to_nothing_of_it(folder: Path, tmp_path: Path) -> None:
    with_texts, without = Bundle.load(folder), make_bundle(tmp_path / "other").bundle
    assert with_texts.manifest.known_texts is not None
    assert with_texts.fingerprint == without.fingerprint
    assert with_texts.text_checksum == without.text_checksum


def test_a_file_of_theirs_that_is_missing_is_told(folder: Path) -> None:
    (folder / TEXTS).unlink()
    with pytest.raises(BundleError, match=rf"{TEXTS} is missing"):
        Bundle.load(folder)


def test_a_damaged_file_is_told_where_it_is_read(folder: Path) -> None:
    (folder / TEXTS).write_text("red\na green thing\n"[: (folder / TEXTS).stat().st_size])
    bundle = Bundle.load(folder)
    with pytest.raises(BundleError, match=rf"{TEXTS} is damaged"):
        bundle.known_texts()


@pytest.mark.parametrize(
    "rows",
    [
        np.eye(3, 4, dtype=np.float16),
        np.eye(2, 5, dtype=np.float16),
        np.eye(2, 4, dtype=np.float32),
        2 * np.eye(2, 4, dtype=np.float16),
        np.zeros((2, 4), np.float16),
        np.full((2, 4), np.nan, np.float16),
        np.zeros((2, 0), np.float16),
    ],
    ids=["rows", "width", "type", "length", "zero", "NaN", "empty"],
)
def test_vectors_that_are_none_of_these_texts_are_refused(folder: Path, rows: Any) -> None:
    model = load_model(folder)
    np.save(folder / VECTORS, rows)
    known = model.manifest.known_texts
    assert known is not None
    save_with(model, known)
    with pytest.raises(BundleError, match=VECTORS.replace(".", r"\.")):
        Bundle.load(folder).known_texts()


def test_files_that_somebody_made_to_be_wrong(folder: Path) -> None:
    model = load_model(folder)
    known = model.manifest.known_texts
    assert known is not None

    def use(path: Path) -> Any:
        save_with(model, known)
        return Bundle.load(path.parent).known_texts()

    sound = np.load(folder / VECTORS)
    assert refusals(folder / VECTORS, array_variants(sound), use) == set(array_variants(sound))


def test_a_finished_bundle_knows_all_phrases(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    encoded = model.encode_texts(all_phrases())
    save_with(model, write_phrases(model))
    found = load_model(model.bundle.folder).known_texts
    assert tuple(found) == all_phrases()
    np.testing.assert_allclose(np.stack(list(found.values())), encoded, atol=1e-3)
