"""What the parts that are added to finished towers read of each picture, computed once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from contrast import Bank
from features import channels_last, made_by
from image_tower import ImageTower
from numpy.typing import NDArray

from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind
from composir.images.preprocess import PreprocessSpec
from composir.train.isa.efficientnet_lite import HEAD_CHANNELS
from composir.types import FloatArray

BATCH = 64


@dataclass(frozen=True, slots=True)
class Summaries:
    """Of the pictures of a source in one view, (pictures, channels) float32 each.

    Attributes:
        first: The feature map's mean as the head's first attention weights it: for names.
        average: Its plain mean: for the appearance part.
    """

    first: FloatArray
    average: FloatArray


def summarise(image: ImageTower, bank: Bank, folder: Path) -> list[Summaries]:
    """Summaries of a source, by view.

    Kept in the run folder by weights and pictures, so that an interrupted run goes on; a finished
    run does not need them.

    Args:
        image: As it ends up in the bundle.
        bank: A source with features of the lower trunk.
        folder: Where to keep them.
    """
    store = FeatureStore(folder)
    files = [ImageFile(picture.file) for picture in bank.pictures]
    kind = RowKind("summaries", _made_by(image), (2, HEAD_CHANNELS))
    made = []
    for number, view in enumerate(bank.views):
        keys = store.keys(files, number)
        known = store.known(kind, keys)
        todo = [row for row, key in enumerate(keys) if key not in known]
        for start in range(0, len(todo), BATCH):
            part = todo[start : start + BATCH]
            rows = _summaries(image, view[part])
            store.put(kind, dict(zip((keys[row] for row in part), rows, strict=True)))
        whole = np.asarray(store.rows(kind, keys))
        made.append(Summaries(whole[:, 0], whole[:, 1]))
    return made


def _made_by(image: ImageTower) -> str:
    spec = PreprocessSpec(size=image.trunk.spec.resolution)  # for the name alone
    attention = float(image.head.attention.weight.detach().double().abs().sum())
    return f"{made_by(image.trunk, spec)} {attention:.6e}"


def _summaries(image: ImageTower, lower: NDArray[np.float16]) -> FloatArray:
    """(pictures, 2, channels): the first attention's mean and the plain one."""
    device = next(image.parameters()).device
    with torch.no_grad():
        cached = channels_last(torch.from_numpy(np.array(lower)).to(device).float())
        features = image.trunk.upper(cached)
        both = image.head.pool(features)[:, 0], features.mean(dim=(2, 3))
        rows: FloatArray = torch.stack(both, dim=1).cpu().numpy()
    return rows
