"""`composir export vectors` and `composir search --store`, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from composir.cli import models
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(models, "resolve_model", lambda name, compute: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    paint_all(tmp_path / "pictures")
    assert composir("index", "pictures", "--gallery", "g").exit_code == 0
    return tmp_path


def test_a_store_is_filled_and_searched(home: Path) -> None:
    to = "lancedb://db/photos"
    first = composir("export", "vectors", "--to", to, "--gallery", "g", "--json")
    assert json.loads(first.stdout) == {"written": 8, "unchanged": 0, "removed": 0}
    again = composir("export", "vectors", "--to", to, "--gallery", "g")
    assert "0 written, 8 unchanged, 0 removed" in again.stderr

    found = composir("search", "red", "--store", to, "-k", "2", "--json", "--where", "width > 1")
    here = composir("search", "red", "--gallery", "g", "-k", "2", "--json", "--where", "width > 1")

    ours, theirs = json.loads(here.stdout), json.loads(found.stdout)
    assert [hit["path"] for hit in theirs["hits"]] == [hit["path"] for hit in ours["hits"]]
    assert (home / "db" / "photos.lance").is_dir()
    asked = composir("search", "red", "--store", to, "--missing", "hide")
    assert asked.exit_code == 2
    assert "does not know which folders were indexed" in asked.stderr


def test_what_needs_a_gallery_is_refused_with_a_store(home: Path) -> None:
    for option in (["--html", "x.html"], ["--gallery", "g"], ["--open"]):
        shown = composir("search", "red", "--store", "lancedb://db/photos", *option)
        assert shown.exit_code == 2
        assert "needs a gallery's folder, and --store asks a store" in " ".join(
            shown.stderr.split()
        )


def test_a_password_in_an_address_is_refused_and_not_repeated(home: Path) -> None:
    shown = composir("search", "red", "--store", "postgresql://u:geheim@host/db")
    assert shown.exit_code == 2
    assert "PGPASSWORD" in shown.stderr
    assert "geheim" not in shown.output + shown.stderr


def test_a_parquet_file_holds_vectors_and_columns(home: Path) -> None:
    assert composir("export", "vectors", "--to", "out.parquet", "--gallery", "g").exit_code == 0

    table = pq.read_table(home / "out.parquet")
    assert len(table) == 8
    assert {"id", "path", "width", "folder", "vector"} <= set(table.column_names)
    lengths = np.linalg.norm(np.stack(table["vector"].to_pylist()).astype(np.float32), axis=1)
    assert lengths == pytest.approx(1.0, abs=1e-2)
