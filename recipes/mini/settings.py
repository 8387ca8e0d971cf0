"""Settings of mini's recipe, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

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

STAGES = ("heads", "joint")


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
        class_weight: Of the classifier's distribution over class names (`classes.py`); 0 leaves it
            out.
        class_scale: Inverse temperature of a picture's similarities to class names.
        classes: How many classes take part beside the batch's own, drawn at random.
        changed_weight: Of captions against the same with one word changed.
        varied: Mirror features and cut squares from them.
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
    class_weight: Weight = 0.0
    class_scale: Annotated[float, Between(1e-3, 1e4)] = 30.0
    classes: Rows = 128
    changed_weight: Weight = 0.0
    varied: bool = False


class NamesConfig(Settings):
    """How the part of names is made.

    Attributes:
        weight: `g`, how much a picture's names count beside the rest of its meaning; 0 for a model
            without them.
        rate: Peak learning rate.
        batch: Pictures of all sources in a batch.
        dropout: On the features.
    """

    weight: Weight = 0.5
    rate: LearningRate = 1e-3
    batch: Rows = 1024
    dropout: Dropout = 0.1


class AppearanceConfig(Settings):
    """How the appearance part is made.

    Attributes:
        width: Of `u`; 0 for a model without one.
        weight: `w`, how much appearance counts beside meaning where pictures meet.
        rate: Peak learning rate.
        temperature: Of the contrast.
        dropout: On the features.
        from_start: Whether it goes on from the part of the bundle that training goes on from, where
            no stage trains the trunk; composers that were trained for that one nearly fit then.
        kin: By source, how many pairs of kin a batch holds (`TrainingPicture.kin`).
        views: By source, how many pairs of the first and the last view of one picture (of a source
            with a single view the same features, under two dropouts).
    """

    width: Annotated[int, Between(0, 16_384)] = 256
    weight: Annotated[float, Between(1e-6, 1e4)] = 1.4
    rate: LearningRate = 3e-4
    temperature: Temperature = 0.1
    dropout: Dropout = 0.2
    from_start: bool = True
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
    return dict.fromkeys(
        (
            "flickr8k-train",
            "fashion-recolour",
            "pacs-domains",
            "grocery-train",
            "clothing-train",
            "imagenet-samples",
            "scenes",
            "garments",
            "regions",
        ),
        1,
    )


def _batch(flickr: int, fashion: int, regions: int, other: int) -> dict[str, int]:
    batch = {"flickr8k-train": flickr, "fashion-recolour": fashion, "regions": regions}
    batch |= dict.fromkeys(("pacs-domains", "scenes", "garments"), other)
    few = ("grocery-train", "clothing-train", "imagenet-samples")
    return batch | dict.fromkeys(few, max(1, other // 2))


def _contrast(image_stages: bool) -> ContrastConfig:
    return ContrastConfig(
        batch=_batch(112, 48, 32, 16) if image_stages else _batch(320, 128, 96, 64),
        head_rate=3e-4,
        text_rate=6e-5,
        image_rate=1.5e-4,
        text_blocks=3,
        image_stages=image_stages,
        soft_share=0.3,
        soft_sources=("flickr8k-train",),
        attribute_weight=0.5,
        attribute_weights={"colour": 2.0},
        shared_text=0.25,
        initial_scale=30.0,
        class_weight=1.0,
        changed_weight=0.5,
        varied=image_stages,
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
        start: A bundle of this recipe to go on from; the stage `heads` is left out then.
        keep: Parts of the start (`names`, `appearance`) that are not made again where no stage
            trains the trunk, so that what was trained for them holds on.
        heads: Contrast of the first stage.
        heads_loop: Its steps.
        joint: Contrast of the second stage.
        joint_loop: Its steps.
        names: The third stage.
        names_loop: Its steps.
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
    start: File | None = None
    keep: Texts = ("appearance",)
    heads: ContrastConfig = _contrast(image_stages=False)
    heads_loop: LoopConfig = LoopConfig(steps=300, weight_decay=0.2, evaluate_every=100)
    joint: ContrastConfig = _contrast(image_stages=True)
    joint_loop: LoopConfig = LoopConfig(
        steps=320,
        warmup=10,
        weight_decay=0.2,
        average=0.97,
        evaluate_every=80,
        checkpoint_every=10,
    )
    names: NamesConfig = NamesConfig()
    names_loop: LoopConfig = LoopConfig(
        steps=300, warmup=10, weight_decay=0.0, evaluate_every=100, checkpoint_every=100
    )
    appearance: AppearanceConfig = AppearanceConfig()
    appearance_loop: LoopConfig = LoopConfig(
        steps=600, warmup=20, weight_decay=0.0, evaluate_every=100, checkpoint_every=100
    )
    seed: Seed = 0

    @field_validator("keep")
    @classmethod
    def _keeps_parts(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        if other := set(keep) - {"names", "appearance"}:
            raise ValueError(f"names and appearance can be kept, not {', '.join(sorted(other))}")
        return keep

    @property
    def knows_classes(self) -> bool:
        """Whether a stage learns from the trunk's own classifier."""
        weights = [self.stage(name)[0].class_weight for name in STAGES]
        return any((*weights, self.names.weight))

    def stage(self, name: str) -> tuple[ContrastConfig, LoopConfig]:
        """Contrast and steps of a stage of `STAGES`; one without a batch is left out."""
        stages = {
            "heads": (self.heads, self.heads_loop),
            "joint": (self.joint, self.joint_loop),
        }
        return stages[name]
