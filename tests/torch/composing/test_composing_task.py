"""The composing loss and task against values worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor  # noqa: E402

from composir.compose.trained import ComposerFolder  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.images import read_image  # noqa: E402
from composir.model.sessions import open_session  # noqa: E402
from composir.train.blend import BlendSettings  # noqa: E402
from composir.train.composing.adapters import AdaptedTower, AdapterConfig  # noqa: E402
from composir.train.composing.comparison_table import vectors_of  # noqa: E402
from composir.train.composing.frozen_inputs import (  # noqa: E402
    encode_references,
    freeze_triplets,
    index_triplets,
)
from composir.train.composing.frozen_triplets import (  # noqa: E402
    FrozenTriplets,
    IndexedTriplets,
    ranks,
    recalls,
)
from composir.train.composing.mining import MiningConfig  # noqa: E402
from composir.train.composing.task import (  # noqa: E402
    WATCHED,
    ComposingConfig,
    ComposingTask,
)
from composir.train.composing.triplet_files import read_triplets  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.gallery_features import gallery_features  # noqa: E402
from composir.types import FloatArray  # noqa: E402
from tests.torch.composing.tiny_start import (  # noqa: E402
    make_model,
    make_stage1,
    make_triplets,
)
from tests.torch.towers import SPEC  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
CONFIG = ComposingConfig(batch=6, rate=3e-3, anchor_texts=2, anchor_images=2, anchor_weight=1.0)
MINING = MiningConfig(neighbours=2, text=2, shown=0, pool=6, hardest=4, refresh_every=2)


def test_ranks_leave_the_reference_out_and_count_ties_ahead() -> None:
    asked = IndexedTriplets(
        references=np.array([0, 1]),
        texts=("", ""),
        targets=(frozenset({2, 4}), frozenset({0})),
        shown=((), ()),
        text_vectors=np.zeros((2, 2), dtype=np.float32),
    )
    scores = np.array([[9, 5, 4, 5, 5], [3, 9, 3, 1, 4]], dtype=np.float32)

    assert ranks(scores, asked).tolist() == [3, 3]
    assert recalls(scores, asked) == {"recall@1": 0.0, "recall@5": 100.0, "recall@10": 100.0}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    model = make_model(folder / "bundle")
    make_stage1(folder / "map", model)
    make_stage1(folder / "isa", model, pixels=True, vector=True, name="tiny-isa")
    make_triplets(folder / "triplets")
    return folder


def apart(vectors: FloatArray) -> FloatArray:
    """Random unit vectors instead: the tiny image tower sees all pictures as all but the same."""
    drawn = np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


def parts_of(
    folder: Path, foundation: FrozenFoundation, starts: Sequence[str]
) -> tuple[FloatArray, list[FrozenTriplets]]:
    """Vectors of the images, and the triplets as each start's query side puts them."""
    composers = [ComposerFolder.load(folder / start / "composer") for start in starts]
    data, model = read_triplets(folder / "triplets"), foundation.model
    references = frozenset(t.reference for t in data.triplets)
    features = gallery_features(folder / "cache", data.gallery, model)
    images = encode_references(data.gallery, references, composers, features)
    asked = index_triplets(data.triplets, images, model)
    made = zip(images.references, composers, strict=True)
    return images.vectors, [freeze_triplets(asked, one, start, model) for one, start in made]


def task(
    folder: Path,
    config: ComposingConfig = CONFIG,
    captions: int = 3,
    starts: Sequence[str] = ("map",),
    mining: MiningConfig = MINING,
) -> ComposingTask:
    foundation = FrozenFoundation.load(folder / "bundle")
    images, parts = parts_of(folder, foundation, starts)
    torch.manual_seed(0)
    tower = AdaptedTower(foundation.text, AdapterConfig(width=4, dropout=0.0))
    texts = ["a red dog", "a blue lamp", "a photo of a dog"][:captions]
    return ComposingTask(
        foundation,
        tower,
        apart(images),
        {name: (part, part) for name, part in zip(starts, parts, strict=True)},
        texts,
        (config, mining),
        seed=0,
    )


def value(loss: Tensor) -> float:
    return float(loss.detach())


def gradients(made: ComposingTask) -> list[Tensor]:
    found = [p.grad for group in made.groups() for p in group.parameters]
    assert all(gradient is not None for gradient in found)
    return [gradient for gradient in found if gradient is not None]


