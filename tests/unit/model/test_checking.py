"""Checking a model against what it was made from; the family's own code is played."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from composir.errors import ModelError
from composir.model import checking
from composir.model.checking import check_model
from composir.model.model import Model
from tests.tiny_bundle import make_bundle


class Parity:
    """Differences that are too large, as the real one refuses them."""

    def check(self) -> None:
        raise ModelError("the bundle does not compute what its family does")

    def model_dump(self) -> dict[str, float]:
        return {"text": 0.5}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Which family was asked about which checkpoint."""
    found: list[tuple[str, Path]] = []

    def reference(family: str) -> SimpleNamespace:
        return SimpleNamespace(reference=lambda checkpoint: found.append((family, checkpoint)))

    rooms = {
        "checkpoint": SimpleNamespace(Checkpoint=Path),
        "families": SimpleNamespace(family_named=reference),
        "parity": SimpleNamespace(measure=lambda _model, _reference: Parity()),
    }
    monkeypatch.setattr(checking, "load_importer", lambda: None)
    monkeypatch.setattr(checking, "import_module", lambda name: rooms[name.rpartition(".")[2]])
    monkeypatch.setattr(checking, "_family", lambda _model: "clip")
    return found


def bundle(folder: Path, **training: Any) -> Model:
    return make_bundle(folder, training=training)


def test_differences_that_are_too_large_are_an_error(
    tmp_path: Path, asked: list[tuple[str, Path]]
) -> None:
    bundle(tmp_path / "tiny", parity={"text": 1e-6})
    (tmp_path / "source").mkdir()
    with pytest.raises(ModelError, match="does not compute what its family does"):
        check_model(str(tmp_path / "tiny"), str(tmp_path / "source"), lambda _line: None)
    assert asked == [("clip", tmp_path / "source")]


def test_those_of_int8_are_wanted_and_told(tmp_path: Path, asked: list[tuple[str, Path]]) -> None:
    bundle(tmp_path / "tiny", parity={"text": 1e-6}, int8={"text.onnx": {"top10": 0.99}})
    (tmp_path / "source").mkdir()
    said: list[str] = []
    found = check_model(str(tmp_path / "tiny"), str(tmp_path / "source"), said.append)
    assert found.stored == {"text": 1e-6, "int8 text.onnx top10": 0.99}
    assert found.measured == {"text": 0.5}
    assert said == [f"comparing with {tmp_path / 'source'}"]
