"""A run folder: whose it is, and when another configuration may have it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from composir.errors import TrainingError
from composir.train.run_folder import CONFIG, LEFT_OUT, MODEL, claim


@dataclass(frozen=True)
class Settings:
    rate: float = 0.1


def rate_of(folder: Path) -> float:
    rate: float = json.loads((folder / CONFIG).read_text())["rate"]
    return rate


@pytest.mark.parametrize("trained", ["checkpoint.pt", "metrics.jsonl", "composer", "heads"])
def test_a_folder_with_something_trained_keeps_its_configuration(
    tmp_path: Path, trained: str
) -> None:
    claim(tmp_path, Settings())
    (tmp_path / trained).mkdir()

    with pytest.raises(TrainingError, match=r"run of another configuration .*choose another --out"):
        claim(tmp_path, Settings(0.5))
    assert rate_of(tmp_path) == 0.1
    claim(tmp_path, Settings())


def test_a_first_try_that_failed_does_not_keep_the_folder(tmp_path: Path) -> None:
    claim(tmp_path / "run", Settings())
    for name in (MODEL, LEFT_OUT):
        (tmp_path / "run" / name).write_text("of the first try")
    claim(tmp_path / "run", Settings(0.5))

    assert rate_of(tmp_path / "run") == 0.5
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CONFIG]


def test_a_damaged_configuration_is_told_where_something_is_trained(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(b"\xff\xfe{")
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(TrainingError, match=r"config\.json is damaged .*choose another --out"):
        claim(tmp_path, Settings())

    (tmp_path / "checkpoint.pt").unlink()
    claim(tmp_path, Settings())
    assert rate_of(tmp_path) == 0.1


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(TrainingError, match="cannot be used as a run folder"):
        claim(tmp_path / "run", Settings())
