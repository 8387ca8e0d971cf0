"""`--device`: one option everywhere, refused clearly before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from composir.cli import models
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel

BENCH = ("bench", "pictures", "--composer", "sum")


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.chdir(tmp_path)
    paint_all(Path("pictures"))


@pytest.mark.parametrize("verb", [("index", "pictures"), BENCH])
def test_a_device_that_is_not_here_is_told_with_what_is(verb: tuple[str, ...]) -> None:
    result = composir(*verb, "--device", "gpu")
    assert result.exit_code == 2
    assert "--device gpu: it can be auto, cpu, cuda" in result.stderr
    assert "here there are:" in result.stderr
    assert not Path("gallery").exists()


def test_indexing_takes_what_there_is_and_a_search_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[models.Compute] = []

    def resolve(_name: str | None, compute: models.Compute) -> ColourModel:
        asked.append(compute)
        return ColourModel()

    monkeypatch.setattr(models, "resolve_model", resolve)
    assert composir("index", "pictures").exit_code == 0
    assert composir("search", "red", "--threads", "1").exit_code == 0
    assert composir("search", "red", "--device", "cuda").exit_code == 0
    assert [one.device for one in asked] == ["auto", "cpu", "cuda"]
    assert [one.threads for one in asked] == [None, 1, None]
