"""Trained composers on the command line: by name, by folder, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.commands import composir, paint_all
from tests.e2e.test_imports import NEVER, modules_after
from tests.tiny_bundle import make_bundle, make_composer
from tests.unit.bench.makers import write_folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bundle `tiny`, a composer in it, one beside it, and a gallery of colours."""
    monkeypatch.chdir(tmp_path)
    model = make_bundle(tmp_path / "tiny")
    make_composer(tmp_path / "tiny" / "composers" / "inside", model, "pixels", name="inside")
    model = make_bundle(tmp_path / "tiny", default_composer="inside")
    make_composer(tmp_path / "runs" / "isa" / "composer", model, "patch_tokens", name="isa")
    make_composer(tmp_path / "runs" / "shop" / "composer", model, "vector", name="inside")
    paint_all(tmp_path / "pictures")
    assert composir("index", "pictures", "--gallery", "g", "--model", "tiny").exit_code == 0
    return tmp_path


def found(*words: str) -> tuple[str, str]:
    """Composer and first hit of a search."""
    result = composir("search", "--gallery", "g", "--model", "tiny", "--json", *words)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    return answer["composer"], Path(answer["hits"][0]["path"]).stem


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ((), "inside"),
        (("--composer", "inside"), "inside"),
        (("--composer", "runs/isa/composer"), "isa"),
    ],
)
def test_a_trained_composer_searches(place: Path, chosen: tuple[str, ...], name: str) -> None:
    assert found("--image", "pictures/red.png", "is green and white", *chosen) == (name, "yellow")
    assert found("blue", *chosen) == (name, "blue")
    alone = found("--image", "pictures/red.png", "--include-reference", *chosen)
    assert alone == (name, "red")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("magic", "slerp, product, replace, direction, inside; or give the folder"),
        ("runs/isa", "is no composer, but holds one: give runs/isa/composer"),
        ("pictures", "holds no composer.json"),
    ],
)
def test_what_is_no_composer_is_refused(place: Path, chosen: str, message: str) -> None:
    result = composir("search", "red", "--gallery", "g", "--model", "tiny", "--composer", chosen)

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_composer_of_another_bundle_is_refused_with_both_named(place: Path) -> None:
    other = make_bundle(place / "other", patches=False, name="other")
    make_composer(place / "runs" / "other" / "composer", other, "pixels", name="away")
    result = composir(
        *("search", "red", "--gallery", "g", "--model", "tiny"),
        *("--composer", "runs/other/composer"),
    )
    told = " ".join(result.stderr.split())
    assert result.exit_code == 2
    assert "runs/other/composer" in told
    assert "other" in told
    assert "another gallery encoder" in told


def test_another_composer_of_the_same_name_is_told_by_its_run(place: Path) -> None:
    assert found("blue", "--composer", "runs/shop/composer") == ("shop/inside", "blue")


def test_info_lists_the_composers(place: Path) -> None:
    shown = composir("info", "--gallery", "g", "--model", "tiny").stdout
    assert "image, text, sum, slerp, product, replace, direction, inside" in shown
    told = json.loads(composir("info", "--gallery", "g", "--model", "tiny", "--json").stdout)
    assert told["model"]["composers"][-1] == "inside"
    assert told["model"]["default composer"] == "inside"


def test_bench_and_tune_take_a_folder(place: Path) -> None:
    write_folder(place / "set")
    model = ("--model", "tiny", "--no-cache")
    measured = composir("bench", "set", "--composer", "runs/isa/composer", *model, "--out", "out")
    assert measured.exit_code == 0, measured.output
    [written] = (place / "out").glob("*.json")
    header = json.loads(written.read_text())["header"]
    assert header["composer"] == "isa"
    assert len(header["composer_fingerprint"]) == 16


def test_a_trained_composer_never_imports_what_only_training_needs(place: Path) -> None:
    code = """
from typer.testing import CliRunner
from composir.cli.main import app
for name in ("inside", "runs/isa/composer"):
    words = ["search", "--image", "pictures/red.png", "green", "--composer", name]
    result = CliRunner().invoke(app, [*words, "--gallery", "g", "--model", "tiny"])
    assert result.exit_code == 0, result.output
"""
    loaded = modules_after(code)
    assert "onnxruntime" in loaded
    assert not loaded & (NEVER | {"onnx"})
