"""Damaged galleries at the command line: each verb tells the way out, and it leads out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from composir.cli import models
from tests.e2e.commands import composir, typed
from tests.fakes import ColourModel
from tests.unit.gallery.damages import DAMAGES, FIRST, IMAGES, TABLE, make_gallery

VERBS = {
    "search": ["search", "red", "--json"],
    "search to a page": ["search", "red", "--html", "hits.html"],
    "explain": ["search", "red", "and green", "--explain", "why.html"],
    "info": ["info", "--json"],
    "index": ["index", "pictures", "--json"],
    "forget": ["forget", "pictures", "--yes"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def gallery(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setattr("composir.model.open_model", lambda name: ColourModel())
    copied = shutil.copytree(whole, tmp_path / "gallery")
    shutil.copytree(whole.parent / "pictures", tmp_path / "pictures")
    monkeypatch.setenv("COMPOSIR_GALLERY", str(copied))
    monkeypatch.chdir(tmp_path)
    return copied


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("damage", ["data cut short", "table missing", "manifest missing"])
def test_every_verb_tells_the_way_out(gallery: Path, damage: str, verb: str) -> None:
    DAMAGES[damage](gallery)

    result = composir(*VERBS[verb])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"composir repair {gallery}" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not Path("hits.html").exists()
    assert not Path("why.html").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_doctor_finds_the_damage_and_repair_mends_it(
    gallery: Path, whole: Path, damage: str
) -> None:
    DAMAGES[damage](gallery)
    broken = composir("doctor", "--json")
    assert broken.exit_code == 1
    checks = {check["name"]: check for check in json.loads(broken.stdout)["checks"]}
    assert checks["gallery"]["state"] == "broken"
    assert checks["gallery"]["remedy"] == f"composir repair {gallery}"

    repaired = composir("repair")

    assert repaired.exit_code == 0
    assert repaired.stderr == ""
    assert composir("doctor", "--deep").exit_code == 0
    assert composir("index", whole.parent / "pictures").exit_code == 0
    assert len(composir("search", "red").stdout.splitlines()) == IMAGES


def test_repair_says_what_is_lost_and_how_it_comes_back(gallery: Path, whole: Path) -> None:
    DAMAGES["data cut short"](gallery)

    lines = composir("repair", gallery).stdout.splitlines()

    assert lines[0].startswith("damaged: images.lance/data/")
    assert lines[1] == f"1 pictures are in {gallery}"
    command = f"composir index {whole.parent / 'pictures'} --gallery {gallery}"
    assert lines[2] == f"{FIRST - 1} are lost; to read them again: {command}"
    assert lines[3].startswith(f"the old state is kept in {gallery}.damaged-")
    assert typed(command).exit_code == 0
    assert len(composir("search", "red").stdout.splitlines()) == IMAGES


def test_repair_tells_programs(gallery: Path) -> None:
    assert json.loads(composir("repair", "--json").stdout)["next"] is None
    DAMAGES["table missing"](gallery)
    report = json.loads(composir("repair", "--gallery", gallery, "--json").stdout)
    assert (report["images"], report["lost"]) == (0, IMAGES)
    assert report["next"].startswith("composir index ")
    assert Path(report["aside"]).is_dir()


def test_nothing_damaged_is_said_and_nothing_done(gallery: Path) -> None:
    result = composir("repair")
    assert result.exit_code == 0
    assert result.stdout == f"nothing is damaged in {gallery}: {IMAGES} pictures\n"


def test_repair_refuses_what_is_no_gallery_and_two_galleries(gallery: Path) -> None:
    assert composir("repair", "pictures").exit_code == 2
    assert "not a gallery" in composir("repair", "pictures").stderr
    both = composir("repair", "pictures", "--gallery", gallery)
    assert both.exit_code == 2
    assert "name one" in both.stderr


def test_deep_reads_what_a_quick_look_does_not(gallery: Path) -> None:
    import lance
    import pyarrow as pa

    dataset = lance.dataset(str(gallery / TABLE))
    ids = dataset.to_table(columns=["id"])["id"].to_pylist()[-1:]
    broken = pa.table({"id": ids, "thumbnail": pa.array([b"no jpeg"], pa.binary())})
    dataset.merge_insert("id").when_matched_update_all().execute(broken)

    assert composir("doctor").exit_code == 0
    deep = composir("doctor", "--deep")
    assert deep.exit_code == 1
    assert f"1 of {IMAGES} rows have a damaged thumbnail" in deep.stdout


INDEX_WITH_EMPTY_LISTS = """
import sys, numpy, pyarrow
import composir.gallery.store

def build(**_):
    import lance
    vectors = numpy.repeat(numpy.eye(3, 8), 20, axis=0).astype("float16")
    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), 8)
    table = lance.write_dataset(pyarrow.table({"vector": column}), sys.argv[1])
    table.create_index("vector", index_type="IVF_RQ", metric="cosine", num_partitions=8)
"""
IN_A_PROGRAM = "build()"
AS_COMMAND = "from composir.cli import entry, main; main.app = build; entry.run()"


@pytest.mark.parametrize("is_command_line", [True, False])
def test_warnings_of_lance_are_kept_from_people_and_left_to_host_programs(
    tmp_path: Path, is_command_line: bool
) -> None:
    """In a process of its own: Lance asks for its settings when it is loaded."""
    program = INDEX_WITH_EMPTY_LISTS + (AS_COMMAND if is_command_line else IN_A_PROGRAM)
    environment = {k: v for k, v in os.environ.items() if k not in {"LANCE_LOG", "RUST_BACKTRACE"}}
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "table.lance")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert ("WARN" not in result.stderr) == is_command_line
