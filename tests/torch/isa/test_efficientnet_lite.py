"""The image trunk: shapes, padding, folding, published weights."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from composir.errors import MissingExtraError, TrainingError  # noqa: E402
from composir.train.isa.efficientnet_lite import (  # noqa: E402
    BATCH_NORM_EPSILON,
    HEAD_CHANNELS,
    LITE_SPECS,
    EfficientNetLite,
    InvertedBottleneck,
    SameConv,
    channel_statistics,
    fold_batch_norm,
    load_efficientnet_lite,
    run_stages,
    scaled_channels,
)
from tests.torch.towers import LITE  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(("name", "channels"), [("lite0", 112), ("lite1", 112), ("lite2", 120)])
def test_shapes_at_each_resolution(name: str, channels: int) -> None:
    spec = LITE_SPECS[name]
    trunk = EfficientNetLite(spec).eval()
    with torch.inference_mode():
        lower = trunk.lower(torch.zeros(1, 3, spec.resolution, spec.resolution))
        features = trunk.upper(lower)

    side = math.ceil(spec.resolution / 16)
    assert lower.shape == (1, channels, side, side)
    assert features.shape == (1, HEAD_CHANNELS, math.ceil(side / 2), math.ceil(side / 2))


def test_stages_leave_mean_and_spread_of_every_channel_by_hand() -> None:
    first = torch.tensor([[[[1.0, 3.0]], [[5.0, 5.0]]]])  # two channels of two places
    doubled, statistics = run_stages([nn.Identity(), nn.Upsample(scale_factor=(1, 2))], first)

    assert doubled.shape == (1, 2, 1, 4)
    by_hand = [2.0, 5.0, 1.0, 0.0]
    torch.testing.assert_close(statistics, torch.tensor([2 * by_hand]), atol=2e-4, rtol=0.0)
    assert run_stages([], first)[1].shape == (1, 0)
    far = channel_statistics(torch.tensor([[[[-400.0, 400.0]]]]).half())
    torch.testing.assert_close(far, torch.tensor([[0.0, 400.0]]))


def test_a_look_is_as_wide_as_the_average_and_all_statistics() -> None:
    trunk = EfficientNetLite(LITE).eval()
    with torch.inference_mode():
        spatial, statistics = trunk.climb(torch.zeros(1, 3, 64, 64))
        torch.testing.assert_close(trunk.widen(spatial), trunk(torch.zeros(1, 3, 64, 64)))

    assert trunk.look_width == HEAD_CHANNELS + statistics.shape[1]


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    torch.manual_seed(0)
    convolution = SameConv(2, 3, kernel, stride=stride)
    inputs = torch.randn(1, 2, size, size + 1)

    assert torch.allclose(convolution(inputs), _by_hand(convolution, inputs), atol=1e-5)


def _by_hand(convolution: SameConv, inputs: Tensor) -> Tensor:
    """Sum window by window; what lies outside of the picture is zero."""
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    sizes = inputs.shape[2:]
    counts = [-(-size // stride) for size in sizes]
    begins = [
        max((n - 1) * stride + kernel - s, 0) // 2 for n, s in zip(counts, sizes, strict=True)
    ]
    bias = convolution.bias
    assert bias is not None
    outputs = bias.detach()[None, :, None, None].repeat(1, 1, *counts)
    for row in range(counts[0]):
        for column in range(counts[1]):
            for y in range(kernel):
                for x in range(kernel):
                    at = (row * stride - begins[0] + y, column * stride - begins[1] + x)
                    if 0 <= at[0] < sizes[0] and 0 <= at[1] < sizes[1]:
                        seen = inputs[0, :, at[0], at[1]]
                        outputs[0, :, row, column] += convolution.weight[:, :, y, x] @ seen
    return outputs


def test_channels_scale_to_multiples_of_eight() -> None:
    assert [scaled_channels(c, 1.1) for c in (16, 24, 40, 320)] == [16, 24, 48, 352]
    assert scaled_channels(16, 0.25) == 8


def test_folding_gives_the_function_of_the_unfolded_network() -> None:
    trunk = EfficientNetLite(LITE).eval()
    state = _published_state(trunk)
    trunk.load_state_dict(fold_batch_norm(state, trunk))
    torch.manual_seed(1)
    pixels = torch.randn(2, 3, 64, 64)

    with torch.inference_mode():
        expected, ours = _unfolded(state, trunk, pixels), trunk(pixels)

    assert float(expected.abs().max()) > 0.1
    assert torch.allclose(ours, expected, atol=1e-4)


def _blocks(trunk: EfficientNetLite) -> list[InvertedBottleneck]:
    return [m for m in trunk.modules() if isinstance(m, InvertedBottleneck)]


def _published_state(trunk: EfficientNetLite) -> dict[str, Tensor]:
    """Random weights under the published names, convolutions without biases before norms."""
    torch.manual_seed(0)
    state: dict[str, Tensor] = {}

    def put(convolution: str, norm: str, like: nn.Conv2d) -> None:
        channels = like.out_channels
        state[f"{convolution}.weight"] = torch.randn_like(like.weight) / math.sqrt(
            like.weight[0].numel()
        )
        state[f"{norm}.weight"] = torch.rand(channels) + 0.5
        state[f"{norm}.bias"] = torch.randn(channels) * 0.5
        state[f"{norm}.running_mean"] = torch.randn(channels) * 0.2
        state[f"{norm}.running_var"] = torch.rand(channels) + 0.5

    put("_conv_stem", "_bn0", trunk.stem)
    for number, block in enumerate(_blocks(trunk)):
        name = f"_blocks.{number}"
        if block.expand is not None:
            put(f"{name}._expand_conv", f"{name}._bn0", block.expand)
        put(f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise)
        put(f"{name}._project_conv", f"{name}._bn2", block.project)
    put("_conv_head", "_bn1", trunk.head)
    return state


def _unfolded(state: dict[str, Tensor], trunk: EfficientNetLite, pixels: Tensor) -> Tensor:
    def run(inputs: Tensor, convolution: str, norm: str, like: SameConv) -> Tensor:
        bare = SameConv(
            like.in_channels,
            like.out_channels,
            like.kernel_size[0],
            stride=like.stride[0],
            groups=like.groups,
            bias=False,
        )
        bare.weight = nn.Parameter(state[f"{convolution}.weight"])
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        weight, bias = state[f"{norm}.weight"], state[f"{norm}.bias"]
        return functional.batch_norm(
            bare(inputs), mean, variance, weight, bias, eps=BATCH_NORM_EPSILON
        )

    hidden = functional.relu6(run(pixels, "_conv_stem", "_bn0", trunk.stem))
    for number, block in enumerate(_blocks(trunk)):
        name, inputs = f"_blocks.{number}", hidden
        if block.expand is not None:
            expanded = run(hidden, f"{name}._expand_conv", f"{name}._bn0", block.expand)
            hidden = functional.relu6(expanded)
        filtered = run(hidden, f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise)
        hidden = run(
            functional.relu6(filtered), f"{name}._project_conv", f"{name}._bn2", block.project
        )
        hidden = inputs + hidden if hidden.shape == inputs.shape else hidden
    return functional.relu6(run(hidden, "_conv_head", "_bn1", trunk.head))


def test_published_weights_load_and_tell_pictures_apart() -> None:
    try:
        trunk = load_efficientnet_lite("lite0")
    except MissingExtraError as error:
        pytest.skip(f"needs the package with the weights: {error}")
    with torch.inference_mode():
        features = trunk(torch.stack([torch.zeros(3, 64, 64), torch.rand(3, 64, 64)]))

    assert torch.isfinite(features).all()
    assert not torch.allclose(features[0], features[1])


def test_an_unknown_trunk_is_named() -> None:
    with pytest.raises(TrainingError, match="no image trunk named lite9; known: lite0"):
        load_efficientnet_lite("lite9")
