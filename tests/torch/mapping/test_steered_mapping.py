"""Stage 1 with neutral phrases beside the pseudo-word: what the loss gains, and its effect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.mapping.caption_bank import neutral_phrases  # noqa: E402
from composir.train.mapping.mapper import Mapper, MapperConfig  # noqa: E402
from composir.train.mapping.task import (  # noqa: E402
    MapBank,
    MapObjective,
    MappingTask,
    PhraseSentences,
)
from composir.train.steering import (  # noqa: E402
    Phrases,
    PhraseSteering,
    SteeringConfig,
)
from tests.torch.towers import make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
PHRASES = Phrases(("in red", "in blue", "at night"), (0, 0, 1))
COUNT = 12


@pytest.fixture(scope="module")
def foundation(tmp_path_factory: pytest.TempPathFactory) -> FrozenFoundation:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_bundle(folder)
    return FrozenFoundation.load(str(folder))


def make_task(foundation: FrozenFoundation, weight: float) -> MappingTask:
    torch.manual_seed(0)
    # The plain cosine, which can be compared between two mappers.
    config = SteeringConfig(
        phrase_weight=weight, phrase_share=0.5, text_weight=3, temperature=0, replaced=0.1
    )
    objective = MapObjective(batch=8, negatives=2, alignment=0.0, rate=0.02, steering=config)
    mapper = MapperConfig(width=16, injection_layers=0, dropout=0.0)
    vectors = torch.nn.functional.normalize(torch.randn(COUNT, foundation.dimension), dim=1)
    rows = np.arange(COUNT)
    texts = torch.zeros(0, foundation.dimension)
    steering = PhraseSteering(PHRASES, foundation.encode_texts(PHRASES.texts), config)
    return MappingTask(
        foundation,
        Mapper(foundation.dimension, foundation.word_statistics(neutral_phrases()), None, mapper),
        MapBank(vectors, None, rows, rows[:0], texts, [[] for _ in rows]),
        objective,
        seed=0,
        steered=PhraseSentences(steering, "a photo of {} {text}"),
    )


def nearness(task: MappingTask) -> float:
    """Mean cosine of all pictures' sentences with "in blue" to where they should lead."""
    assert task.steered is not None
    with torch.no_grad():
        tokens = task.mapper.eval()(task.bank.vectors, None)[0]
        composed = task._encoded(tokens, task.steered.template, ["in blue"] * COUNT)
        goals = task.steered.steering.targets(task.bank.vectors, [1] * COUNT)
        return float((composed * goals).sum(1).mean())


def learn(task: MappingTask, steps: int) -> None:
    weights = [p for group in task.groups() for p in group.parameters]
    optimiser = torch.optim.Adam(weights, lr=task.objective.rate)
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        task.loss(step).backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def test_steering_adds_its_weighted_loss_and_nothing_at_weight_zero(
    foundation: FrozenFoundation,
) -> None:
    none, one, two = (float(make_task(foundation, w).loss(1).detach()) for w in (0.0, 1.0, 2.0))

    assert one > none + 0.1
    assert two - one == pytest.approx(one - none, abs=1e-4)


def test_phrases_get_their_say_where_they_are_trained_for(foundation: FrozenFoundation) -> None:
    steered, plain = make_task(foundation, 5.0), make_task(foundation, 5.0)
    before = nearness(plain)
    learn(steered, 50)
    plain.steered, judge = None, plain.steered
    learn(plain, 50)
    plain.steered = judge

    assert nearness(steered) > before + 0.05
    assert nearness(steered) > nearness(plain) + 0.02


def test_a_batch_too_small_for_its_share_goes_unsteered(foundation: FrozenFoundation) -> None:
    steered, plain = make_task(foundation, 1.0), make_task(foundation, 0.0)
    assert steered.steered is not None
    few = SteeringConfig(phrase_weight=1.0, phrase_share=0.01)
    steering = PhraseSteering(PHRASES, foundation.encode_texts(PHRASES.texts), few)
    steered.steered = PhraseSentences(steering, steered.steered.template)

    assert float(steered.loss(1).detach()) == pytest.approx(float(plain.loss(1).detach()))


def test_pic2word_is_not_steered(tmp_path: Path) -> None:
    from composir.errors import TrainingError
    from composir.train.baselines.pic2word import PRESET, train_pic2word
    from composir.train.config import read_config
    from composir.train.mapping.recipe import MapConfig

    made = read_config(MapConfig, None, PRESET)
    assert made.objective.steering.phrase_weight == 0.0
    changed = read_config(MapConfig, None, (*PRESET, "objective.steering.phrase_weight=1.0"))
    with pytest.raises(TrainingError, match=r"objective\.steering"):
        train_pic2word(changed, tmp_path / "run", lambda _: None)
