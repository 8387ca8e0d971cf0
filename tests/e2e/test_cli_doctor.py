"""`composir doctor` on a healthy machine and on broken ones."""

import json
from pathlib import Path

import numpy as np
import pytest

from composir.cli import doctor, models
from composir.errors import BundleError
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel

GREY = np.full((1, 8, 8, 3), 128, dtype=np.uint8)


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.chdir(tmp_path)


def diagnosis() -> tuple[int, dict[str, dict[str, str]]]:
    result = composir("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["healthy"] == (result.exit_code == 0)
    return result.exit_code, {check["name"]: check for check in report["checks"]}


def test_a_healthy_machine() -> None:
    paint_all(Path("pictures"))
    composir("index", "pictures")
    exit_code, found = diagnosis()
    assert exit_code == 0
    for name in ("packages", "onnxruntime", "model", "gallery"):
        assert found[name]["state"] == "ok"
    assert "8 pictures" in found["gallery"]["detail"]


def test_no_gallery_yet_is_no_fault() -> None:
    exit_code, found = diagnosis()
    assert exit_code == 0
    assert found["gallery"]["state"] == "note"
    assert "composir index" in found["gallery"]["remedy"]


def test_a_missing_extra_is_no_fault_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("composir.cli.extras.find_spec", lambda _name: None)
    exit_code, found = diagnosis()
    assert exit_code == 0
    assert "pip install 'composir[heif]'" in found["extra heif"]["remedy"]


def test_a_damaged_model_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(_name: str | None, _threads: int | None) -> ColourModel:
        raise BundleError("text.onnx is damaged")

    monkeypatch.setattr(models, "resolve_model", damaged)
    exit_code, found = diagnosis()
    assert exit_code == 1
    assert found["model"]["state"] == "broken"
    assert found["model"]["detail"] == "text.onnx is damaged"


def test_a_model_of_wrong_vectors_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ColourModel, "encode_texts", lambda self, texts: 2 * self.encode_pixels(GREY)
    )
    exit_code, found = diagnosis()
    assert exit_code == 1
    assert "length" in found["model"]["detail"]


def test_a_gallery_of_another_model_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    paint_all(Path("pictures"))
    composir("index", "pictures")
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel("colours-2"))
    exit_code, found = diagnosis()
    assert exit_code == 1
    assert found["gallery"]["state"] == "broken"


def test_a_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_CORE", ("numpy", "no-such-package"))
    exit_code, found = diagnosis()
    assert exit_code == 1
    assert found["packages"]["detail"] == "not installed: no-such-package"


def test_people_read_a_line_a_check() -> None:
    result = composir("doctor")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "everything needed works"
    assert any(line.startswith("ok      python") for line in result.stdout.splitlines())


def test_what_onnxruntime_can_run_on_is_listed_and_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "devices_here", lambda: ("cuda", "webgpu", "cpu"))
    fault = {"cuda": None, "webgpu": "no driver"}
    monkeypatch.setattr(doctor, "try_device", fault.get)
    exit_code, found = diagnosis()
    assert exit_code == 0
    assert "--device auto, cuda, webgpu, cpu" in found["onnxruntime"]["detail"]
    assert found["device cuda"]["state"] == "ok"
    assert found["device webgpu"]["state"] == "note"
    assert "no driver" in found["device webgpu"]["detail"]
