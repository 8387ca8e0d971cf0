"""Bundles: what is checked before a model is trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from composir.errors import BundleError
from composir.model import PACKAGED, Bundle, load_model
from composir.model.bundle import MANIFEST_NAME, save_manifest

FILES = {"image.onnx": b"image", "text.onnx": b"text", "t.json": b"{}", "words.npy": b"words"}
FIELDS: dict[str, Any] = {
    "name": "made",
    "dimension": 4,
    "word_dimension": 3,
    "image": {"graph": "image.onnx", "preprocess": {"size": 8}},
    "text": {
        "graph": "text.onnx",
        "tokenizer": "t.json",
        "words": {"values": "words.npy"},
        "max_tokens": 8,
    },
    "templates": {},
    "default_composer": "sum",
    "licence": "none",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bundle"
    made.mkdir()
    for name, content in FILES.items():
        (made / name).write_bytes(content)
    save_manifest(made, FIELDS)
    return made


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / MANIFEST_NAME
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_what_was_saved_is_loaded(folder: Path) -> None:
    bundle = Bundle.load(folder)

    assert bundle.manifest.name == "made"
    assert set(bundle.manifest.files) == set(FILES)
    assert bundle.file("text.onnx").read_bytes() == b"text"


def test_a_damaged_file_is_found_when_it_is_opened(folder: Path) -> None:
    (folder / "text.onnx").write_bytes(b"tEXt")
    bundle = Bundle.load(folder)

    assert bundle.file("image.onnx").exists()
    with pytest.raises(BundleError, match=r"text\.onnx is damaged .*checksum"):
        bundle.file("text.onnx")


def test_a_file_cut_short_is_found_at_loading(folder: Path) -> None:
    (folder / "text.onnx").write_bytes(b"te")
    with pytest.raises(BundleError, match=r"text\.onnx is damaged: 2 bytes, the manifest says 4"):
        Bundle.load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "t.json").unlink()
    with pytest.raises(BundleError, match=r"incomplete: t\.json is missing"):
        Bundle.load(folder)


def test_a_newer_schema_says_how_to_upgrade(folder: Path) -> None:
    rewrite(folder, lambda raw: raw.update(schema_version=2))
    with pytest.raises(BundleError, match="pip install --upgrade composir"):
        Bundle.load(folder)


def test_an_invalid_manifest_names_the_field(folder: Path) -> None:
    rewrite(folder, lambda raw: raw.update(dimension="wide"))
    with pytest.raises(BundleError, match="not a valid manifest: dimension: "):
        Bundle.load(folder)


@pytest.mark.parametrize("content", ["{", "[]", ""])
def test_what_is_no_manifest_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST_NAME).write_text(content)
    with pytest.raises(BundleError, match=r"bundle\.json"):
        Bundle.load(folder)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no model bundle: it holds no bundle\.json"):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("name", ["../outside.onnx", "/outside.onnx"])
def test_files_outside_of_the_bundle_are_refused(folder: Path, name: str) -> None:
    (folder.parent / "outside.onnx").write_bytes(b"text")
    rewrite(folder, lambda raw: raw["files"].update({name: raw["files"]["text.onnx"]}))
    with pytest.raises(BundleError, match="names a file outside the folder"):
        Bundle.load(folder)


def test_a_file_that_is_used_must_be_listed(folder: Path) -> None:
    rewrite(folder, lambda raw: raw["files"].pop("words.npy"))
    with pytest.raises(BundleError, match=r"uses words\.npy but does not list it"):
        Bundle.load(folder)


def test_a_name_that_is_not_listed_is_not_opened(folder: Path) -> None:
    (folder / "extra").write_bytes(b"x")
    with pytest.raises(BundleError, match="holds no file named extra"):
        Bundle.load(folder).file("extra")


def test_the_fingerprint_follows_the_image_side_alone(folder: Path) -> None:
    before = Bundle.load(folder).fingerprint
    (folder / "text.onnx").write_bytes(b"another text side")
    save_manifest(folder, FIELDS | {"name": "other", "default_composer": "slerp"})
    assert Bundle.load(folder).fingerprint == before

    image = {"graph": "image.onnx", "preprocess": {"size": 9}}
    save_manifest(folder, FIELDS | {"image": image})
    assert Bundle.load(folder).fingerprint != before
    (folder / "image.onnx").write_bytes(b"another image side")
    save_manifest(folder, FIELDS)
    assert Bundle.load(folder).fingerprint != before


def test_the_packaged_bundle_is_whole(tmp_path: Path) -> None:
    bundle = Bundle.load(PACKAGED["mini"])

    assert all(bundle.file(name).is_file() for name in bundle.manifest.files)
    copy = shutil.copytree(bundle.folder, tmp_path / "copy")
    assert load_model(copy).fingerprint == bundle.fingerprint


def with_mean(folder: Path, mean: NDArray[Any]) -> Bundle:
    np.save(folder / "mean.npy", mean)
    save_manifest(folder, {**FIELDS, "mean_image": "mean.npy"})
    return Bundle.load(folder)


def test_a_bundle_of_an_earlier_version_knows_no_limit_of_copies(folder: Path) -> None:
    assert Bundle.load(folder).manifest.copy_similarity is None
    assert "copy_similarity" not in (folder / MANIFEST_NAME).read_text()


@pytest.mark.parametrize("limit", [1.5, -2, "0.9x"])
def test_a_limit_of_copies_that_is_no_cosine_is_refused(folder: Path, limit: object) -> None:
    rewrite(folder, lambda raw: raw.update(copy_similarity=limit))

    with pytest.raises(BundleError, match="copy_similarity"):
        Bundle.load(folder)


def test_a_mean_picture_is_read(folder: Path) -> None:
    mean = np.arange(4, dtype=np.float32)

    assert Bundle.load(folder).mean_image() is None
    found = with_mean(folder, mean).mean_image()
    assert found is not None
    assert found.tolist() == mean.tolist()


@pytest.mark.parametrize(
    "mean",
    [
        np.zeros(5, np.float32),
        np.zeros((1, 4), np.float32),
        np.zeros(4, np.float64),
        np.array([0, 1, 2, np.nan], np.float32),
        np.array([0, 1, 2, np.inf], np.float32),
    ],
    ids=["width", "shape", "type", "NaN", "infinite"],
)
def test_a_mean_picture_that_is_none_is_refused(folder: Path, mean: NDArray[Any]) -> None:
    with pytest.raises(BundleError, match=r"mean\.npy"):
        with_mean(folder, mean).mean_image()


def test_a_spread_is_read(folder: Path) -> None:
    assert Bundle.load(folder).spread() is None
    np.save(folder / "spread.npy", np.eye(3, 4, dtype=np.float16))
    save_manifest(folder, {**FIELDS, "spread": "spread.npy"})
    found = Bundle.load(folder).spread()
    assert found is not None
    assert found.dtype == np.float32
    assert found.tolist() == np.eye(3, 4).tolist()


@pytest.mark.parametrize(
    "factor",
    [np.eye(5, dtype=np.float16), np.eye(4), np.full((4, 4), np.nan, np.float16)],
    ids=["width", "type", "NaN"],
)
def test_a_spread_that_is_none_is_refused(folder: Path, factor: NDArray[Any]) -> None:
    np.save(folder / "spread.npy", factor)
    save_manifest(folder, {**FIELDS, "spread": "spread.npy"})
    with pytest.raises(BundleError, match=r"spread\.npy"):
        Bundle.load(folder).spread()


def test_a_mean_picture_that_is_no_array_is_refused(folder: Path) -> None:
    (folder / "mean.npy").write_bytes(b"no array")
    save_manifest(folder, {**FIELDS, "mean_image": "mean.npy"})

    with pytest.raises(BundleError, match=r"mean\.npy"):
        Bundle.load(folder).mean_image()


def test_a_mean_picture_asks_for_no_new_index(folder: Path) -> None:
    before = Bundle.load(folder).fingerprint

    assert with_mean(folder, np.zeros(4, np.float32)).fingerprint == before
