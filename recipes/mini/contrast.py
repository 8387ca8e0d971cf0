"""Pictures and texts told apart: what the first three stages train, heads and upper blocks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from attributes import (
    NO_VALUE,
    Attribute,
    attribute_loss,
    batch_values,
    draw_phrases,
    find_attributes,
)
from changed import changed_caption
from classes import SOURCE, Likely, class_loss, draw_classes
from corpus import Split, TrainingPicture
from features import channels_last
from image_tower import ImageTower
from numpy.typing import NDArray
from settings import ContrastConfig
from texts import TextBank
from torch import Tensor, nn
from torch.nn import functional

from composir.encode.stored import StoredRows
from composir.errors import TrainingError
from composir.foundation.text_tower import TextTower
from composir.train.isa.efficientnet_lite import CACHE_STAGE
from composir.train.loop import ParameterGroup

EVALUATION_BATCH = 64
MAX_SCALE = 100.0


CROPS = (11, 13, 15)
"""Sides of the square that is cut from cached features, in positions of `features.cached_view`."""


@dataclass(frozen=True, slots=True)
class Bank:
    """One source's pictures.

    Attributes:
        pictures: In order.
        views: Their cached features, a view an entry.
        likely: What the trunk's own classifier makes of them; None where that is not asked for.
    """

    pictures: Sequence[TrainingPicture]
    views: Sequence[StoredRows | NDArray[np.float16]]
    likely: Likely | None = None

    def rows(self, split: Split) -> list[int]:
        """Rows of one split."""
        return [row for row, picture in enumerate(self.pictures) if picture.split == split]


class ContrastTask:
    """Contrast of pictures and texts over cached features (`train.loop.Task`)."""

    def __init__(
        self,
        towers: tuple[ImageTower, TextTower],
        banks: Mapping[str, Bank],
        texts: TextBank,
        config: ContrastConfig,
        seed: int,
        classes: Sequence[Sequence[str]] = (),
    ) -> None:
        """Prepare.

        Args:
            towers: Image and text tower; frozen parts are frozen here.
            banks: By source, features as `config.image_stages` says.
            texts: All texts of the banks.
            config: Batches and rates.
            seed: Of the order of pictures and the choice of texts and views.
            classes: For each class of `Bank.likely`, texts of its name.

        Raises:
            TrainingError: If a source of the batch has no training pictures.
        """
        self.image, self.text = towers
        self.banks, self.texts, self.config, self.seed = banks, texts, config, seed
        self._classes = classes
        self._captions = {row: text for text, row in texts.index.items()}
        self.device = self.text.positions.device
        self.log_scale = nn.Parameter(
            torch.tensor(math.log(config.initial_scale), device=self.device)
        )
        self._train_rows = {name: bank.rows("train") for name, bank in banks.items()}
        empty = [name for name in config.batch if not self._train_rows.get(name)]
        if empty:
            raise TrainingError(f"no training pictures of {', '.join(empty)}")
        self.attributes = [
            one for name, bank in banks.items() for one in find_attributes(bank.pictures, name)
        ]
        self._freeze()

    def groups(self) -> Sequence[ParameterGroup]:
        """Heads, temperature, text blocks and (if trained) image stages."""
        config = self.config
        heads = (*self.image.head.parameters(), *text_head(self.text), self.log_scale)
        groups = [ParameterGroup(heads, config.head_rate)]
        if config.text_blocks:
            blocks = tuple(p for block in self._text_blocks() for p in block.parameters())
            groups.append(ParameterGroup(blocks, config.text_rate))
        if config.image_stages:
            stages = tuple(p for stage in self._image_stages() for p in stage.parameters())
            groups.append(ParameterGroup(stages, config.image_rate))
        return groups

    def loss(self, step: int) -> Tensor:
        """Contrast of one batch."""
        self.image.train()
        self.text.train()
        generator = np.random.default_rng((self.seed, step))
        drawn = {n: self._draw(n, step, count) for n, count in self.config.batch.items() if count}
        features = [self._features(self.banks[n], rows, generator) for n, rows in drawn.items()]
        rows = [
            self._text_row(self.banks[name].pictures[row], generator)
            for name, chosen in drawn.items()
            for row in chosen
        ]
        images = self._encode_images(self._varied(torch.cat(features), generator))
        texts = self._encode_texts(rows)
        scale = self.log_scale.exp().clamp(max=MAX_SCALE)
        loss = contrastive_loss(images, texts, self._targets(drawn, rows), scale)
        if self.config.attribute_weight:
            attributes = self._attribute_loss(drawn, images, scale, generator)
            loss = loss + self.config.attribute_weight * attributes
        if self.config.class_weight:
            loss = loss + self.config.class_weight * self._class_loss(drawn, images, generator)
        if self.config.changed_weight:
            changed = self._changed_loss(rows, images, texts)
            loss = loss + self.config.changed_weight * changed
        return loss

    def _varied(self, features: Tensor, generator: np.random.Generator) -> Tensor:
        """Mirrored at random, one by one, and cut to one random square: both for free here."""
        if not self.config.varied:
            return features
        mirrored = torch.from_numpy(generator.random(len(features)) < 0.5)
        features = torch.where(mirrored[:, None, None, None], features.flip(3), features)
        side = min(int(generator.choice(CROPS)), features.shape[2])
        top, left = generator.integers(0, features.shape[2] - side + 1, 2)
        return features[:, :, top : top + side, left : left + side]

    def _class_loss(
        self, drawn: Mapping[str, Sequence[int]], images: Tensor, generator: np.random.Generator
    ) -> Tensor:
        known = [self.banks[name].likely for name in drawn]
        parts = [one.of(rows) for one, rows in zip(known, drawn.values(), strict=True) if one]
        likely = Likely(
            torch.cat([one.classes for one in parts]), torch.cat([one.shares for one in parts])
        )
        chosen = draw_classes(likely, self.config.classes, len(self._classes), generator)
        wordings = [self._classes[number] for number in chosen.tolist()]
        picked = [texts[int(generator.integers(len(texts)))] for texts in wordings]
        rows = [self.texts.index[text] for text in picked]
        return class_loss(images, self._encode_texts(rows), likely, chosen, self.config.class_scale)

    def _changed_loss(self, rows: Sequence[int], images: Tensor, texts: Tensor) -> Tensor:
        """A picture prefers its caption to the same with one word changed, by logistic loss."""
        changed = [changed_caption(self._captions[row]) for row in rows]
        own = [place for place, text in enumerate(changed) if text is not None]
        if not own:
            return images.sum() * 0.0
        vectors = self._encode_texts([self.texts.index[changed[place] or ""] for place in own])
        gaps = (images[own] * (texts[own] - vectors)).sum(dim=1)
        return functional.softplus(-self.config.initial_scale * gaps).mean()

    def _targets(self, drawn: Mapping[str, Sequence[int]], rows: Sequence[int]) -> Tensor:
        config = self.config
        softened = config.soft_sources or tuple(drawn)
        shares = [config.soft_share * (name in softened) for name, r in drawn.items() for _ in r]
        share = torch.tensor(shares)[:, None]
        targets = soft_targets(self.texts.sentences[rows], share, config.soft_temperature)
        return targets.to(self.device)

    def _attribute_loss(
        self,
        drawn: Mapping[str, Sequence[int]],
        images: Tensor,
        scale: Tensor,
        generator: np.random.Generator,
    ) -> Tensor:
        """Weighted mean over the attributes of the sources in the batch."""
        starts = dict(zip(drawn, np.cumsum([0, *map(len, drawn.values())]).tolist(), strict=False))
        used = [one for one in self.attributes if one.source in drawn]
        phrases = [draw_phrases(one, generator) for one in used]
        encoded = self._encode_texts([self.texts.index[t] for texts in phrases for t in texts])
        total = images.sum() * 0.0
        parts = torch.split(encoded, [len(texts) for texts in phrases])
        for one, vectors in zip(used, parts, strict=True):
            chosen = drawn[one.source]
            own = images[starts[one.source] : starts[one.source] + len(chosen)]
            values = batch_values(one, chosen, self.device)
            weight = self.config.attribute_weights.get(one.name, 1.0)
            total = total + weight * attribute_loss(own, vectors, values, scale)
        return total / max(1, len(used))

    def evaluate(self) -> dict[str, float]:
        """Text-to-image recall (percent) on the dev part of each source with free texts."""
        figures: dict[str, float] = {}
        self.image.eval()
        self.text.eval()
        with torch.no_grad():
            for name in ("flickr8k-train", "fashion-recolour"):
                if name in self.banks and self.banks[name].rows("dev"):
                    figures |= self._recalls(name)
            for one in self.attributes:
                if one.source == "regions":
                    figures |= self._attribute_accuracy(one)
            if self._classes and self.banks.get(SOURCE):
                figures |= self._class_accuracy()
        return figures

    def _attribute_accuracy(self, attribute: Attribute) -> dict[str, float]:
        """How often a dev picture is nearest to its own value's first phrase (percent)."""
        bank = self.banks[attribute.source]
        rows = [row for row in bank.rows("dev") if attribute.values[row] != NO_VALUE]
        phrases = self._encode_texts([self.texts.index[texts[0]] for texts in attribute.phrases])
        nearest = (self._dev_images(bank, rows) @ phrases.T).argmax(dim=1).cpu().numpy()
        hits = nearest == attribute.values[rows]
        return {f"{attribute.source}/{attribute.name}": 100.0 * float(hits.mean())}

    def _class_accuracy(self) -> dict[str, float]:
        """How often a dev picture of ImageNet is nearest to its class's name, of all (percent)."""
        bank = self.banks[SOURCE]
        rows = bank.rows("dev")
        names = self._encode_texts([self.texts.index[texts[2]] for texts in self._classes])
        ranked = (self._dev_images(bank, rows) @ names.T).topk(5, dim=1).indices.cpu()
        names_of = {texts[0]: number for number, texts in enumerate(self._classes)}
        truth = torch.tensor([names_of[bank.pictures[row].texts[1]] for row in rows])
        hits = ranked == truth[:, None]
        return {
            f"{SOURCE}/top{k}": 100.0 * float(hits[:, :k].any(1).float().mean()) for k in (1, 5)
        }

    def _dev_images(self, bank: Bank, rows: Sequence[int]) -> Tensor:
        starts = range(0, len(rows), EVALUATION_BATCH)
        parts = (bank.views[0][list(rows[at : at + EVALUATION_BATCH])] for at in starts)
        return torch.cat([self._encode_images(torch.from_numpy(part)) for part in parts])

    def _recalls(self, name: str) -> dict[str, float]:
        bank = self.banks[name]
        rows = bank.rows("dev")
        images = self._dev_images(bank, rows)
        pairs = [
            (self.texts.index[text], target)
            for target, row in enumerate(rows)
            for text in bank.pictures[row].texts[: 5 if name == "flickr8k-train" else 1]
        ]
        texts = torch.cat(
            [
                self._encode_texts([row for row, _ in pairs[at : at + 256]])
                for at in range(0, len(pairs), 256)
            ]
        )
        scores = texts @ images.T
        truth = torch.tensor([target for _, target in pairs], device=scores.device)
        rank = (scores >= scores.gather(1, truth[:, None])).sum(1)
        return {f"{name}/recall@{k}": 100.0 * float((rank <= k).float().mean()) for k in (1, 5, 10)}

    def _encode_images(self, features: Tensor) -> Tensor:
        moved = features.to(self.device).float()
        if not self.config.image_stages:
            vectors: Tensor = self.image.head(moved)
            return vectors
        return self.image.from_cached(channels_last(moved))

    def _encode_texts(self, rows: Sequence[int]) -> Tensor:
        return self.texts.encode(self.text, rows, trained=self.config.text_blocks > 0)

    def _draw(self, name: str, step: int, count: int) -> list[int]:
        """The next rows of an endless sequence of seeded shuffles: a function of the step alone."""
        rows = self._train_rows[name]
        positions = range((step - 1) * count, step * count)
        orders = {
            epoch: np.random.default_rng((self.seed, epoch, len(rows))).permutation(len(rows))
            for epoch in {position // len(rows) for position in positions}
        }
        return [rows[orders[p // len(rows)][p % len(rows)]] for p in positions]

    def _features(self, bank: Bank, rows: Sequence[int], generator: np.random.Generator) -> Tensor:
        views = generator.integers(0, len(bank.views), len(rows))
        chosen = [bank.views[view][row] for view, row in zip(views, rows, strict=True)]
        return torch.from_numpy(np.stack(chosen))

    def _text_row(self, picture: TrainingPicture, generator: np.random.Generator) -> int:
        chance = self.config.shared_text
        if chance and picture.shared and generator.random() < chance:
            return self.texts.index[picture.shared]
        return self.texts.index[picture.texts[generator.integers(len(picture.texts))]]

    def _text_blocks(self) -> Sequence[nn.Module]:
        return list(self.text.blocks)[len(self.text.blocks) - self.config.text_blocks :]

    def _image_stages(self) -> Sequence[nn.Module]:
        return [*self.image.trunk.stages[CACHE_STAGE:], self.image.trunk.head]

    def _freeze(self) -> None:
        self.image.requires_grad_(requires_grad=False)
        self.text.requires_grad_(requires_grad=False)
        for group in self.groups():
            for parameter in group.parameters:
                parameter.requires_grad = True


def text_head(tower: TextTower) -> tuple[nn.Parameter, ...]:
    """What leads from pooled states to the shared space."""
    assert tower.correction is not None  # `minilm.load_minilm` gives it one
    return (*tower.projection.parameters(), *tower.correction.parameters())


def contrastive_loss(images: Tensor, texts: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    r"""Symmetric InfoNCE with soft targets.

    $$ L = \tfrac12 H(P, \mathrm{softmax}(s I T^\top))
         + \tfrac12 H(P, \mathrm{softmax}(s T I^\top)) $$

    with cross-entropy `H`. With `targets` the identity it is the loss of CLIP (arXiv 2103.00020,
    section 2.3).

    Args:
        images: (n, D), unit norm.
        texts: (n, D), unit norm; row i describes image i.
        targets: (n, n), symmetric up to row normalisation; rows sum to one.
        scale: Inverse temperature, scalar.

    Returns:
        The mean loss, scalar.
    """
    logits = scale * images @ texts.T
    forward = -(targets * functional.log_softmax(logits, dim=1)).sum(1).mean()
    backward = -(targets * functional.log_softmax(logits.T, dim=1)).sum(1).mean()
    return (forward + backward) / 2


def soft_targets(sentences: Tensor, share: float | Tensor, temperature: float) -> Tensor:
    """Who else might a text describe: what a frozen sentence encoder finds alike shares the target.

    Identical texts ("a photo of a hat" of a hundred pictures) share equally whatever `share` is.

    Args:
        sentences: (n, w) frozen sentence vectors, unit norm.
        share: How much of the target goes by similarity, 0 to 1, of all rows or (n, 1) by row; the
            rest goes to identical texts.
        temperature: Of the similarity's softmax.

    Returns:
        (n, n), rows sum to one.
    """
    similarity = sentences @ sentences.T
    identical = (similarity > 1.0 - 1e-4).float()
    identical = identical / identical.sum(1, keepdim=True)
    alike = torch.softmax(similarity / temperature, dim=1)
    return (1.0 - share) * identical + share * alike
