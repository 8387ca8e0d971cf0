"""Figures of a mapper on composed dev queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from composir.compose.blend import BlendWeights
from composir.compose.token_graph import LightTokens
from composir.compose.trained import Templates
from composir.model.base import SplicingEncoder
from composir.train.blend import BlendSettings
from composir.train.dev_set import DevSet, dev_score, terms_of
from composir.train.mapping.mapper import Mapper
from composir.types import FloatArray


class DevCheck(Protocol):
    """Figures of a mapper on dev queries."""

    def __call__(self, mapper: Mapper) -> Mapping[str, float]:
        """The figures, by name; the mapper is in evaluation mode."""


def dev_check(
    dev: DevSet,
    patches: FloatArray | None,
    templates: Templates,
    settings: BlendSettings,
    texts: SplicingEncoder,
) -> DevCheck:
    """Composed recall@10 of a dev set: of the sentence alone, and of the blend without choice.

    Args:
        dev: The dev set.
        patches: (m, N, Dp) of its references, for mappers that inject them.
        templates: The sentences.
        settings: The blend.
        texts: Reads them.
    """
    blends = {"sentence": BlendWeights(), "blend": BlendWeights(**dict(settings))}

    def check(mapper: Mapper) -> Mapping[str, float]:
        device = mapper.word_like.mean.device
        seen = None if patches is None else torch.from_numpy(patches).to(device)
        words, _ = mapper(torch.from_numpy(dev.vectors).to(device), seen)
        terms = terms_of(dev, LightTokens(words.cpu().numpy()), templates, texts)
        return {
            f"{dev.name}/{name}/recall@10": dev_score(dev, terms, weights)
            for name, weights in blends.items()
        }

    return check
