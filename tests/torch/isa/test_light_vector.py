"""The light side's estimate of v: its loss by hand, and that training brings it closer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.isa.light_vector import (  # noqa: E402
    LightVector,
    LightVectorConfig,
    light_vector_loss,
)
from tests.torch.towers import DIMENSION, SIZE, make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
NONE = torch.zeros(12, 0)
"""Statistics of a network of which none are known."""


def test_the_loss_by_hand() -> None:
    """Estimates swapped between two orthogonal pictures: cosine 0, rankings the wrong way round."""
    targets = torch.eye(2)
    config = LightVectorConfig(temperature=1.0, cosine_weight=3.0)
    likely, unlikely = math.e / (math.e + 1), 1 / (math.e + 1)
    wrong = likely * math.log(likely / unlikely) + unlikely * math.log(unlikely / likely)

    assert float(light_vector_loss(targets, targets, config)) == pytest.approx(0.0, abs=1e-6)
    swapped = float(light_vector_loss(targets.flip(0), targets, config))
    assert swapped == pytest.approx(wrong + 3.0, abs=1e-5)


def test_queued_vectors_are_ranked_but_are_nobodys_own() -> None:
    targets = torch.nn.functional.normalize(torch.randn(5, 4), dim=1)
    config = LightVectorConfig()
    exact = light_vector_loss(targets[:2], targets, config)

    assert float(exact) == pytest.approx(0.0, abs=1e-5)
    ranked = light_vector_loss(targets[[1, 0]], targets, LightVectorConfig(cosine_weight=0.0))
    assert float(ranked) > 0.0


def test_training_brings_estimates_to_the_vectors() -> None:
    torch.manual_seed(0)
    maps, targets = torch.randn(12, 6, 3, 3), torch.randn(12, 4)
    targets = torch.nn.functional.normalize(targets, dim=1)
    head = LightVector(6, 4, LightVectorConfig(width=32, dropout=0.0))
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    before = light_vector_loss(head(maps, NONE), targets, head.config)
    for _ in range(60):
        optimiser.zero_grad()
        light_vector_loss(head(maps, NONE), targets, head.config).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    made = head.eval()(maps, NONE).detach()

    assert torch.allclose(made.norm(dim=1), torch.ones(12), atol=1e-5)
    assert float(light_vector_loss(made, targets, head.config)) < 0.3 * float(before.detach())


@pytest.mark.parametrize(
    "changes", [{"weight": -1.0}, {"width": -1}, {"temperature": 0.0}, {"dropout": 1.0}]
)
def test_numbers_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(TrainingError, match=r"weight|width|temperature|dropout"):
        LightVectorConfig().changed(**changes)


@pytest.mark.parametrize("width", [0, 8])
def test_the_gallerys_head_without_attention_is_where_an_inherited_one_starts(
    tmp_path: Path, width: int
) -> None:
    image, _ = make_bundle(tmp_path / "tiny")
    bundle = load_model(tmp_path / "tiny").bundle
    head = LightVector.of_gallery(bundle, LightVectorConfig(width=width)).eval()
    maps = torch.randn(3, image.trunk.head.in_channels, 2, 2, generator=torch.manual_seed(3))
    with torch.no_grad():
        # Even attention, and no correction: what is left of the gallery's head is linear.
        image.head.attention.weight.zero_()
        image.head.attention.bias.zero_()
        pooled = image.head.norm(image.trunk.widen(maps).mean(dim=(2, 3)))
        by_hand = image.head.project(pooled.repeat(1, image.head.attention.out_features))
        gap = head(maps, torch.zeros(3, 0)) - torch.nn.functional.normalize(by_hand, dim=-1)

    assert float(gap.abs().max()) < 0.02  # the bundle holds int8 weights
    assert len(head.new_parameters()) == (4 if width else 0)
    assert len(head.inherited_parameters()) == 6


def test_the_gallerys_names_are_inherited_and_told_as_the_gallery_tells_them(
    tmp_path: Path,
) -> None:
    image, _ = make_bundle(tmp_path / "tiny", names=True)
    model = load_model(tmp_path / "tiny")
    head = LightVector.of_gallery(model.bundle, LightVectorConfig(width=0)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    generator = torch.manual_seed(3)
    meanings = torch.nn.functional.normalize(torch.randn(3, DIMENSION, generator=generator), dim=1)
    averages = torch.randn(3, image.trunk.head.out_channels, generator=generator)
    with torch.no_grad():
        seen = image((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0)
        assert image.names is not None
        assert head.names is not None
        told, exact = (one(meanings, averages) for one in (head.names, image.names))

    np.testing.assert_allclose(model.encode_pixels(pixels), seen.numpy(), atol=0.06)  # int8 weights
    torch.testing.assert_close(told, exact, atol=0.06, rtol=0.0)
    assert float((exact - meanings).abs().max()) > 0.2
    assert len(head.inherited_parameters()) == 9
