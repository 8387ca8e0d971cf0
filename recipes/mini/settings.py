"""Settings of mini's recipe, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from composir.errors import TrainingError
from composir.train.checks import check_name_and_seed
from composir.train.loop import LoopConfig

STAGES = ("heads", "joint", "attributes")


@dataclass(frozen=True, slots=True)
class ContrastConfig:
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

    batch: dict[str, int] = field(default_factory=dict)
    head_rate: float = 1e-3
    text_rate: float = 5e-5
    image_rate: float = 1e-4
    text_blocks: int = 3
    image_stages: bool = False
    soft_share: float = 0.0
    soft_temperature: float = 0.07
    soft_sources: tuple[str, ...] = ()
    attribute_weight: float = 0.0
    attribute_weights: dict[str, float] = field(default_factory=dict)
    shared_text: float = 0.0
    initial_scale: float = 20.0


@dataclass(frozen=True, slots=True)
class AppearanceConfig:
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

    width: int = 256
    weight: float = 1.4
    rate: float = 3e-4
    temperature: float = 0.1
    dropout: float = 0.2
    kin: dict[str, int] = field(
        default_factory=lambda: {"fashion-recolour": 96, "pacs-domains": 84}
    )
    views: dict[str, int] = field(
        default_factory=lambda: {
            "flickr8k-train": 128,
            "fashion-recolour": 48,
            "grocery-train": 32,
            "clothing-train": 32,
        }
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            TrainingError: If a number is out of range.
        """
        if self.width < 0 or min(self.weight, self.temperature, self.rate) <= 0:
            raise TrainingError(
                "appearance: width at least 0; weight, temperature and rate above 0"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise TrainingError("appearance: 0 <= dropout < 1")
        counts = (*self.kin.values(), *self.views.values())
        if min(counts, default=0) < 0 or (self.width and not any(counts)):
            raise TrainingError("appearance: kin and views at least 0, and not all of them 0")


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


@dataclass(frozen=True, slots=True)
class MiniConfig:
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

    data: Path = Path("data")
    cache: Path = Path(".cache/features")
    name: str = "mini"
    trunk: str = "lite2"
    dimension: int = 256
    views: dict[str, int] = field(default_factory=_views)
    dropout: float = 0.3
    heads: ContrastConfig = field(default_factory=_heads)
    heads_loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=150, weight_decay=0.2, evaluate_every=50)
    )
    joint: ContrastConfig = field(default_factory=_joint)
    joint_loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=90,
            warmup=8,
            weight_decay=0.2,
            average=0.95,
            evaluate_every=30,
            checkpoint_every=10,
        )
    )
    attributes: ContrastConfig = field(default_factory=_attributes)
    attributes_loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=80,
            warmup=5,
            weight_decay=0.2,
            average=0.93,
            evaluate_every=20,
            checkpoint_every=10,
        )
    )
    attributes_share: float = 0.7
    appearance: AppearanceConfig = field(default_factory=AppearanceConfig)
    appearance_loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(
            steps=600, warmup=20, weight_decay=0.0, evaluate_every=100, checkpoint_every=100
        )
    )
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a name or seed that nothing can be made with.

        Raises:
            TrainingError: Naming the setting.
        """
        check_name_and_seed(self.name, self.seed)

    def stage(self, name: str) -> tuple[ContrastConfig, LoopConfig]:
        """Contrast and steps of a stage of `STAGES`."""
        stages = {
            "heads": (self.heads, self.heads_loop),
            "joint": (self.joint, self.joint_loop),
            "attributes": (self.attributes, self.attributes_loop),
        }
        return stages[name]
