"""What starts fast stays fast: who imports what, seen from fresh interpreters."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import composir
from tests.e2e.commands import paint_all

PUBLIC = [
    "AsyncClient",
    "Client",
    "ComposirError",
    "Confidence",
    "Crop",
    "Failure",
    "Gallery",
    "Hit",
    "IndexReport",
    "Query",
    "SearchResult",
    "__version__",
    "load_composer",
    "load_model",
    "open_gallery",
    "open_model",
    "read_image",
]
NEVER = {
    *("torch", "transformers", "pandas", "torchvision", "scipy", "matplotlib"),
    *("fastapi", "starlette", "uvicorn", "httpx", "mcp", "prometheus_client"),
}
UNASKED = {"bench", "foundation", "serve", "train", "triplets"}
HEAVY = {"numpy", "lance", "pyarrow", "onnxruntime", "tokenizers", "PIL", "rich", "pydantic"}


def modules_after(code: str, *, top: bool = True) -> set[str]:
    """Modules that a fresh interpreter has after running some code; of packages, only the tops."""
    ending = "import json, sys; print(); print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ending}"], capture_output=True, text=True, check=True
    )
    names = json.loads(done.stdout.splitlines()[-1])
    return {name.partition(".")[0] for name in names} if top else set(names)


def test_the_public_names_are_these() -> None:
    assert composir.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(composir, name) is not None
    assert set(dir(composir)) == set(PUBLIC)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        composir.serach  # noqa: B018


def test_import_composir_loads_nothing_else() -> None:
    assert not modules_after("import composir") & (HEAVY | NEVER)


def test_help_loads_no_model_and_no_gallery() -> None:
    code = """
from typer.testing import CliRunner
from composir.cli.main import app
assert CliRunner().invoke(app, ["--help"]).exit_code == 0
"""
    assert not modules_after(code) & {"lance", "onnxruntime", "numpy", "PIL"}


def test_indexing_and_searching_never_import_what_only_training_needs(tmp_path: Path) -> None:
    paint_all(tmp_path / "pictures")
    code = f"""
from tests.e2e.commands import composir
from tests.fakes import ColourModel
from composir.cli import models
models.resolve_model = lambda name, threads: ColourModel()
where = ["--gallery", r"{tmp_path / "gallery"}"]
for words in (
    ["index", r"{tmp_path / "pictures"}", *where],
    ["search", "red", "--html", r"{tmp_path / "hits.html"}", *where],
    ["search", "--image", r"{tmp_path / "pictures" / "blue.png"}", "red", "--json", *where],
    ["info", *where],
):
    result = composir(*words)
    assert result.exit_code == 0, result.output
"""
    loaded = modules_after(code, top=False)
    assert "lance" in loaded
    assert not {name.partition(".")[0] for name in loaded} & NEVER
    assert not loaded & {f"composir.{room}" for room in UNASKED}


def test_judging_hits_and_signing_the_reference_need_no_masked_arrays() -> None:
    code = """
import numpy as np
from PIL import Image
from composir.gallery.confidence import standout
from composir.gallery.duplicates import sign_picture
assert sign_picture(Image.radial_gradient("L").convert("RGB")).perceptual_hash
assert standout(1.0, np.arange(50, dtype=np.float32) / 100, 50) > 0
"""
    assert "numpy.ma" not in modules_after(code, top=False)


def test_a_search_without_a_filter_loads_no_parser() -> None:
    loaded = modules_after("import composir.gallery.search, composir.gallery.gallery", top=False)
    assert "composir.gallery.ranking" in loaded
    assert not loaded & {
        f"composir.gallery.{name}" for name in ("filters", "expressions", "sidecar")
    }


def test_a_search_without_a_page_loads_no_templates() -> None:
    code = "import composir.cli.search, composir.cli.render, composir.pages.contact_sheet"
    assert not modules_after(code) & {"jinja2", "markupsafe"}
