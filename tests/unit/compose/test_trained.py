"""Folders of trained composers: what is checked before one is trusted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from composir.compose.trained import MANIFEST_NAME, ComposerFolder, save_composer
from composir.errors import BundleError, ModelError

TEXT = "0" * 64
FIELDS: dict[str, Any] = {
    "name": "isa",
    "kind": "sentence",
    "model": {"name": "mini", "fingerprint": "gallery"},
    "text": TEXT,
    "input": "patch_tokens",
    "tokens": 4,
    "word_dimension": 384,
    "licence": "none",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run" / "composer"
    made.mkdir(parents=True)
    (made / "query.onnx").write_bytes(b"query")
    (made / "text.onnx").write_bytes(b"text")
    (made / "README.md").write_text("card")
    save_composer(made, FIELDS)
    return made


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / MANIFEST_NAME
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def test_what_was_saved_is_loaded(folder: Path) -> None:
    composer = ComposerFolder.load(folder)

    assert composer.manifest.name == "isa"
    assert composer.manifest.settings.sentence == 1.0
    assert set(composer.manifest.files) == {"query.onnx", "text.onnx", "README.md"}
    assert composer.file("query.onnx").read_bytes() == b"query"


def test_the_fingerprint_is_of_what_composes(folder: Path) -> None:
    before = ComposerFolder.load(folder).fingerprint
    save_composer(folder, FIELDS | {"licence": "other", "settings": {"image": 0.5}})
    assert ComposerFolder.load(folder).fingerprint == before
    (folder / "query.onnx").write_bytes(b"other")
    save_composer(folder, FIELDS)
    assert ComposerFolder.load(folder).fingerprint != before


def test_a_damaged_graph_is_found_when_it_is_opened(folder: Path) -> None:
    (folder / "query.onnx").write_bytes(b"QUERY")

    with pytest.raises(BundleError, match=r"query\.onnx is damaged .*checksum"):
        ComposerFolder.load(folder).file("query.onnx")


def test_a_missing_and_a_short_file_are_found_at_once(folder: Path) -> None:
    (folder / "query.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"query\.onnx is damaged: 0 bytes"):
        ComposerFolder.load(folder)
    (folder / "query.onnx").unlink()
    with pytest.raises(BundleError, match=r"incomplete: query\.onnx is missing"):
        ComposerFolder.load(folder)


def test_the_run_folder_around_it_is_named(folder: Path) -> None:
    with pytest.raises(BundleError, match=f"holds one: give .*{folder.name}"):
        ComposerFolder.load(folder.parent)


def test_another_folder_is_refused(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(BundleError, match=r"is no composer: it holds no composer\.json"):
        ComposerFolder.load(folder)


def test_a_newer_schema_says_what_to_do(folder: Path) -> None:
    rewrite(folder, lambda raw: raw.update(schema_version=2))
    with pytest.raises(BundleError, match="pip install --upgrade composir"):
        ComposerFolder.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "magic"}, "kind: "),
        ({"kind": "adapted"}, "text_graph belongs to the kind `adapted`"),
        ({"text_graph": "text.onnx"}, "text_graph belongs to the kind `adapted`"),
        ({"switchable": True}, "switchable says something of a text_graph"),
        ({"input": "pixels"}, "preprocess belongs to the input `pixels`"),
        ({"graph": "other.onnx"}, r"other\.onnx is used but not among the files"),
        ({"tokens": 0}, "tokens: "),
        ({"settings": {"sentence": 0.0}}, "all weights of the blend are 0"),
        ({"settings": {"alpha": 1.0}}, "settings.alpha: "),
        ({"templates": {"image": "a photo"}}, r"exactly one \{\}"),
        ({"templates": {"composed": "a photo of {}"}}, r"\{text\} belongs into"),
        ({"extra": 1}, "extra: "),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(
    folder: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError):
        save_composer(folder, FIELDS | change)
    rewrite(folder, lambda raw: raw.update(change))
    with pytest.raises(BundleError, match=f"not a valid manifest: .*{message}"):
        ComposerFolder.load(folder)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"fingerprint": "new"}, r"another gallery encoder \(new instead of gallery\)"),
        ({"text": "1" * 64}, "another text encoder"),
        ({"word_dimension": 512}, r"another width of words \(512 instead of 384\)"),
    ],
)
def test_another_model_is_refused(folder: Path, other: dict[str, Any], message: str) -> None:
    same: dict[str, Any] = {
        "name": "mini",
        "fingerprint": "gallery",
        "text": TEXT,
        "word_dimension": 384,
    }
    composer = ComposerFolder.load(folder)
    composer.check_model(**same)
    with pytest.raises(ModelError, match=f"trained for another model .*{message}"):
        composer.check_model(**same | other)
