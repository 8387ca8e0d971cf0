"""Nothing leaves the machine, and nothing is written but what was asked for.

Each command runs in a sealed child without `CI` in its environment: there, libraries that report
home would do it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import composir
from composir.telemetry import SWITCHES
from tests.e2e.commands import paint_all
from tests.e2e.sealed import can_seal, files_below, run_sealed

sealed = pytest.mark.skipif(not can_seal(), reason="needs seccomp (Linux, x86_64 or aarch64)")
COMMAND = """
from composir.cli.main import app
from typer.testing import CliRunner
def composir(*words):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, (words, done.output, done.exception)
"""


@sealed
def test_the_seal_is_tight(tmp_path: Path) -> None:
    """A check of the check: local pairs pass, a socket of the network kills."""
    local = run_sealed("import socket; socket.socketpair()", tmp_path)
    outward = run_sealed("import socket; socket.socket(socket.AF_INET6)", tmp_path)
    assert local.returncode == 0
    assert outward.returncode < 0


@sealed
def test_index_search_doctor_and_bench_open_no_socket_and_leave_no_file(tmp_path: Path) -> None:
    paint_all(tmp_path / "photos")
    data = tmp_path / "data"
    images = paint_all(data / "images")
    (data / "dataset.json").write_text('{"name": "tiny", "metrics": ["recall@1"]}')
    rows = [f'{{"id": "{p.stem}", "file": "images/{p.name}"}}\n' for p in images]
    (data / "gallery.jsonl").write_text("".join(rows))
    (data / "queries.jsonl").write_text('{"id": "q", "text": "red", "targets": ["red"]}\n')
    before = files_below(tmp_path)
    code = f"""{COMMAND}
composir("index", "photos")
composir("search", "a red thing", "--html", "hits.html")
composir("search", "--image", "photos/blue.png", "in red", "--not", "people")
composir("info")
composir("doctor")
composir("models")
composir("models", "check", "mini")
composir("bench", "data", "--composer", "sum", "--html", "table.html")
"""
    done = run_sealed(code, tmp_path)
    assert done.returncode == 0, done.stderr
    stray = {
        name
        for name in files_below(tmp_path) - before
        if not name.startswith(".local/share/composir/")
    }
    assert stray == {"hits.html", "table.html", "runs/tiny-all-mini-sum.json"}


@sealed
def test_no_picture_goes_to_another_machine_that_nobody_allowed(tmp_path: Path) -> None:
    """An endpoint elsewhere is added with leave alone, and so is a bundle of one."""
    from tests.unit.model.joint.test_model import bundle

    there = {"url": "http://192.0.2.1/v1", "model": "m", "shape": "chat"}
    bundle(tmp_path / "received", endpoint=there)
    paint_all(tmp_path / "photos")
    code = f"""{COMMAND}
def refused(*words):
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 2 and "--allow-remote" in done.output, (words, done.output)
refused("models", "add", "http://192.0.2.1/v1#m")
refused("models", "add", "received")
refused("index", "photos", "--model", "received", "--gallery", "g")
composir("index", "photos", "--gallery", "plain")
refused("search", "red", "--gallery", "plain", "--rerank", "received")
composir("models", "add", "received", "--allow-remote")
composir("models")
composir("models", "remove", "received", "--yes")
"""
    done = run_sealed(code, tmp_path, {"PYTHONPATH": _search_path()})
    assert done.returncode == 0, done.stderr


@sealed
@pytest.mark.torch
def test_training_opens_no_socket_and_writes_into_its_run_and_cache(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    pytest.importorskip("onnx", reason="needs the train extra")
    paint_all(tmp_path / "photos")
    code = f"""{COMMAND}
import pathlib
from tests.torch.towers import make_bundle
make_bundle(pathlib.Path("models/tiny"))
settings = (
    "loop.steps=1", "loop.warmup=0", "loop.evaluate_every=1", "loop.checkpoint_every=1",
    "objective.batch=4", "objective.negatives=2", "objective.bank=4", "mapper.width=8",
    'cache="cache"',
)
chosen = [word for value in settings for word in ("--set", value)]
composir("train", "map", "--model", "models/tiny", "--images", "photos", "--out", "run", *chosen)
"""
    done = run_sealed(code, tmp_path, {"PYTHONPATH": _search_path()})
    assert done.returncode == 0, done.stderr
    tops = {name.partition("/")[0] for name in files_below(tmp_path)}
    assert tops == {"photos", "models", "run", "cache"}


@sealed
def test_the_device_client_switches_it_off_by_itself(tmp_path: Path) -> None:
    """It is copied out of the package, so nothing of composir is loaded before the runtime."""
    from tests.tiny_bundle import make_bundle, make_composer

    model = make_bundle(tmp_path / "tiny")
    folder = make_composer(tmp_path / "isa", model, "pixels", name="tiny-isa")
    from composir.compose.trained import ComposerFolder
    from composir.device.query_export import CLIENT, export_query_side

    export_query_side(ComposerFolder.load(folder), tmp_path / "device")
    np.save(tmp_path / "device" / "picture.npy", np.zeros((9, 9, 3), dtype=np.uint8))
    before = files_below(tmp_path)
    code = f"""
import sys
sys.path.insert(0, "device")
import numpy
from {CLIENT} import QuerySide
assert QuerySide("device").message(numpy.load("device/picture.npy"), "at night")
assert "composir" not in sys.modules
"""
    done = run_sealed(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert files_below(tmp_path) == before


def test_whatever_imports_composir_first_has_the_switches_set() -> None:
    kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    contrary = kept | {"ORT_DISABLE_TELEMETRY": "0"}
    code = "import composir, os, sys; assert 'onnxruntime' not in sys.modules; print(os.environ)"
    said = subprocess.run(
        [sys.executable, "-c", code], env=contrary, capture_output=True, text=True, check=True
    ).stdout
    assert all(f"'{name}': '{value}'" in said for name, value in SWITCHES.items())


def test_no_module_loads_the_runtime_when_it_is_itself_imported() -> None:
    """At module level an import could come before the package's own switches in a copied file."""
    package = Path(composir.__file__).parent
    early = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for node in ast.parse(path.read_text("utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom) and "onnxruntime" in ast.dump(node)
    ]
    assert early == []


def _search_path() -> str:
    root = Path(__file__).parents[2]
    recipe = root / "recipes" / "mini"  # makes the bundles of tests/torch
    return os.pathsep.join([str(root), str(recipe), os.environ.get("PYTHONPATH", "")])
