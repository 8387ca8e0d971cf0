"""Composers of one edition of a model, taken over to another with the same text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from carry_over import TRAINED_ON, carry_over

from composir.compose.trained import ComposerFolder, TrainedFor, save_composer

TEXT = "0" * 64
FIELDS: dict[str, Any] = {
    "name": "map",
    "kind": "sentence",
    "model": {"name": "mini", "fingerprint": "first"},
    "text": TEXT,
    "input": "patch_tokens",
    "tokens": 4,
    "word_dimension": 384,
    "licence": "none",
    "training": {"seed": 3},
}


@pytest.fixture
def composer(tmp_path: Path) -> ComposerFolder:
    folder = tmp_path / "map"
    folder.mkdir()
    (folder / "query.onnx").write_text("graph")
    (folder / "README.md").write_text("- Model: mini (first), frozen.\n- Another line.\n")
    save_composer(folder, FIELDS)
    return ComposerFolder.load(folder)


def test_manifest_and_card_name_both_editions_and_files_stay(
    tmp_path: Path, composer: ComposerFolder
) -> None:
    second, third = (TrainedFor(name="mini", fingerprint=name) for name in ("second", "third"))
    carried = carry_over(composer, second, TEXT, tmp_path / "second")
    again = carry_over(carried, third, TEXT, tmp_path / "third")

    again.check_model("mini", "third", TEXT, 384)
    assert again.manifest.training == {"seed": 3, TRAINED_ON: "first"}
    assert again.file("query.onnx").read_text() == "graph"
    assert (
        "(second), frozen. It was trained on vectors of first,"
        in carried.file("README.md").read_text()
    )
    assert (
        "(third), frozen. It was trained on vectors of first,"
        in again.file("README.md").read_text()
    )
    assert composer.manifest.model.fingerprint == "first"


def test_another_text_encoder_is_refused(tmp_path: Path, composer: ComposerFolder) -> None:
    model = TrainedFor(name="mini", fingerprint="second")
    with pytest.raises(SystemExit, match="text encoder is another one"):
        carry_over(composer, model, "1" * 64, tmp_path / "second")
    assert not (tmp_path / "second").exists()
