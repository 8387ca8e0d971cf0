"""The light side's network: the same map in two parts, libraries by name, patch tokens."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor, nn  # noqa: E402

from composir.errors import MissingExtraError, TrainingError  # noqa: E402
from composir.images.preprocess import PreprocessSpec  # noqa: E402
from composir.model import Model, load_model  # noqa: E402
from composir.train.isa.efficientnet_lite import (  # noqa: E402
    LITE_SPECS,
)
from composir.train.isa.light_encoder import (  # noqa: E402
    LibraryEncoder,
    LightEncoderConfig,
    LiteEncoder,
    PatchTokens,
    load_light_encoder,
)
from tests.torch.towers import LITE, SIZE, make_bundle, seeing_trunk  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
SPEC = PreprocessSpec(size=8)


def lite(blocks: int) -> LiteEncoder:
    torch.manual_seed(0)
    config = LightEncoderConfig(trained_blocks=blocks)
    return LiteEncoder(seeing_trunk(), PreprocessSpec(size=SIZE), config).eval()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A tiny bundle."""
    folder = tmp_path_factory.mktemp("light") / "tiny"
    make_bundle(folder)
    return load_model(folder)


def pixels(size: int = SIZE) -> Tensor:
    drawn: Tensor = torch.randint(0, 256, (2, size, size, 3), generator=torch.manual_seed(1)).byte()
    return drawn


def test_the_cut_does_not_change_the_map() -> None:
    seen = [encoder.upper(encoder.lower(pixels())) for encoder in (lite(0), lite(1), lite(2))]
    spec = lite(0).preprocess
    mean, std = (255.0 * torch.tensor(one)[:, None, None] for one in (spec.mean, spec.std))
    whole = seeing_trunk().climb((pixels().permute(0, 3, 1, 2).float() - mean) / std)

    assert whole[0].shape[1:] == (lite(0).channels, 2, 2)
    for one in seen:
        for part, expected in zip(one, whole, strict=True):
            torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-4)


def test_a_frozen_trunk_is_cached_whole_and_trained_blocks_are_not() -> None:
    assert [lite(blocks).shape[1:] for blocks in (0, 2)] == [(2, 2), (4, 4)]
    assert lite(0).lower(pixels()).shape[1] > lite(0).shape.numel()  # with its statistics
    assert lite(0).trained() == ()
    assert len(lite(2).trained()) > len(lite(1).trained()) > 0


def test_more_blocks_than_lie_above_the_cache_are_refused() -> None:
    with pytest.raises(TrainingError, match="must be 0 to 2"):
        lite(3)


def test_an_unknown_name_lists_what_is_known(model: Model) -> None:
    with pytest.raises(TrainingError, match="known: lite0, lite1, lite2, gallery, timm:NAME"):
        load_light_encoder(LightEncoderConfig(name="resnet"), model.bundle)


def test_the_gallerys_network_gives_the_gallerys_patch_tokens_and_runs_on_smaller_pictures(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LITE_SPECS, "tiny", LITE)
    config = LightEncoderConfig(name="gallery", size=SIZE)
    whole = load_light_encoder(config, model.bundle).eval()
    half = load_light_encoder(LightEncoderConfig(name="gallery"), model.bundle).eval()
    patches = model.images.encode_patches(pixels().numpy())[1]
    own = whole.upper(whole.lower(pixels()))[0].flatten(2).transpose(1, 2).detach().numpy()

    np.testing.assert_allclose(own, patches, atol=1e-4)
    assert half.preprocess == whole.preprocess.model_copy(update={"size": 48})
    assert half.upper(half.lower(pixels(48)))[0].shape == (2, whole.channels, 2, 2)


def test_another_gallery_network_cannot_be_run_on_smaller_pictures(model: Model) -> None:
    with pytest.raises(TrainingError, match=r"no EfficientNet-Lite of .*light\.name=lite0"):
        load_light_encoder(LightEncoderConfig(name="gallery"), model.bundle)


def test_a_size_without_a_map_is_refused() -> None:
    with pytest.raises(TrainingError, match="size must be at least 32"):
        LightEncoderConfig().changed(size=16)


@pytest.mark.parametrize("name", ["timm", "transformers"])
def test_a_missing_library_says_which_extra(
    model: Model, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"{name}.*composir\[light-encoders\]"):
        load_light_encoder(LightEncoderConfig(name=f"{name}:any"), model.bundle)


class TinyTransformer(nn.Module):
    """As `transformers` has them: a class token, then patches."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, stride=4)
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(3))

    def forward(self, images: Tensor) -> SimpleNamespace:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)
        for layer in self.layers:
            tokens = tokens + layer(tokens)
        return SimpleNamespace(last_hidden_state=tokens)


def test_a_librarys_patch_tokens_become_a_map_without_the_class_token() -> None:
    network = TinyTransformer()
    encoder = LibraryEncoder(network, SPEC, trained_blocks=0, name="tiny")
    features, statistics = encoder.upper(encoder.lower(pixels(8)))
    normalised = (pixels(8).permute(0, 3, 1, 2) / 255.0 - 0.5) / 0.5
    states = network(normalised).last_hidden_state

    assert (encoder.channels, encoder.trained(), statistics.shape) == (6, (), (2, 0))
    assert torch.allclose(features.flatten(2).transpose(1, 2), states[:, 1:], atol=1e-5)


def test_trained_blocks_of_a_library_cache_pixels() -> None:
    encoder = LibraryEncoder(TinyTransformer(), SPEC, trained_blocks=2, name="tiny")

    assert torch.equal(encoder.lower(pixels(8)), pixels(8))
    assert encoder.upper(pixels(8))[0].shape == (2, 6, 2, 2)
    assert len(encoder.trained()) == 4
    with pytest.raises(TrainingError, match="tiny has 3 blocks"):
        LibraryEncoder(TinyTransformer(), SPEC, trained_blocks=4, name="tiny")


def test_patch_tokens_are_a_map_already() -> None:
    tokens = torch.arange(2 * 12 * 5).reshape(2, 12, 5).half()
    features, _ = PatchTokens(5, (3, 4)).upper(tokens)

    assert features.shape == (2, 5, 3, 4)
    assert torch.equal(features[1, :, 2, 1], tokens[1, 9].float())
