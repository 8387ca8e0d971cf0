"""What the parts that are added to finished towers read of each picture, computed once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from features import fastest, made_by, normalised, refusal
from image_tower import ImageTower
from torch import Tensor, nn

from composir.encode.encoders import Encoder, encode_images
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind
from composir.foundation.appearance import look_at
from composir.images.preprocess import PreprocessSpec
from composir.train.isa.efficientnet_lite import HEAD_CHANNELS
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class Summaries:
    """Of some pictures in one view, float32.

    Attributes:
        first: (pictures, channels), the feature map's mean as the head's first attention weights
            it: for names.
        look: (pictures, reads), `composir.foundation.appearance.look_at`: for the appearance part.
    """

    first: FloatArray
    look: FloatArray


def summarise(
    image: ImageTower, spec: PreprocessSpec, files: Sequence[Path], view: int, folder: Path
) -> Summaries:
    """Summaries of pictures as the finished tower sees them.

    Kept in the run folder by weights and pictures, so that an interrupted run goes on; a finished
    run does not need them.

    Args:
        image: As it ends up in the bundle.
        spec: Preprocessing of the bundle.
        files: The pictures.
        view: 0 for the plain pictures, 1 and up for augmented ones.
        folder: Where to keep them.

    Raises:
        TrainingError: If a picture cannot be read; the message names it.
    """
    network = _Summary(image).eval()
    attention = float(image.head.attention.weight.detach().double().abs().sum())
    maker = f"{made_by(image.trunk, spec)} {attention:.6e}"
    run = functools.cache(lambda: fastest(network, spec.size))
    encoder = Encoder(
        (RowKind("summaries", maker, (HEAD_CHANNELS + image.trunk.look_width,)),),
        spec,
        lambda pixels: (run()(normalised(pixels)),),
    )
    pictures = [ImageFile(file) for file in files]
    store = FeatureStore(folder)
    found = encode_images(pictures, encoder, store, view=view, failed=refusal(files))
    rows = np.asarray(found.rows[0])
    return Summaries(rows[:, :HEAD_CHANNELS], rows[:, HEAD_CHANNELS:])


class _Summary(nn.Module):
    """Pixels (n, 3, s, s), normalised, to both side by side."""

    def __init__(self, image: ImageTower) -> None:
        super().__init__()
        self.image = image

    def lower(self, pixels: Tensor) -> Tensor:
        spatial, statistics = self.image.trunk.climb(pixels)
        features = self.image.trunk.widen(spatial)
        return torch.cat([self.image.head.pool(features)[:, 0], look_at(features, statistics)], 1)
