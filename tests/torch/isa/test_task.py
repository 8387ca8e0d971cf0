"""The task: what is frozen stays, chunks and resumed runs change nothing, the queue is the past."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from torch import Tensor  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.isa.light_vector import LightVectorConfig  # noqa: E402
from composir.train.isa.objective import GcdConfig, LarConfig  # noqa: E402
from composir.train.isa.task import IsaTask  # noqa: E402
from composir.train.loop import LoopConfig, train  # noqa: E402
from composir.train.steering import NO_PHRASE, SteeringConfig  # noqa: E402
from tests.torch.isa.makers import LEARNER, OBJECTIVE, changed, make_task  # noqa: E402
from tests.torch.towers import make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
LOOP = LoopConfig(steps=4, warmup=1, evaluate_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> FrozenFoundation:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    make_bundle(folder)
    return FrozenFoundation.load(folder)


def trained(task: IsaTask) -> list[Tensor]:
    return [p for group in task.groups() for p in group.parameters]


def everything(task: IsaTask, foundation: FrozenFoundation) -> dict[str, Tensor]:
    named = {**dict(task.named_parameters()), **dict(foundation.text.named_parameters())}
    return {name: parameter.detach().clone() for name, parameter in named.items()}


@pytest.mark.parametrize("blocks", [0, 1])
def test_frozen_parts_do_not_change_and_trained_ones_do(
    foundation: FrozenFoundation, tmp_path: Path, blocks: int
) -> None:
    task = make_task(foundation, blocks=blocks, light=LightVectorConfig(width=8))
    before = everything(task, foundation)
    train(task, LOOP, tmp_path)
    after = everything(task, foundation)
    moved = {name for name in before if not torch.equal(before[name], after[name])}

    assert "learner.attention.queries" in moved
    assert {"projections.states.weight", "projections.patches.weight"} <= moved
    assert any(name.startswith("encoder.stages.6.") for name in moved) == (blocks == 1)
    assert {"light_vector.linear.weight", "light_vector.mlp.3.weight"} <= moved
    trainable = ("learner.", "light_vector.", "projections.", "encoder.stages.6.")
    assert all(name.startswith(trainable) for name in moved)
    assert all(p.grad is None for p in foundation.text.parameters())


@pytest.mark.parametrize("chunk", [0, 3])
def test_a_rate_of_zero_leaves_what_is_inherited_as_it_is(
    foundation: FrozenFoundation, tmp_path: Path, chunk: int
) -> None:
    objective = OBJECTIVE.changed(encoder_rate=0.0, chunk=chunk)
    light = LightVectorConfig(width=0)
    task = make_task(foundation, blocks=1, light=light, objective=objective)
    assert task.light_vector is not None
    task.light_vector.inherited = True
    task.requires_grad_(requires_grad=False)
    for group in task.groups():
        for parameter in group.parameters:
            parameter.requires_grad = True
    before = everything(task, foundation)
    train(task, LOOP, tmp_path)
    after = everything(task, foundation)
    moved = {name for name in before if not torch.equal(before[name], after[name])}

    assert "learner.attention.queries" in moved
    assert not any(name.startswith(("encoder.", "light_vector.")) for name in moved)


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_give_the_whole_batchs_gradients(foundation: FrozenFoundation, chunk: int) -> None:
    light = LightVectorConfig(width=8, dropout=0.0)
    whole = make_task(foundation, blocks=1, light=light)
    parts = make_task(foundation, blocks=1, light=light, objective=changed(chunk=chunk))
    losses = [task.backward(3) for task in (whole, parts)]

    assert float(losses[0]) == pytest.approx(float(losses[1]), abs=1e-5)
    for one, other in zip(trained(whole), trained(parts), strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad, other.grad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    foundation: FrozenFoundation, tmp_path: Path, norm: str
) -> None:
    learner = LEARNER.changed(norm=norm, dropout=0.2)
    objective = changed(steering=SteeringConfig(phrase_share=0.5), token_dropout=0.5)

    def task() -> IsaTask:
        return make_task(foundation, views=2, learner=learner, objective=objective)

    whole, first, resumed = task(), task(), task()
    figures = train(whole, LOOP, tmp_path / "whole")
    stop_after(first, 3)
    with pytest.raises(KeyboardInterrupt):
        train(first, LOOP, tmp_path / "parts")

    assert train(resumed, LOOP, tmp_path / "parts") == figures
    for one, other in zip(trained(whole), trained(resumed), strict=True):
        assert torch.equal(one, other)


def stop_after(task: IsaTask, steps: int) -> None:
    backward = task.backward

    def stopping(step: int) -> Tensor:
        if step > steps:
            raise KeyboardInterrupt
        return backward(step)

    task.backward = stopping  # type: ignore[method-assign]


def test_the_queue_is_what_the_steps_before_drew(foundation: FrozenFoundation) -> None:
    batches = make_task(foundation).batches
    first, second, third, fourth = (batches.draw(step) for step in (1, 2, 3, 4))

    assert len(first.targets) == 4
    assert torch.equal(second.targets[4:], first.targets[:4])
    assert torch.equal(fourth.targets[4:8], third.targets[:4])
    assert torch.equal(fourth.targets[8:], second.targets[:2])  # newest first, six in all


def test_a_queued_copy_of_a_picture_is_no_negative(foundation: FrozenFoundation) -> None:
    task = make_task(foundation, objective=changed(batch=4, gcd=GcdConfig(queue=40)))
    batch = task.batches.draw(9)

    assert bool(batch.valid.diagonal().all())
    own = batch.targets[:4] @ batch.targets.T > 0.9999
    assert torch.equal(batch.valid, ~own | torch.eye(4, len(batch.targets), dtype=torch.bool))
    assert not bool(batch.valid.all())


def test_every_second_picture_gets_a_phrase_when_half_are_asked_for(
    foundation: FrozenFoundation,
) -> None:
    batch = make_task(foundation).batches.draw(2)

    assert [phrase == NO_PHRASE for phrase in batch.phrases] == [True, False, True, False]
    assert batch.goals.shape == (2, foundation.dimension)


def test_token_dropout_keeps_some_tokens_in_order(foundation: FrozenFoundation) -> None:
    objective = changed(token_dropout=1.0)
    batches = make_task(foundation, objective=objective).batches
    kept = [batches.draw(step).kept.tolist() for step in range(1, 9)]

    assert {len(places) for places in kept} == {1}
    assert {places[0] for places in kept} == {0, 1}


@pytest.mark.parametrize(
    "objective",
    [
        changed(gcd=GcdConfig(contrastive_weight=0.0, queue=0)),
        changed(gcd=GcdConfig(distillation_weight=0.0)),
        changed(lar=LarConfig(weight=0.0)),
        changed(steering=SteeringConfig(phrase_weight=0.0)),
        changed(
            gcd=GcdConfig(contrastive_weight=0.0, distillation_weight=0.0),
            steering=SteeringConfig(phrase_weight=0.0),
        ),
    ],
)
def test_each_term_can_be_switched_off(foundation: FrozenFoundation, objective: object) -> None:
    task = make_task(foundation, objective=objective)  # type: ignore[arg-type]
    loss = task.backward(1)

    assert torch.isfinite(loss)
    assert float(loss) != pytest.approx(float(make_task(foundation).loss(1).detach()), abs=1e-4)
    projected = "projections.states.weight" in dict(task.named_parameters())
    assert projected == (task._objective.lar.weight > 0)


def test_a_matching_encoder_takes_the_place_of_late_interaction(
    foundation: FrozenFoundation,
) -> None:
    seen: list[tuple[int, ...]] = []

    def matcher(tokens: Tensor, patches: Tensor) -> Tensor:
        seen.append((*tokens.shape, *patches.shape))
        return tokens.mean((1, 2)) * patches.mean((1, 2))

    task = make_task(foundation, matcher=matcher)
    task.backward(1)

    assert seen == [(4, 2, foundation.word_dimension, 4, 4, 10)] * 3
    assert len(task.projections) == 0


def test_the_symmetric_variant_is_the_same_code_on_patch_tokens(
    foundation: FrozenFoundation, tmp_path: Path
) -> None:
    task = make_task(foundation, symmetric=True)
    figures = train(task, LOOP, tmp_path)

    assert task.encoder.trained() == ()
    assert {"image/recall@1", "sentence/both@10", "blend/phrase@10", "sum/like@10"} <= set(figures)


def test_training_brings_sentences_to_their_pictures(
    foundation: FrozenFoundation, tmp_path: Path
) -> None:
    task = make_task(foundation, symmetric=True, count=30)
    before = [float(task.loss(step).detach()) for step in range(1, 5)]
    train(task, LoopConfig(steps=60, warmup=3, evaluate_every=60, average=0.5), tmp_path)
    after = [float(task.loss(step).detach()) for step in range(1, 5)]

    assert sum(after) < 0.8 * sum(before)


def test_fewer_pictures_than_a_batch_are_refused(foundation: FrozenFoundation) -> None:
    with pytest.raises(TrainingError, match="3 training images are fewer than a batch of 4"):
        make_task(foundation, count=4)


def test_without_dev_pictures_there_are_no_figures(foundation: FrozenFoundation) -> None:
    assert make_task(foundation, dev_images=0).evaluate() == {}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 1}, "batch is 1"),
        ({"gcd": {"temperature": 0.0}}, r"gcd\.temperature is 0"),
        ({"token_dropout": 1.5}, "token_dropout"),
        ({"lar": {"weight": -1.0}}, r"lar\.weight is -1"),
    ],
)
def test_numbers_out_of_range_are_named(changes: dict[str, object], said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        changed(**changes)
