"""A run folder: whose it is, and when another configuration may have it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from composir.errors import OutputError, TrainingError
from composir.train.config import Rate, Settings, Texts
from composir.train.run_folder import CONFIG, LEFT_OUT, MODEL, claim, refuse_taken_over


class RateSettings(Settings):
    rate: Rate = 0.1
    more: Texts = ()


def rate_of(folder: Path) -> float:
    rate: float = json.loads((folder / CONFIG).read_text())["rate"]
    return rate


@pytest.mark.parametrize("trained", ["checkpoint.pt", "metrics.jsonl", "composer", "heads"])
def test_a_folder_with_something_trained_keeps_its_configuration(
    tmp_path: Path, trained: str
) -> None:
    claim(tmp_path, RateSettings())
    (tmp_path / trained).mkdir()

    with pytest.raises(TrainingError, match=r"run of another configuration .*choose another --out"):
        claim(tmp_path, RateSettings(rate=0.5))
    assert rate_of(tmp_path) == 0.1
    claim(tmp_path, RateSettings())


def test_a_first_try_that_failed_does_not_keep_the_folder(tmp_path: Path) -> None:
    claim(tmp_path / "run", RateSettings())
    for name in (MODEL, LEFT_OUT):
        (tmp_path / "run" / name).write_text("of the first try")
    claim(tmp_path / "run", RateSettings(rate=0.5))

    assert rate_of(tmp_path / "run") == 0.5
    assert [path.name for path in (tmp_path / "run").iterdir()] == [CONFIG]


@pytest.mark.parametrize(
    "content",
    ['{"model_type": "clip"}\n', '{"rate": 0.5, "other": 1}\n', "[]", "{ // mine\n}", "not JSON"],
)
def test_a_configuration_that_no_such_run_wrote_is_left_alone(tmp_path: Path, content: str) -> None:
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(TrainingError, match=r"another configuration .*choose another --out"):
        claim(tmp_path, RateSettings())
    assert (tmp_path / CONFIG).read_text() == content


@pytest.mark.parametrize("name", [MODEL, LEFT_OUT, "README.md", "holiday.jpg"])
def test_a_folder_of_other_things_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"holds something else \({name}\); name a new"):
        claim(tmp_path, RateSettings())
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("cut", ["", "{\n", '{\n  "rate": 0.'])
def test_a_configuration_that_was_cut_off_does_not_keep_the_folder(
    tmp_path: Path, cut: str
) -> None:
    (tmp_path / CONFIG).write_text(cut)
    claim(tmp_path, RateSettings())
    assert rate_of(tmp_path) == 0.1


def test_links_in_a_run_folder_are_not_written_through(tmp_path: Path) -> None:
    claim(tmp_path / "run", RateSettings())
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run" / "metrics.jsonl").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=r"metrics\.jsonl: is a link"):
        claim(tmp_path / "run", RateSettings())


def test_going_on_does_not_write_the_configuration_again(tmp_path: Path) -> None:
    claim(tmp_path, RateSettings())
    (tmp_path / "checkpoint.pt").touch()
    before = (tmp_path / CONFIG).stat().st_mtime_ns
    claim(tmp_path, RateSettings())
    assert (tmp_path / CONFIG).stat().st_mtime_ns == before


def claim_elsewhere(folder: Path, rate: float) -> None:
    """Another process claims the folder."""
    code = (
        "import pathlib, sys\n"
        "from tests.torch.test_run_folder import RateSettings, claim\n"
        "claim(pathlib.Path(sys.argv[1]), RateSettings(rate=float(sys.argv[2])))\n"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, folder, str(rate)], check=True, cwd=root)


def test_a_run_ends_where_another_configuration_took_its_folder_over(tmp_path: Path) -> None:
    claim(tmp_path, RateSettings())
    refuse_taken_over(tmp_path / "stage")
    claim_elsewhere(tmp_path, 0.1)  # the same configuration, e.g. the same run gone on
    refuse_taken_over(tmp_path)

    claim_elsewhere(tmp_path, 0.5)
    for folder in (tmp_path, tmp_path / "stage"):
        with pytest.raises(TrainingError, match=r"taken over by .*config\.json.*another --out"):
            refuse_taken_over(folder)
    refuse_taken_over(tmp_path.parent)
    claim(tmp_path, RateSettings(rate=0.7))
    refuse_taken_over(tmp_path)


def test_a_damaged_configuration_is_told_where_something_is_trained(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(b"\xff\xfe{")
    (tmp_path / "checkpoint.pt").touch()
    with pytest.raises(TrainingError, match=r"config\.json is damaged .*choose another --out"):
        claim(tmp_path, RateSettings())

    (tmp_path / "checkpoint.pt").unlink()
    with pytest.raises(TrainingError, match="damaged"):  # it may be somebody's own
        claim(tmp_path, RateSettings())


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(OutputError, match="run: is a file, but a folder is needed"):
        claim(tmp_path / "run", RateSettings())


def test_a_configuration_of_an_earlier_version_is_gone_on_with(tmp_path: Path) -> None:
    old = '{"rate": 0.5}'  # before there was `more`
    (tmp_path / CONFIG).write_text(old)
    (tmp_path / "checkpoint.pt").touch()
    claim(tmp_path, RateSettings(rate=0.5))

    assert (tmp_path / CONFIG).read_text() == old
    refuse_taken_over(tmp_path)
    with pytest.raises(TrainingError, match="another configuration"):
        claim(tmp_path, RateSettings(rate=0.5, more=("x",)))
