"""Settings of mini's recipe, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from composir.train.config import (
    Between,
    Dropout,
    File,
    Layers,
    LearningRate,
    Name,
    Rate,
    Rows,
    Seed,
    Settings,
    Share,
    Temperature,
    Texts,
    Weight,
    Width,
)
from composir.train.loop import LoopConfig

STAGES = ("heads", "joint", "attributes")


class ContrastConfig(Settings):
    """Batches, learning rates and targets.

    Attributes:
        batch: Pictures of each source in a batch.
        head_rate: Peak learning rate of both heads.
        text_rate: Of the trained text blocks.
        image_rate: Of the trained image stages.
        text_blocks: How many of the last text blocks are trained.
        image_stages: Train the image stages above the cache: banks then hold features of the lower
            trunk. Else only the head is trained, and banks hold features of the whole trunk.
        soft_share: Share of the target that goes by sentence similarity.
        soft_temperature: Of that similarity.
        soft_sources: Sources whose rows have such soft targets; none means all. (Titles that differ
            in the colour alone are alike to a sentence encoder, and must not be to us.)
        attribute_weight: Of the mean attribute loss; 0 leaves attributes out.
        attribute_weights: Weights of single attributes in that mean, 1 where not named.
        shared_text: How often a picture that has one is described by the text it shares with its
            variants.
        initial_scale: Inverse temperature at the start; it is learnt.
    """

    batch: dict[str, Rows] = Field(default_factory=dict)
    head_rate: Rate = 1e-3
    text_rate: Rate = 5e-5
    image_rate: Rate = 1e-4
    text_blocks: Layers = 3
    image_stages: bool = False
    soft_share: Share = 0.0
    soft_temperature: Temperature = 0.07
    soft_sources: Texts = ()
    attribute_weight: Weight = 0.0
    attribute_weights: dict[str, Weight] = Field(default_factory=dict)
    shared_text: Weight = 0.0
    initial_scale: Annotated[float, Between(1e-3, 1e4)] = 20.0


class AppearanceConfig(Settings):
    """How the appearance part is made.

    Attributes:
        width: Of `u`; 0 for a model without one.
        weight: `w`, how much appearance counts beside meaning where pictures meet.
        rate: Peak learning rate.
        temperature: Of the contrast.
        dropout: On the features.
        kin: By source, how many pairs of kin a batch holds (`TrainingPicture.kin`).
        views: By source, how many pairs of the first and the last view of one picture (of a source
            with a single view the same features, under two dropouts).
    """

    width: Annotated[int, Between(0, 16_384)] = 256
    weight: Annotated[float, Between(1e-6, 1e4)] = 1.4
    rate: LearningRate = 3e-4
    temperature: Temperature = 0.1
    dropout: Dropout = 0.2
    kin: dict[str, Rows] = Field(
        default_factory=lambda: {"fashion-recolour": 96, "pacs-domains": 84}
    )
    views: dict[str, Rows] = Field(
        default_factory=lambda: {
            "flickr8k-train": 128,
            "fashion-recolour": 48,
            "grocery-train": 32,
            "clothing-train": 32,
        }
    )

    @model_validator(mode="after")
    def _sees_pairs(self) -> Self:
        if self.width and not any([*self.kin.values(), *self.views.values()]):
            raise ValueError("kin and views must not all be 0")
        return self


def _views() -> dict[str, int]:
    return {
        "flickr8k-train": 2,
        "fashion-recolour": 2,
        "pacs-domains": 2,
        "grocery-train": 1,
        "clothing-train": 1,
    }


def _batch(flickr: int, fashion: int, other: int) -> dict[str, int]:
    others = ("pacs-domains", "grocery-train", "clothing-train")
    return {"flickr8k-train": flickr, "fashion-recolour": fashion} | dict.fromkeys(others, other)


def _heads() -> ContrastConfig:
    return ContrastConfig(batch=_batch(384, 128, 64), head_rate=7e-4, text_blocks=0, soft_share=0.3)


def _joint() -> ContrastConfig:
    return ContrastConfig(
        batch=_batch(256, 96, 32),
        head_rate=3e-4,
        text_rate=1e-4,
        image_rate=2e-4,
        text_blocks=2,
        image_stages=True,
        soft_share=0.3,
    )


def _attributes() -> ContrastConfig:
    return ContrastConfig(
        batch=_batch(224, 160, 32),
        head_rate=2e-4,
        text_rate=5e-5,
        image_rate=1e-4,
        text_blocks=2,
        image_stages=True,
        soft_share=0.3,
        soft_sources=("flickr8k-train",),
        attribute_weight=0.5,
        attribute_weights={"colour": 2.0},
        shared_text=0.25,
        initial_scale=30.0,
    )


class MiniConfig(Settings):
    """Everything that changes the outcome.

    Attributes:
        data: Folder of data set folders.
        cache: Folder of cached features.
        name: Of the bundle.
        trunk: `lite0`, `lite1` or `lite2`.
        dimension: Of the meaning part; D is that and the width of the appearance part.
        views: Cached views of each source; the first is plain, the others are augmented.
        dropout: In both heads.
        heads: Contrast of the first stage.
        heads_loop: Its steps.
        joint: Contrast of the second stage.
        joint_loop: Its steps.
        attributes: Contrast of the third stage.
        attributes_loop: Its steps.
        attributes_share: Share of the third stage's weights in the outcome; the rest are those of
            the second. Between the two lie models that keep what either knows (interpolation of
            weights, arXiv 2109.01903).
        appearance: The last stage.
        appearance_loop: Its steps.
        seed: Of everything random.
    """

    data: File = Path("data")
    cache: File = Path(".cache/features")
    name: Name = "mini"
    trunk: str = "lite2"
    dimension: Width = 256
    views: dict[str, Rows] = _views()
    dropout: Dropout = 0.3
    heads: ContrastConfig = _heads()
    heads_loop: LoopConfig = LoopConfig(steps=150, weight_decay=0.2, evaluate_every=50)
    joint: ContrastConfig = _joint()
    joint_loop: LoopConfig = LoopConfig(
        steps=90,
        warmup=8,
        weight_decay=0.2,
        average=0.95,
        evaluate_every=30,
        checkpoint_every=10,
    )
    attributes: ContrastConfig = _attributes()
    attributes_loop: LoopConfig = LoopConfig(
        steps=80,
        warmup=5,
        weight_decay=0.2,
        average=0.93,
        evaluate_every=20,
        checkpoint_every=10,
    )
    attributes_share: Share = 0.7
    appearance: AppearanceConfig = AppearanceConfig()
    appearance_loop: LoopConfig = LoopConfig(
        steps=600, warmup=20, weight_decay=0.0, evaluate_every=100, checkpoint_every=100
    )
    seed: Seed = 0

    def stage(self, name: str) -> tuple[ContrastConfig, LoopConfig]:
        """Contrast and steps of a stage of `STAGES`."""
        stages = {
            "heads": (self.heads, self.heads_loop),
            "joint": (self.joint, self.joint_loop),
            "attributes": (self.attributes, self.attributes_loop),
        }
        return stages[name]
