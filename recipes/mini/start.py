"""Training goes on from a finished bundle instead of from ImageNet and sentence weights alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from image_tower import ImageTower
from settings import AppearanceConfig, NamesConfig

from composir.errors import TrainingError
from composir.foundation.text_tower import TextTower
from composir.model.bundle import Bundle
from composir.model.catalogue import open_bundle
from composir.train.frozen import load_text_tower, read_weights
from composir.train.isa.efficientnet_lite import CACHE_STAGE
from composir.train.isa.light_vector import read_appearance, read_names

LOWER = ("trunk.stem.", *(f"trunk.stages.{number}." for number in range(CACHE_STAGE)))


def continue_from(folder: Path, image: ImageTower, text: TextTower) -> None:
    """Fill both towers with a bundle's weights; what it stores as int8 is expanded.

    The trunk's lower part stays as it was published, for cached features are of that.

    Args:
        folder: A bundle of this recipe, of the same trunk and dimension.
        image: Gets the bundle's upper trunk and head; the appearance part is trained anew.
        text: Gets the bundle's blocks and head.

    Raises:
        TrainingError: If the bundle is of another shape.
    """
    bundle = open_bundle(folder)
    if not isinstance(bundle, Bundle):
        raise TrainingError(f"{folder} is no bundle to go on from: it has no towers")
    weights = read_weights(bundle.file(bundle.manifest.image.graph))
    upper = [name for name in image.state_dict() if not name.startswith(LOWER)]
    try:
        found = {name: torch.tensor(weights[name]) for name in upper}
        image.load_state_dict(image.state_dict() | found)
        text.load_state_dict(load_text_tower(bundle).state_dict())
    except (KeyError, RuntimeError) as error:
        raise TrainingError(f"{folder} is no bundle to go on from: {error}") from error


def take_appearance(
    folder: Path, asked: AppearanceConfig, image: ImageTower, text: TextTower
) -> None:
    """Give towers the appearance part of a bundle with the same trunk, as it is there.

    Args:
        folder: A bundle of this recipe.
        asked: Width and weight that the part is to have.
        image: Gets the part.
        text: Its vectors end in zeros there.

    Raises:
        TrainingError: If the bundle has no such part.
    """
    bundle = Bundle.load(folder)
    known = bundle.manifest.image.appearance
    if known is None or (known.width, known.weight) != (asked.width, asked.weight):
        raise TrainingError(
            f"{folder} has no appearance part of width {asked.width} and weight {asked.weight:g}: "
            "set appearance.width and appearance.weight to what it has (0 for none)"
        )
    image.appearance = read_appearance(bundle)
    text.spec = replace(text.spec, appearance=asked.width)


def take_names(folder: Path, asked: NamesConfig, image: ImageTower) -> None:
    """Give a tower the names of a bundle with the same trunk, as they are there.

    Args:
        folder: A bundle of this recipe.
        asked: Weight that the part is to have.
        image: Gets the part.

    Raises:
        TrainingError: If the bundle has no such part.
    """
    bundle = Bundle.load(folder)
    image.names = read_names(bundle)
    weight = bundle.manifest.training.get("config", {}).get("names", {}).get("weight")
    if image.names is None or weight != asked.weight:
        raise TrainingError(
            f"{folder} has no part of names of weight {asked.weight:g} to keep: have one made "
            "(--set 'keep=[]'), or none (--set names.weight=0)"
        )
