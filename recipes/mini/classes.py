"""What the trunk knew before: ImageNet's thousand classes, by name, for every picture of every set.

The trunk's own classifier, which the shared space has no use for, says of any picture which classes
it resembles. Its distribution is a soft target for the picture's similarities to the classes' names
(the idea of distilling a closed set of labels into an open one).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from features import channels_last, made_by
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.encode.stored import RowKind, StoredRows
from composir.errors import DatasetError, TrainingError
from composir.images.preprocess import PreprocessSpec
from composir.train.isa.efficientnet_lite import EfficientNetLite, published_weights

SOURCE = "imagenet-samples"
TEMPLATES = ("{}", "a {}", "a photo of a {}", "a photo of the {}", "a picture with a {}")
BATCH = 64
KEPT = 20
"""Likeliest classes of a picture that are kept; the rest of its distribution is left out."""


def class_names(data: Path) -> tuple[str, ...]:
    """Names of the classifier's outputs, in their order, from the set with a picture of each."""
    file = data / SOURCE / "gallery.jsonl"
    if not file.is_file():
        raise DatasetError(f"{file} is missing: unpack the data set {SOURCE} first")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    return tuple(row["class"] for row in sorted(rows, key=lambda row: row["index"]))


def class_texts(names: Sequence[str]) -> list[list[str]]:
    """For each class, its name in every template."""
    return [[template.format(name) for template in TEMPLATES] for name in names]


@dataclass(frozen=True, slots=True)
class Likely:
    """The likeliest classes of some pictures.

    Attributes:
        classes: (n, `KEPT`) int64.
        shares: (n, `KEPT`) float32, rows sum to one.
    """

    classes: Tensor
    shares: Tensor

    def of(self, rows: Sequence[int]) -> Likely:
        """Those of some pictures."""
        return Likely(self.classes[rows], self.shares[rows])


def cached_likely(
    folder: Path, files: Sequence[Path], lower: StoredRows, trunk: EfficientNetLite, name: str
) -> Likely:
    """The likeliest classes of pictures, computed where they are not known yet.

    Args:
        folder: Of cached features.
        files: The pictures, in order.
        lower: Their cached lower features, (n, c, s, s).
        trunk: As it was published.
        name: Its name, `lite0` to `lite2`.
    """
    store = FeatureStore(folder)
    spec = PreprocessSpec(size=trunk.spec.resolution)  # for the name alone
    kind = RowKind("classes", made_by(trunk, spec), (2, KEPT))
    keys = store.keys([ImageFile(file) for file in files], 0)
    known = store.known(kind, keys)
    todo = [row for row, key in enumerate(keys) if key not in known]
    weight, bias = published_classifier(name)
    for start in range(0, len(todo), BATCH):
        part = todo[start : start + BATCH]
        rows = _likely(trunk, lower[part], weight, bias)
        store.put(kind, dict(zip((keys[row] for row in part), rows, strict=True)))
    classes, shares = torch.from_numpy(np.array(store.rows(kind, keys))).unbind(dim=1)
    return Likely(classes.long(), shares)


def published_classifier(name: str) -> tuple[Tensor, Tensor]:
    """Weights (classes, channels) and biases (classes,) of a trunk's published classifier."""
    state = published_weights(name)
    try:
        return state["_fc.weight"], state["_fc.bias"]
    except KeyError as error:
        raise TrainingError(f"the weights of {name} have no classifier ({error})") from error


def _likely(
    trunk: EfficientNetLite, lower: NDArray[np.float16], weight: Tensor, bias: Tensor
) -> NDArray[np.float32]:
    """Classes and their shares, (n, 2, `KEPT`)."""
    with torch.inference_mode():
        features = channels_last(torch.from_numpy(np.array(lower)).float())
        averages = trunk.upper(features).mean(dim=(2, 3))
        shares, classes = functional.linear(averages, weight, bias).softmax(dim=1).topk(KEPT)
        shares = shares / shares.sum(dim=1, keepdim=True)
        return torch.stack([classes.float(), shares], dim=1).numpy()


def class_loss(
    images: Tensor, classes: Tensor, likely: Likely, chosen: Tensor, scale: float
) -> Tensor:
    r"""Cross-entropy of similarities to class names, against the classifier's distribution.

    $$ L = -\frac1n \sum_i \sum_{c \in C} p_{ic} \log \mathrm{softmax}_c(s\, v_i^\top t_c) $$

    Args:
        images: (n, D), unit norm.
        classes: (m, D), unit norm, texts of the classes in `chosen`.
        likely: Of the n pictures.
        chosen: (m,) int64, which classes take part; holds all of `likely`'s first ones.
        scale: Inverse temperature, scalar.
    """
    place = torch.full((int(max(chosen.max(), likely.classes.max())) + 1,), -1)
    place[chosen] = torch.arange(len(chosen))
    columns = place[likely.classes]
    shares = likely.shares * (columns >= 0)
    shares = shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-6)
    logs = functional.log_softmax(scale * images @ classes.T, dim=1)
    loss: Tensor = -(shares * logs.gather(1, columns.clamp_min(0))).sum(dim=1).mean()
    return loss


def draw_classes(likely: Likely, count: int, total: int, generator: np.random.Generator) -> Tensor:
    """The two likeliest classes of every picture, and others at random, (m,) int64 sorted."""
    own = likely.classes[:, :2].reshape(-1)
    others = torch.from_numpy(generator.choice(total, count, replace=False))
    drawn: Tensor = torch.unique(torch.cat([own, others]))
    return drawn
