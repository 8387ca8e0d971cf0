"""Chunks give the whole batch's gradients; several processes give one's."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from composir.errors import MissingExtraError, TrainingError  # noqa: E402
from composir.train.gradient_cache import backward_in_chunks  # noqa: E402
from composir.train.workers import (  # noqa: E402
    AccelerateWorkers,
    Workers,
    open_workers,
    own_slice,
)

pytestmark = pytest.mark.torch
INPUTS = torch.randn(12, 5, generator=torch.Generator().manual_seed(4))


def tower(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def contrast(left: Tensor, right: Tensor) -> Tensor:
    scores = functional.normalize(left, dim=1) @ functional.normalize(right, dim=1).T / 0.2
    loss: Tensor = functional.cross_entropy(scores, torch.arange(len(scores)))
    return loss


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def in_chunks(model: nn.Module, size: int) -> Tensor:
    chunks = list(INPUTS.split(size))
    return backward_in_chunks(lambda rows: (model(rows), model(rows * 2)), chunks, contrast)


@pytest.mark.parametrize("size", [1, 5, 12])
def test_chunks_give_the_whole_batchs_loss_and_gradients(size: int) -> None:
    whole, parts = tower(), tower()
    loss = contrast(whole(INPUTS), whole(INPUTS * 2))
    loss.backward()  # type: ignore[no-untyped-call]

    assert torch.allclose(in_chunks(parts, size), loss.detach(), atol=1e-6)
    for ours, theirs in zip(gradients(parts), gradients(whole), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_both_passes_draw_the_same_dropout() -> None:
    model = tower(dropout=0.5)
    torch.manual_seed(9)
    in_chunks(model, 12)
    again = tower(dropout=0.5)
    torch.manual_seed(9)
    contrast(again(INPUTS), again(INPUTS * 2)).backward()  # type: ignore[no-untyped-call]

    for ours, theirs in zip(gradients(model), gradients(again), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


class Half:
    """One of two processes; the other's rows are known to the test."""

    def __init__(self, rank: int, other: list[Tensor]) -> None:
        self.rank, self.count, self.device = rank, 2, torch.device("cpu")
        self._other = list(other)

    def gather(self, rows: Tensor) -> Tensor:
        other = self._other.pop(0)
        joined: Tensor = torch.cat((rows, other) if self.rank == 0 else (other, rows))
        return joined

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        raise NotImplementedError

    def main_first(self) -> object:
        raise NotImplementedError


def test_the_gradients_of_two_processes_add_up_to_those_of_one() -> None:
    whole = tower()
    contrast(whole(INPUTS), whole(INPUTS * 2)).backward()  # type: ignore[no-untyped-call]
    total = [torch.zeros_like(g) for g in gradients(whole)]
    halves = INPUTS.split(6)
    for rank in (0, 1):
        model = tower()
        with torch.no_grad():
            other = [model(halves[1 - rank]), model(halves[1 - rank] * 2)]
        encode = lambda rows, m=model: (m(rows), m(rows * 2))  # noqa: E731
        backward_in_chunks(encode, list(halves[rank].split(3)), contrast, Half(rank, other))  # type: ignore[arg-type]
        total = [t + g for t, g in zip(total, gradients(model), strict=True)]

    for ours, theirs in zip(total, gradients(whole), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_batch_is_shared_out_evenly_or_refused() -> None:
    assert own_slice(12, Half(1, [])) == slice(6, 12)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="batch of 13 cannot be shared by 2"):
        own_slice(13, Half(0, []))  # type: ignore[arg-type]


def test_one_process_without_a_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    assert type(open_workers()) is Workers


def test_a_launcher_without_accelerate_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtraError, match=r"composir\[accelerate\]"):
        open_workers()


def test_accelerate_gathers_rows_and_sums_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    class Accelerator:
        process_index, num_processes, device = 1, 2, torch.device("cpu")

        def __init__(self, *, cpu: bool) -> None:
            assert cpu != torch.cuda.is_available()

        def gather(self, rows: Tensor) -> Tensor:
            joined: Tensor = torch.cat([rows + 1, rows])
            return joined

        def reduce(self, gradient: Tensor, reduction: str) -> Tensor:
            assert reduction == "sum"
            return gradient + gradient

    monkeypatch.setitem(sys.modules, "accelerate", SimpleNamespace(Accelerator=Accelerator))
    workers = AccelerateWorkers()
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.tensor([1.0, 2.0])
    unused = nn.Parameter(torch.ones(1))
    workers.sum_gradients([weight, unused])

    assert (workers.rank, workers.count) == (1, 2)
    assert workers.gather(torch.zeros(1, 2)).tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert weight.grad.tolist() == [2.0, 4.0]
    assert unused.grad is not None
