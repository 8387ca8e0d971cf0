"""Where recipes train: the choice, and that nothing of a run stays behind on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train import loop  # noqa: E402
from composir.train.composing.adapters import AdaptedTower, AdapterConfig  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.run import COMPOSER, RunConfig  # noqa: E402
from composir.train.run_folder import claim  # noqa: E402
from composir.train.sentences import encode_sentences  # noqa: E402
from composir.train.workers import CPU, open_workers, training_device  # noqa: E402
from tests.e2e.commands import composir  # noqa: E402
from tests.torch.pretended import GPU, OnGpu, pretended_gpu  # noqa: E402
from tests.torch.towers import make_bundle  # noqa: E402
from tests.torch.trainers import TRAINERS, Trainer, check_query, write_data  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("devices")
    make_bundle(folder / "bundle")
    write_data(folder)
    return folder


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=TRAINERS)
def test_a_whole_run_is_on_the_gpu(
    trainer: Trainer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[str] = set()
    whole = loop._Loop.step

    def step(run: Any, number: int) -> float:
        loss: float = whole(run, number)
        for parameter in run.parameters:
            seen.update({parameter.device.type, parameter.grad.device.type})
        seen.update(one.device.type for one in run.average)
        return loss

    monkeypatch.setattr(loop._Loop, "step", step)
    with pretended_gpu():
        trainer(home, tmp_path / "run")
    assert seen == {GPU.type}
    check_query(tmp_path / "run" / COMPOSER, load_model(home / "bundle"))


def test_adapters_are_where_their_tower_is(tmp_path: Path) -> None:
    make_bundle(tmp_path / "bundle", appearance=True)
    with pretended_gpu():
        foundation = FrozenFoundation.load(tmp_path / "bundle", str(GPU))
        tower = AdaptedTower(foundation.text, AdapterConfig(width=4, appearance=8))
        words = torch.ones(2, 1, foundation.word_dimension, device=GPU)
        made = encode_sentences(foundation, tower.adapted, "a photo of {}", words)
        made.vectors.sum().backward()  # type: ignore[no-untyped-call]
    gradients = [one.grad for one in tower.trained().values()]
    assert {one.device for one in gradients if one is not None} == {GPU}
    assert made.vectors.shape == (2, foundation.dimension)


def test_the_pretended_gpu_is_as_strict_as_a_real_one() -> None:
    with pretended_gpu():
        there, here = torch.ones(2, 3, device=GPU), torch.ones(2, 3)
        assert isinstance(there + 1.0, OnGpu)
        assert (there + here.to(GPU)).cpu().tolist() == [[2.0] * 3] * 2
        assert there[[1]].device == GPU
        for mixed in (lambda: there + here, lambda: there @ here.T, there.numpy):
            with pytest.raises((RuntimeError, TypeError)):
                mixed()
        with pytest.raises(RuntimeError, match="some on the CPU"):
            torch.nn.Linear(3, 3)(there)


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    first = torch.device("cuda", 0)
    assert [training_device(name) for name in ("auto", "cuda", "cpu")] == [first, first, CPU]
    assert open_workers("cuda").device == first
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [training_device(name) for name in ("auto", "cpu")] == [CPU, CPU]
    with pytest.raises(TrainingError, match="finds no GPU here"):
        training_device("cuda")


@pytest.mark.parametrize(
    "verb",
    [
        "map --data {}/own",
        "isa --data {}/own",
        "baseline pic2word --data {}/own",
        "compose --triplets {}/triplets",
    ],
)
def test_a_gpu_that_is_not_there_is_an_error_of_the_command(
    verb: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = verb.format(home).split()
    told = composir("train", *words, "--device", "cuda", "--out", tmp_path / "run")
    assert told.exit_code == 2
    assert "--device cuda: torch" in told.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_may_go_on_elsewhere(tmp_path: Path) -> None:
    claim(tmp_path / "run", RunConfig(device="cuda"))
    said = (tmp_path / "run" / "config.json").read_text()
    assert "device" not in said
    (tmp_path / "run" / "checkpoint.pt").touch()
    claim(tmp_path / "run", RunConfig(device="cpu"))
    with pytest.raises(TrainingError, match="another configuration"):
        claim(tmp_path / "run", RunConfig(device="cpu", seed=1))
