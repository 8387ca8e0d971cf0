"""`composir index --model OTHER` on a gallery that another model made."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from composir.cli import models
from composir.errors import ModelNotFoundError
from tests.containers import pack, picture
from tests.e2e.commands import composir, paint_all
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.test_beside import Turned


def resolve(name: str | None, _compute: models.Compute) -> ColourModel:
    if name in {None, "colours"}:
        return ColourModel()
    if name == "turned":
        return Turned()
    raise ModelNotFoundError(f"no model named {name}")


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "resolve_model", resolve)
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.chdir(tmp_path)
    paint_all(Path("pictures"))
    assert composir("index", "pictures").exit_code == 0


def best() -> str:
    found = json.loads(composir("search", "red", "--json").stdout)
    return Path(found["hits"][0]["path"]).stem


def test_the_gallery_is_the_other_models_and_needs_no_name_from_then_on() -> None:
    assert best() == "red"
    Path("pictures/red.png").rename("pictures/scarlet.png")

    result = composir("index", "pictures", "--model", "turned")

    assert result.exit_code == 0
    assert "searches go on with colours until that is done" in result.stderr
    assert "the gallery is the model turned's now; 1 were deleted" in result.stderr
    assert "8 pictures in" in result.stdout
    assert best() == "green"
    again = composir("index", "pictures", "--json")
    assert json.loads(again.stdout)["model_before"] is None
    assert json.loads(again.stdout)["unchanged"] == 8


def test_its_own_model_by_name_changes_nothing() -> None:
    result = composir("index", "pictures", "--model", "colours", "--json")
    told = json.loads(result.stdout)
    assert (told["model_before"], told["unchanged"]) == (None, 8)


def test_pictures_in_tars_and_tables_come_along() -> None:
    colours = {name: picture(name) for name in COLOURS}
    pack(Path("shards/0.tar"), {f"{name}.png": colours[name] for name in ("red", "green")})
    pq.write_table(pa.table({"image": [colours["blue"]]}), "shards/set.parquet")
    assert composir("index", "shards", "--gallery", "g").exit_code == 0

    result = composir("index", "shards", "--gallery", "g", "--model", "turned", "--json")

    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["model_before"], told["unchanged"], told["total"]) == ("colours", 3, 3)
    found = json.loads(composir("search", "red", "--gallery", "g", "--json").stdout)
    assert Path(found["hits"][0]["path"]).name == "green.png"


def test_a_broken_tar_leaves_the_gallery_to_the_old_model() -> None:
    place = pack(Path("shards/0.tar"), {"red.png": picture("red"), "green.png": picture("green")})
    assert composir("index", "shards", "--gallery", "g").exit_code == 0
    place.write_bytes(place.read_bytes()[:600])

    result = composir("index", "shards", "--gallery", "g", "--model", "turned")

    assert result.exit_code != 0
    assert "2 of 2 pictures cannot be reached now" in result.stderr
    assert "cut short" in result.stderr
    assert "the gallery stays with colours" in result.stderr
    info = json.loads(composir("info", "--gallery", "g", "--json").stdout)
    assert info["images"] == 2


def test_programs_read_whose_it_was() -> None:
    result = composir("index", "pictures", "--model", "turned", "--json")
    assert json.loads(result.stdout)["model_before"] == "colours"


def test_ctrl_c_leaves_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("composir.gallery.beside.switch_model", stopped)
    result = composir("index", "pictures", "--model", "turned")
    assert result.exit_code == 130
    assert "the gallery is still colours's" in result.stderr
    assert best() == "red"


def test_a_model_that_is_not_there_changes_nothing() -> None:
    result = composir("index", "pictures", "--model", "nobody")
    assert result.exit_code == 2
    assert best() == "red"
