"""What the loop trains for the appearance part: pictures of one thing, and two views of a picture.

Kin are pictures that metadata tell apart by what words change: one title in two colours, one class
as a photo and as a sketch. Brought together, they leave out of `u` what the words of a query are to
change; kept apart from others, they leave in it what the words do not say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from corpus import Split, TrainingPicture
from image_tower import ImageTower
from numpy.typing import NDArray
from settings import AppearanceConfig
from torch import Tensor
from torch.nn import functional

from composir.errors import TrainingError
from composir.foundation.appearance import AppearancePart
from composir.foundation.text_tower import TextTower
from composir.train.loop import LoopConfig, ParameterGroup, train
from composir.types import FloatArray

# Below it a number's spread counts as this much.
SPREAD_FLOOR = 1e-4

Kin = Mapping[str, Mapping[str, Sequence[int]]]


@dataclass(frozen=True, slots=True)
class AppearanceData:
    """What the part is trained on.

    Attributes:
        pictures: By source.
        looks: By source and view, what the part reads of each picture, (pictures, reads).
        former: A part to go on from; None begins anew.
    """

    pictures: Mapping[str, Sequence[TrainingPicture]]
    looks: Mapping[str, Sequence[FloatArray]]
    former: AppearancePart | None = None


class AppearanceTask:
    """Contrast of pairs over looks (`train.loop.Task`)."""

    def __init__(
        self,
        appearance: AppearancePart,
        data: AppearanceData,
        config: AppearanceConfig,
        seed: int,
    ) -> None:
        """Prepare.

        Args:
            appearance: To be trained; started from the training pictures, or as the former part.
            data: Pictures and what is known of them.
            config: Pairs a batch.
            seed: Of every draw.

        Raises:
            TrainingError: If there are fewer training pictures than the part is wide, or the former
                part reads more or is of another width.
        """
        self.appearance, self.config, self.seed = appearance, config, seed
        self._looks, pictures = data.looks, data.pictures
        self._device = appearance.project.weight.device
        self._rows = {name: np.array(_train_rows(own)) for name, own in pictures.items()}
        self._kin = {
            name: find_kin(pictures[name], "train") for name, count in config.kin.items() if count
        }
        self._dev = {name: find_kin(pictures[name], "dev") for name in self._kin}
        chosen = [data.looks[name][0][rows] for name, rows in self._rows.items() if len(rows)]
        start_white(appearance, np.concatenate(chosen))
        if data.former is not None:
            start_as(appearance, data.former.to(self._device))

    def groups(self) -> Sequence[ParameterGroup]:
        """The map's."""
        return [ParameterGroup(tuple(self.appearance.parameters()), self.config.rate)]

    def loss(self, step: int) -> Tensor:
        """Kin of each source by themselves, then views of all sources in one batch."""
        generator = np.random.default_rng((self.seed, step))
        total = torch.zeros((), device=self._device)
        for name, kin in self._kin.items():
            pairs, groups = draw_kin(kin, self.config.kin[name], generator)
            left, right = (self._seen(name, side, generator) for side in zip(*pairs, strict=True))
            total = total + same_group_loss(left, right, groups, self.config.temperature)
        return total + self._views_loss(generator)

    def evaluate(self) -> dict[str, float]:
        """Of the dev pictures with kin, how many find one before any stranger (percent)."""
        figures = {}
        with torch.no_grad():
            for name, kin in self._dev.items():
                if kin:
                    rows, groups, variants = _flat(kin)
                    vectors = self.appearance(self._features(name, 0, rows)).cpu()
                    figures[f"{name}/kin@1"] = 100.0 * _found_first(vectors, groups, variants)
        return figures

    def _views_loss(self, generator: np.random.Generator) -> Tensor:
        """First view and last, of pictures of all sources in one batch."""
        left, right, own = [], [], []
        for number, (name, count) in enumerate(self.config.views.items()):
            known = self._rows[name]
            if count:
                rows = generator.choice(known, count, replace=count > len(known))
                left.append(self._dropped(self._features(name, 0, rows)))
                right.append(self._dropped(self._features(name, -1, rows)))
                own.append(torch.from_numpy(rows) + (number << 32))
        if not left:
            return torch.zeros((), device=self._device)
        a, b = (self.appearance(torch.cat(side)) for side in (left, right))
        return same_group_loss(a, b, torch.cat(own), self.config.temperature)

    def _seen(self, name: str, rows: Sequence[int], generator: np.random.Generator) -> Tensor:
        """`u` of pictures, each in one of its views."""
        views = generator.integers(0, len(self._looks[name]), len(rows))
        chosen = [self._looks[name][view][row] for view, row in zip(views, rows, strict=True)]
        features = torch.from_numpy(np.stack(chosen)).to(self._device)
        vectors: Tensor = self.appearance(self._dropped(features))
        return vectors

    def _features(self, name: str, view: int, rows: Sequence[int] | NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(self._looks[name][view][np.asarray(rows)]).to(self._device)

    def _dropped(self, features: Tensor) -> Tensor:
        return functional.dropout(features, self.config.dropout)


def start_white(appearance: AppearancePart, looks: FloatArray) -> None:
    """Start as the whitened principal components of some pictures, numbers of equal spread.

    Args:
        appearance: Changed in place, its scale too.
        looks: (n, reads).

    Raises:
        TrainingError: If there are fewer pictures or numbers than the part is wide.
    """
    project = appearance.project
    width = project.out_features
    if min(looks.shape) < width:
        raise TrainingError(
            f"appearance.width is {width}, more than {len(looks)} training pictures of "
            f"{looks.shape[1]} numbers can fill: set it lower"
        )
    rows = looks.astype(np.float64)
    # A number that hardly changes says nothing, however much it would be blown up.
    scale = 1.0 / np.maximum(rows.std(axis=0), SPREAD_FLOOR)
    rows *= scale
    mean = rows.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov((rows - mean).T))
    matrix = (axes[:, ::-1] / np.sqrt(np.maximum(values[::-1], 1e-8)))[:, :width].T
    # Scaled as a whole, which the norm undoes, so that the learning rate means the same always.
    matrix /= np.abs(matrix).mean() * math.sqrt(rows.shape[1])
    with torch.no_grad():
        appearance.scale.copy_(torch.from_numpy(scale))
        project.weight.copy_(torch.from_numpy(matrix.copy()))
        project.bias.copy_(torch.from_numpy(-matrix @ mean))


