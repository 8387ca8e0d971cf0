"""Measuring: bounded, remembered, never needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from composir.gallery import Gallery
from composir.model import load_model
from composir.model.pace import (
    Pace,
    best_pace,
    known_pace,
    other_paces,
    pace_key,
    remember_pace,
    usual_pace,
)
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scenes


class Machine:
    """Time passes only while pictures are encoded; each batch has its own speed."""

    def __init__(self, seconds_a_picture: dict[int, float]) -> None:
        self.now, self.costs = 0.0, seconds_a_picture
        self.tried: list[int] = []

    def run(self, pace: Pace) -> None:
        self.now += self.costs[pace.batch] * pace.pictures
        self.tried.append(pace.batch)

    def best(self, limit: float = 2.0) -> Pace:
        usual = usual_pace("cpu", 2)
        others = other_paces(usual, "cpu")
        return best_pace(usual, others, self.run, limit=limit, clock=lambda: self.now)


def test_the_fastest_way_is_found() -> None:
    machine = Machine({2: 0.01, 1: 0.02, 4: 0.008, 8: 0.006, 16: 0.009})
    assert machine.best() == Pace(8, 2)
    assert sorted(machine.tried) == [1, 2, 2, 4, 8, 16]


def test_a_small_difference_may_be_chance() -> None:
    assert Machine({2: 0.01, 1: 0.02, 4: 0.0098, 8: 0.0097, 16: 0.01}).best() == Pace(2, 2)


@pytest.mark.parametrize("cost", [0.02, 0.1, 0.5, 30.0])
def test_time_is_bounded_on_a_slow_machine(cost: float) -> None:
    machine = Machine(dict.fromkeys((1, 2, 4, 8, 16), cost))
    machine.best()
    assert machine.now <= max(2.0, 4 * cost)  # the usual way once, at least


def test_on_a_device_many_pictures_are_tried() -> None:
    paces = list(other_paces(usual_pace("cuda", 8), "cuda"))
    assert {pace.batch for pace in paces} == {8, 16, 32, 64}
    assert {pace.runs for pace in paces} == {1, 2}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_what_was_measured_is_remembered(home: Path) -> None:
    assert known_pace("a") is None
    remember_pace("a", Pace(4, 2))
    remember_pace("b", Pace(8, 1))
    assert known_pace("a") == Pace(4, 2)
    assert known_pace("b") == Pace(8, 1)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 3}', '{"a": {"batch": -1, "runs": 2}}', "é"])
def test_a_file_that_says_nothing_is_measured_anew_and_replaced(home: Path, content: str) -> None:
    home.mkdir()
    (home / "pace.json").write_text(content, encoding="latin-1")
    assert known_pace("a") is None
    remember_pace("a", Pace(4, 2))
    assert known_pace("a") == Pace(4, 2)


def test_a_folder_that_cannot_be_written_is_no_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file")
    remember_pace("a", Pace(4, 2))
    assert known_pace("a") is None


def test_a_model_measures_once_and_takes_what_it_found(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Pace] = []

    def measured(usual: Pace, *_rest: object) -> Pace:
        asked.append(usual)
        return Pace(3, 1)

    monkeypatch.setattr("composir.model.image_encoder.best_pace", measured)
    for _ in range(2):
        model = load_model("mini", threads=1)
        assert model.find_batch() == 3
        assert model.images.pace == Pace(3, 1)
    assert asked == [Pace(2, 1)]


def test_every_pace_gives_the_same_vectors(home: Path) -> None:
    model = load_model("mini", threads=2)
    size = model.image_spec.size
    pixels = np.random.default_rng(0).integers(0, 255, (5, size, size, 3), dtype=np.uint8)
    usual = model.encode_pixels(pixels)
    remember_pace(pace_key(model.fingerprint, "cpu", 2), Pace(4, 1))
    assert model.find_batch() == 4
    assert np.abs(model.encode_pixels(pixels) - usual).max() < 1e-3


class Measuring(ColourModel):
    def __init__(self) -> None:
        super().__init__()
        self.measured = 0

    def find_batch(self) -> int:
        self.measured += 1
        return 64


@pytest.mark.parametrize(("pictures", "batch", "times"), [(6, None, 1), (4, None, 0), (6, 8, 0)])
def test_only_long_runs_that_name_no_number_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: int, batch: int | None, times: int
) -> None:
    monkeypatch.setattr("composir.model.pace.WORTH_IT", 5)
    scenes(tmp_path / "pictures", range(pictures))
    model = Measuring()
    gallery = Gallery.create_or_open(tmp_path / "gallery", model)
    assert gallery.index([tmp_path / "pictures"], batch_size=batch).added == pictures
    assert model.measured == times