def test_a_step_is_a_function_of_its_number_and_moves_adapters_alone(tiny: Path) -> None:
    made = task(tiny)
    torch.manual_seed(1)
    first = made.loss(1)
    first.backward()  # type: ignore[no-untyped-call]

    assert torch.isfinite(first)
    assert any(bool(gradient.abs().sum() > 0) for gradient in gradients(made))
    assert all(p.grad is None for p in made.tower.frozen.parameters())
    assert value(task(tiny).loss(1)) == pytest.approx(value(first), abs=1e-6)
    assert value(task(tiny).loss(2)) != pytest.approx(value(first), abs=1e-6)


def test_the_anchor_is_zero_at_the_start_and_pulls_back_later(tiny: Path) -> None:
    plain = CONFIG.changed(anchor_weight=0.0)
    started = value(task(tiny).loss(1)) - value(task(tiny, plain).loss(1))
    assert started == pytest.approx(0.0, abs=1e-5)

    moved, free = task(tiny), task(tiny, plain)
    with torch.no_grad():
        for made in (moved, free):
            torch.manual_seed(1)
            for parameter in made.tower.trained().values():
                parameter.add_(torch.randn_like(parameter))
    assert value(moved.loss(1)) > value(free.loss(1)) + 1e-4


def test_without_captions_the_image_sentences_are_anchored_alone(tiny: Path) -> None:
    made = task(tiny, captions=0)

    assert torch.isfinite(made.loss(1))
    assert made.evaluate()["anchor/cosine"] == 1.0


def test_torch_and_runtime_compose_the_same_queries(tiny: Path) -> None:
    foundation = FrozenFoundation.load(tiny / "bundle")
    _, (part,) = parts_of(tiny, foundation, ["map"])
    ours = task(tiny).queries(part).numpy()
    theirs = vectors_of(part, foundation.model.texts).composed

    assert np.abs(ours - theirs).max() < 1e-4


def test_steps_take_the_query_sides_in_turn(tiny: Path) -> None:
    plain = MINING.changed(refresh_every=0)
    alone = [task(tiny, starts=[name], mining=plain) for name in ("map", "isa")]
    both = task(tiny, starts=["map", "isa"], mining=plain)
    for step in (1, 2, 3):
        losses = []
        for made in (both, alone[step % 2], alone[(step + 1) % 2]):
            torch.manual_seed(step)
            losses.append(value(made.loss(step)))
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)
        assert losses[0] != pytest.approx(losses[2], abs=1e-6)


def test_figures_are_means_over_the_query_sides(tiny: Path) -> None:
    alone = [task(tiny, starts=[name]).evaluate() for name in ("map", "isa")]
    both = task(tiny, starts=["map", "isa"]).evaluate()

    for key in ("dev/recall@1", "dev/recall@10", WATCHED):
        assert both[key] == pytest.approx((alone[0][key] + alone[1][key]) / 2)
    assert alone[0][WATCHED] != alone[1][WATCHED]
    assert both["dev/isa/mean_recall"] == pytest.approx(alone[1][WATCHED])
    assert "dev/map/mean_recall" not in alone[0]


def test_a_graphs_own_vector_takes_the_place_of_the_gallerys(tiny: Path) -> None:
    foundation = FrozenFoundation.load(tiny / "bundle")
    gallery, (mapped, light) = parts_of(tiny, foundation, ["map", "isa"])
    graph = ComposerFolder.load(tiny / "isa" / "composer").file("query.onnx")
    reference = read_triplets(tiny / "triplets").triplets[0].reference
    pixels = SPEC.apply(read_image(reference, min_side=2 * SPEC.size).rgb)
    (own,) = open_session(graph).run(["vector"], {"pixels": pixels[None]})

    assert np.array_equal(mapped.vectors, gallery[mapped.indexed.references])
    assert np.allclose(light.vectors[0], own[0], atol=1e-5)
    assert np.abs(light.vectors.numpy() - mapped.vectors.numpy()).max() > 0.1
    assert np.array_equal(vectors_of(light, foundation.model.texts).image, light.vectors)

    image_alone = CONFIG.changed(blend=BlendSettings(sentence=0.0, image=1.0))
    queries = task(tiny, image_alone, starts=["isa"]).queries(light)
    assert torch.allclose(queries, light.vectors, atol=1e-5)


def test_fewer_triplets_than_a_batch_are_refused(tiny: Path) -> None:
    with pytest.raises(TrainingError, match="24 training triplets are fewer than a batch of 99"):
        task(tiny, CONFIG.changed(batch=99))