def start_as(appearance: AppearancePart, former: AppearancePart) -> None:
    """Start as another part, which may read less: composers know its space.

    Args:
        appearance: Changed in place, but for its scale.
        former: Of the same width; what it does not read begins at zero.

    Raises:
        TrainingError: If it is of another width, or reads more.
    """
    project, known = appearance.project, former.project
    if known.out_features != project.out_features or known.in_features > project.in_features:
        raise TrainingError(
            f"the start's appearance part maps {known.in_features} numbers to "
            f"{known.out_features}, which cannot become {project.in_features} to "
            f"{project.out_features}: set appearance.width to what it has, or begin anew "
            "(--set appearance.from_start=false)"
        )
    read = slice(known.in_features)
    with torch.no_grad():
        matrix = known.weight * former.scale / appearance.scale[read]
        # As a whole of the size that `start_white` gives.
        size = matrix.abs().mean() * math.sqrt(known.in_features)
        project.weight.zero_()
        project.weight[:, read] = matrix / size
        project.bias.copy_(known.bias / size)


def same_group_loss(left: Tensor, right: Tensor, groups: Tensor, temperature: float) -> Tensor:
    r"""Symmetric InfoNCE over pairs, in which members of one group are no negatives.

    $$ L = \tfrac12 \sum_{(a, b)} -\frac1n \sum_i \log \frac{e^{a_i^\top b_i / \tau}}
         {\sum_{j \notin G_i \setminus i} e^{a_i^\top b_j / \tau}} $$

    over `(a, b)` both ways round, `G_i` the places of row i's group.

    Args:
        left: (n, d), unit norm.
        right: (n, d), unit norm; row i is the partner of left's row i.
        groups: (n,) int64.
        temperature: τ.
    """
    groups = groups.to(left.device)
    same = groups[:, None] == groups[None]
    same.fill_diagonal_(fill_value=False)
    logits = (left @ right.T / temperature).masked_fill(same, float("-inf"))
    own = torch.arange(len(left), device=left.device)
    return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2


