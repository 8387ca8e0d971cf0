"""A tiny bundle, pictures, and an ISA task on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from composir.images.preprocess import PreprocessSpec
from composir.train.blend import BlendSettings
from composir.train.frozen import FrozenFoundation
from composir.train.gallery_features import GalleryFeatures
from composir.train.isa.light_encoder import LightEncoderConfig, LiteEncoder, PatchTokens
from composir.train.isa.light_vector import LightVector, LightVectorConfig
from composir.train.isa.objective import (
    GcdConfig,
    LarConfig,
    ObjectiveConfig,
)
from composir.train.isa.picture_bank import LightFeatures, PictureBank, View
from composir.train.isa.task import IsaTask
from composir.train.isa.token_learner import TokenLearner, TokenLearnerConfig
from composir.train.steering import ALONE, Phrases, SteeringConfig
from tests.torch.towers import DIMENSION, LITE, seeing_trunk

PHRASES = Phrases(("red", "blue dog", "a photo of a lamp"), (ALONE, ALONE, ALONE))
LEARNER = TokenLearnerConfig(num_tokens=2, width=16, attention_width=8, heads=4, dropout=0.0)
OBJECTIVE = ObjectiveConfig(
    batch=4,
    gcd=GcdConfig(queue=6),
    lar=LarConfig(width=8),
    steering=SteeringConfig(phrase_share=0.5),
)
PATCHES, CHANNELS = 4, 10


def pictures(folder: Path, count: int) -> Path:
    """Noise with a colour each, so that pictures differ."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        draw = np.random.default_rng(number)
        pixels = draw.integers(0, 60, (24, 30, 3)) + draw.integers(0, 190, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number:03d}.png")
    return folder


def lite_encoder(blocks: int = 0) -> LiteEncoder:
    torch.manual_seed(1)
    config = LightEncoderConfig(trained_blocks=blocks)
    spec = PreprocessSpec(size=LITE.resolution, fit="squash")
    return LiteEncoder(seeing_trunk(seed=1), spec, config).eval()


def bank(encoder: torch.nn.Module, count: int, views: int = 1) -> PictureBank:
    """Random features; every fifth picture is for dev."""
    draw = np.random.default_rng(0)
    made = []
    for _ in range(views):
        vectors = draw.standard_normal((count, DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        patches = draw.standard_normal((count, PATCHES, CHANNELS)).astype(np.float16)
        gallery = GalleryFeatures(vectors, patches, np.arange(count), ())
        light = None
        if isinstance(encoder, LiteEncoder):
            pixels = torch.from_numpy(draw.integers(0, 256, (count, 64, 64, 3)).astype(np.uint8))
            with torch.no_grad():
                light = LightFeatures(encoder.lower(pixels).half().numpy(), {})
        made.append(View.of(count, light, gallery))
    return PictureBank.of(made, [row % 5 == 0 for row in range(count)], plain_teacher=False)


def make_task(
    foundation: FrozenFoundation,
    *,
    blocks: int = 0,
    symmetric: bool = False,
    count: int = 15,
    views: int = 1,
    objective: ObjectiveConfig = OBJECTIVE,
    learner: TokenLearnerConfig = LEARNER,
    light: LightVectorConfig | None = None,
    **options: object,
) -> IsaTask:
    encoder = PatchTokens(CHANNELS, (2, PATCHES // 2)) if symmetric else lite_encoder(blocks)
    torch.manual_seed(2)
    made = TokenLearner(
        encoder.channels,
        foundation.word_dimension,
        learner,
        foundation.word_statistics(PHRASES.texts),
    )
    chosen = bank(encoder, count, views)
    return IsaTask(
        foundation,
        encoder,
        made,
        chosen,
        objective,
        PHRASES,
        BlendSettings(direction=0.5),
        5,
        light_vector=None
        if light is None
        else LightVector(encoder.channels, foundation.dimension, light),
        **options,  # type: ignore[arg-type]
    )


def changed(**changes: object) -> ObjectiveConfig:
    return OBJECTIVE.changed(**changes)
