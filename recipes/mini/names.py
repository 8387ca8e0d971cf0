"""What finished towers are given of the trunk's classifier: it names what a picture shows.

Thousands of steps of contrast teach a head a fifth of what the classifier knew before; so it is
kept, fitted to the trunk as it has become, and its names are told in vectors of the text tower.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from classes import class_texts, published_classifier
from contrast import Bank
from image_tower import ImageTower
from settings import NamesConfig
from texts import TextBank
from torch import Tensor
from torch.nn import functional

from composir.foundation.name_part import NamePart
from composir.foundation.text_tower import TextTower
from composir.train.loop import LoopConfig, ParameterGroup, train
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class NamesData:
    """What the part is fitted to.

    Attributes:
        banks: By source, what the published network made of the pictures (`Bank.likely`).
        first: By source, `Summaries.first` of the finished tower, (pictures, channels).
        texts: Knows the texts of all names.
        trunk: Whose classifier it is.
        names: Of its outputs.
    """

    banks: Mapping[str, Bank]
    first: Mapping[str, FloatArray]
    texts: TextBank
    trunk: str
    names: Sequence[str]


class NamesTask:
    """The classifier, distilled from what it was before (`train.loop.Task`)."""

    def __init__(
        self,
        names: NamePart,
        banks: Mapping[str, Bank],
        first: Mapping[str, FloatArray],
        config: NamesConfig,
        seed: int,
    ) -> None:
        """Prepare.

        Args:
            names: To be trained, as published.
            banks: As in `NamesData`.
            first: As in `NamesData`.
            config: Batch, rate and dropout.
            seed: Of every draw.
        """
        self.names, self.config, self.seed = names, config, seed
        known = [bank.likely for bank in banks.values() if bank.likely]
        self._first = torch.from_numpy(np.concatenate([first[name] for name in banks]))
        self._classes = torch.cat([one.classes for one in known])
        self._shares = torch.cat([one.shares for one in known])
        pictures = [picture for bank in banks.values() for picture in bank.pictures]
        splits = np.array([picture.split for picture in pictures])
        self._train, self._dev = (np.flatnonzero(splits == name) for name in ("train", "dev"))
        self._device = names.classify.weight.device

    def groups(self) -> Sequence[ParameterGroup]:
        """The classifier's."""
        return [ParameterGroup(tuple(self.names.classify.parameters()), self.config.rate)]

    def loss(self, step: int) -> Tensor:
        """Cross-entropy against the published network's distribution."""
        rows = np.random.default_rng((self.seed, step)).choice(self._train, self.config.batch)
        first = self._first[rows].to(self._device)
        logits = self.names.classify(functional.dropout(first, self.config.dropout))
        classes, shares = (one[rows].to(self._device) for one in (self._classes, self._shares))
        logs = functional.log_softmax(logits, dim=1).gather(1, classes)
        return -(shares * logs).sum(dim=1).mean()

    def evaluate(self) -> dict[str, float]:
        """How often a dev picture's first name is the one that was given before (percent)."""
        with torch.no_grad():
            found = self.names.classify(self._first[self._dev].to(self._device)).argmax(dim=1)
        same = found.cpu() == self._classes[self._dev, 0]
        return {"names/same": 100.0 * float(same.float().mean())}


def add_names(
    towers: tuple[ImageTower, TextTower],
    data: NamesData,
    settings: tuple[NamesConfig, LoopConfig, int],
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Give finished towers a part of names.

    Args:
        towers: Image and text tower; the former gets the part.
        data: Pictures, texts and the classifier.
        settings: What to train, its steps, and the seed.
        folder: Of checkpoint and metrics.
        say: Takes lines of progress.

    Returns:
        Figures of the dev part, percent.
    """
    (image, text), (config, loop, seed) = towers, settings
    vectors = name_vectors(text.eval(), data.texts, data.names)
    weight, bias = published_classifier(data.trunk)
    part = NamePart(weight.shape[1], len(data.names), vectors.shape[1])
    with torch.no_grad():
        part.classify.weight.copy_(weight)
        part.classify.bias.copy_(bias)
        part.names.weight.copy_(config.weight * vectors.T)
    part.to(vectors.device)
    task = NamesTask(part, data.banks, data.first, config, seed)
    figures = train(task, loop, folder, seed, lambda record: say(f"names {record}"))
    image.names = part
    return figures


def name_vectors(text: TextTower, texts: TextBank, names: Sequence[str]) -> Tensor:
    """Vectors of names, each the mean over its wordings, less what all have in common.

    Args:
        text: As it ends up in the bundle.
        texts: Knows all wordings.
        names: Of classes.

    Returns:
        (names, Dm) float32; rows are nearly of unit norm.
    """
    wordings = class_texts(names)
    with torch.no_grad():
        by_wording = [
            texts.encode(text, [texts.index[some[number]] for some in wordings], trained=True)
            for number in range(len(wordings[0]))
        ]
        vectors = functional.normalize(torch.stack(by_wording).mean(dim=0), dim=-1)
        return vectors - vectors.mean(dim=0)