def train_appearance(
    towers: tuple[ImageTower, TextTower],
    data: AppearanceData,
    settings: tuple[AppearanceConfig, LoopConfig, int],
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Give finished towers an appearance part.

    Args:
        towers: Image and text tower; both get the part.
        data: Pictures, and looks of the finished trunk (`summarise`).
        settings: What to train, its steps, and the seed of every draw.
        folder: Of checkpoint and metrics.
        say: Takes lines of progress.

    Returns:
        Figures of the dev part, percent.

    Raises:
        TrainingError: If there are fewer training pictures than the part is wide, or the former
            part cannot become this one.
    """
    (image, text), (config, loop, seed) = towers, settings
    image.requires_grad_(requires_grad=False).eval()
    reads = next(views[0].shape[1] for views in data.looks.values())
    appearance = AppearancePart(reads, config.width, config.weight)
    appearance.to(next(image.parameters()).device)
    task = AppearanceTask(appearance, data, config, seed)
    figures = train(task, loop, folder, seed, lambda record: say(f"appearance {record}"))
    image.appearance, text.spec = appearance, replace(text.spec, appearance=config.width)
    return figures


def check_sources(config: AppearanceConfig, pictures: Sequence[TrainingPicture]) -> None:
    """Refuse a corpus that the part cannot be trained on, before anything else is trained.

    Args:
        config: Which sources.
        pictures: The corpus.

    Raises:
        TrainingError: If a source has no training pictures, or no two kin among them.
    """
    for setting, asked in (("kin", config.kin), ("views", config.views)):
        for name in (name for name, count in asked.items() if count):
            own = [picture for picture in pictures if picture.source == name]
            enough = find_kin(own, "train") if setting == "kin" else _train_rows(own)
            if not enough:
                raise TrainingError(
                    f"appearance.{setting} asks for {name}, but there are no such training "
                    f"pictures: leave the source out (--set appearance.{setting}.{name}=0), or set "
                    "appearance.width=0 for a model without the part"
                )


def _train_rows(pictures: Sequence[TrainingPicture]) -> list[int]:
    return [row for row, picture in enumerate(pictures) if picture.split == "train"]


def find_kin(pictures: Sequence[TrainingPicture], split: Split) -> Kin:
    """Groups of a source with at least two variants: group to variant to rows."""
    groups: dict[str, dict[str, list[int]]] = {}
    for row, picture in enumerate(pictures):
        if picture.kin is not None and picture.split == split:
            group, variant = picture.kin
            groups.setdefault(group, {}).setdefault(variant, []).append(row)
    return {group: variants for group, variants in groups.items() if len(variants) > 1}


def draw_kin(
    kin: Kin, count: int, generator: np.random.Generator
) -> tuple[list[tuple[int, int]], Tensor]:
    """Pairs of two variants each, groups in turn; with the number of each pair's group."""
    names = list(kin)
    order = np.resize(generator.permutation(len(names)), count)
    pairs = []
    for number in order:
        variants = list(kin[names[number]].values())
        first, second = generator.choice(len(variants), 2, replace=False)
        pairs.append(
            (int(generator.choice(variants[first])), int(generator.choice(variants[second])))
        )
    return pairs, torch.from_numpy(order.astype(np.int64))


def _flat(kin: Kin) -> tuple[list[int], Tensor, Tensor]:
    """All rows, and the numbers of each one's group and variant, (n,) int64."""
    rows: list[int] = []
    marks: list[tuple[int, int]] = []
    for number, variants in enumerate(kin.values()):
        for variant, some in enumerate(variants.values()):
            rows += some
            marks += [(number, variant)] * len(some)
    groups, kinds = torch.tensor(marks, dtype=torch.int64).T
    return rows, groups, kinds


def _found_first(vectors: Tensor, groups: Tensor, variants: Tensor) -> float:
    """Share of rows whose nearest is of their group; rows of the same variant do not count."""
    own_group = groups[:, None] == groups[None]
    alike = own_group & (variants[:, None] == variants[None])
    nearest = (vectors @ vectors.T).masked_fill(alike, -2.0).argmax(dim=1)
    return float((groups[nearest] == groups).float().mean())
