"""How the packaged model `mini` is made, from data set folders to a bundle.

Four stages. *heads*: both towers frozen, features cached and pooled, minutes. *joint*: the image
stages above the cache and the last text blocks are trained together with the heads. *attributes*:
the same, and phrases of metadata ("in brown", "a sketch") are told apart, so that they steer a sum
of vectors. *appearance*: with both towers finished, a second part of the pictures' vectors learns
what texts do not say (`foundation.appearance`). Each stage resumes from its
checkpoint; caches are shared by all runs.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import torch

from composir.errors import TrainingError
from composir.model.bundle import Manifest, save_manifest
from composir.preprocess import PreprocessSpec
from composir.train.config import as_dict
from composir.train.foundation.appearance import AppearanceConfig
from composir.train.foundation.appearance_task import check_sources, train_appearance
from composir.train.foundation.attributes import find_attributes, phrases_of
from composir.train.foundation.card import write_card
from composir.train.foundation.corpus import TrainingPicture, read_corpus
from composir.train.foundation.efficientnet_lite import (
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite,
    load_efficientnet_lite,
)
from composir.train.foundation.export import (
    IMAGE_GRAPH,
    TEXT_GRAPH,
    TOKENIZER,
    WORD_SCALES,
    WORD_VALUES,
    write_bundle,
)
from composir.train.foundation.features import cached_pooled, cached_view
from composir.train.foundation.image_tower import ImageTower
from composir.train.foundation.provenance import LICENCE, SOURCES_OF_MINI
from composir.train.foundation.task import Bank, ContrastConfig, ContrastTask
from composir.train.foundation.text_tower import TextTower, load_minilm, minilm_folder
from composir.train.foundation.texts import TextBank
from composir.train.graph_costs import graph_costs
from composir.train.loop import LoopConfig, train

Say: TypeAlias = Callable[[str], None]
MAX_TOKENS = 128
STAGES = ("heads", "joint", "attributes")


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
class FoundationConfig:
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

    def stage(self, name: str) -> tuple[ContrastConfig, LoopConfig]:
        """Contrast and steps of a stage of `STAGES`."""
        stages = {
            "heads": (self.heads, self.heads_loop),
            "joint": (self.joint, self.joint_loop),
            "attributes": (self.attributes, self.attributes_loop),
        }
        return stages[name]


def train_foundation(config: FoundationConfig, folder: Path, say: Say) -> Manifest:
    """Train, export and describe the model.

    Args:
        config: What to do.
        folder: Run folder: `config.json`, a folder a stage, `bundle/` and `bundle-fp32/`.
        say: Takes lines of progress.

    Returns:
        The manifest of the quantised bundle.

    Raises:
        TrainingError: If the folder holds a run of another configuration, or the data do not fit
            it.
        DatasetError: If data are missing.
    """
    _claim(folder, config)
    torch.manual_seed(config.seed)
    corpus = read_corpus(config.data, tuple(config.views))
    if config.appearance.width:
        check_sources(config.appearance, corpus)
    towers = _new_towers(config)
    say(f"{len(corpus)} pictures; encoding their texts")
    texts = TextBank(towers[1], _all_texts(corpus), config.joint.text_blocks)
    # Opened before anything is trained: caches are named by the weights that made them.
    banks = {lower: _banks(config, towers[0].trunk, corpus, lower, say) for lower in (False, True)}
    figures = {}
    for name in STAGES:
        before = [{k: v.clone() for k, v in tower.state_dict().items()} for tower in towers]
        figures[name] = _stage(name, config, folder, towers, banks, texts, say)
    for tower, earlier in zip(towers, before, strict=True):
        mix_weights(tower, earlier, config.attributes_share)
    figures["mixed"] = _task("attributes", config, towers, banks, texts).evaluate()
    say(f"mixed {figures['mixed']}")
    if config.appearance.width:
        figures["appearance"] = train_appearance(
            towers,
            banks[True],
            config.appearance,
            config.appearance_loop,
            folder / "appearance",
            config.seed,
            say,
        )
    manifest = _export(config, folder / "bundle", towers, figures, quantise=True)
    _export(config, folder / "bundle-fp32", towers, figures, quantise=False)
    say(f"wrote {folder / 'bundle'}")
    return manifest


def _all_texts(corpus: Sequence[TrainingPicture]) -> list[str]:
    """Descriptions, shared texts and phrases of attributes."""
    texts = [text for picture in corpus for text in picture.texts]
    texts += [picture.shared for picture in corpus if picture.shared]
    for source in dict.fromkeys(picture.source for picture in corpus):
        own = [picture for picture in corpus if picture.source == source]
        texts += phrases_of(find_attributes(own, source))
    return texts


def mini_preprocessing(trunk: EfficientNetLite) -> PreprocessSpec:
    """The whole picture, squashed to the trunk's resolution, as Flickr8k came to us."""
    mean, std = PIXEL_MEAN / 255.0, PIXEL_STD / 255.0
    return PreprocessSpec(
        size=trunk.spec.resolution,
        fit="squash",
        interpolation="bicubic",
        mean=(mean, mean, mean),
        std=(std, std, std),
    )


def _claim(folder: Path, config: FoundationConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    text = json.dumps(as_dict(config), indent=2) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise TrainingError(
            f"{folder} holds a run of another configuration (see {path}): choose another --out, "
            "or repeat that run's settings to go on with it"
        )
    path.write_text(text, encoding="utf-8")


def _new_towers(config: FoundationConfig) -> tuple[ImageTower, TextTower]:
    trunk = load_efficientnet_lite(config.trunk)
    image, text = ImageTower(trunk, config.dimension), load_minilm(config.dimension)
    for module in (*image.head.modules(), *text.head.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = config.dropout
    if torch.cuda.is_available():
        image.cuda()
        text.cuda()
    return image, text


def _stage(
    name: str,
    config: FoundationConfig,
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    banks: Mapping[bool, Mapping[str, Bank]],
    texts: TextBank,
    say: Say,
) -> dict[str, float]:
    loop = config.stage(name)[1]
    task = _task(name, config, towers, banks, texts)
    return train(task, loop, folder / name, config.seed, lambda record: say(f"{name} {record}"))


def _task(
    name: str,
    config: FoundationConfig,
    towers: tuple[ImageTower, TextTower],
    banks: Mapping[bool, Mapping[str, Bank]],
    texts: TextBank,
) -> ContrastTask:
    contrast = config.stage(name)[0]
    return ContrastTask(towers, banks[contrast.image_stages], texts, contrast, config.seed)


def mix_weights(module: torch.nn.Module, earlier: Mapping[str, torch.Tensor], share: float) -> None:
    """Move a module's weights back towards earlier ones.

    Args:
        module: Changed in place.
        earlier: Its weights before, as in `state_dict`.
        share: 1 leaves the module as it is, 0 gives the earlier weights.
    """
    with torch.no_grad():
        for name, weight in module.state_dict().items():
            weight.copy_(torch.lerp(earlier[name], weight, share))


def _banks(
    config: FoundationConfig,
    trunk: EfficientNetLite,
    corpus: Sequence[TrainingPicture],
    lower: bool,
    say: Say,
) -> dict[str, Bank]:
    spec = mini_preprocessing(trunk)
    open_view = cached_view if lower else cached_pooled
    banks = {}
    for source, views in config.views.items():
        pictures = [picture for picture in corpus if picture.source == source]
        files = [picture.file for picture in pictures]
        opened = []
        for view in range(views):
            say(f"features of {source}, view {view} of {views}")
            opened.append(open_view(config.cache, files, trunk, spec, view))
        banks[source] = Bank(pictures, opened)
    return banks


def _export(
    config: FoundationConfig,
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    figures: dict[str, Any],
    *,
    quantise: bool,
) -> Manifest:
    image, text = towers[0].cpu().eval(), towers[1].cpu().eval()
    spec = mini_preprocessing(image.trunk)
    tokenizer = minilm_folder() / "tokenizer.json"
    parity = write_bundle(folder, (image, text), tokenizer, spec.size, quantise=quantise)
    command = f"composir train foundation --out {shlex.quote(folder.parent.name)}"
    training = {
        "command": command,
        "config": as_dict(config) | {"data": "", "cache": ""},
        "dev_figures": figures,
        "parity": dict(parity),
        "weights": "int8" if quantise else "float32",
        "torch": version("torch"),
    }
    part = config.appearance
    width = part.width
    fields: dict[str, Any] = {
        "name": config.name if quantise else f"{config.name}-fp32",
        "dimension": config.dimension + width,
        "word_dimension": text.spec.width,
        "image": {
            "graph": IMAGE_GRAPH,
            "preprocess": spec,
            "appearance": {"width": width, "weight": part.weight} if width else None,
        },
        "text": {
            "graph": TEXT_GRAPH,
            "tokenizer": TOKENIZER,
            "words": {"values": WORD_VALUES, "scales": WORD_SCALES if quantise else None},
            "max_tokens": MAX_TOKENS,
            "attention_heads": text.spec.heads,
        },
        "templates": {"pseudo_word": "a photo of {}", "composed": "a photo of {} that {text}"},
        "default_composer": "sum",
        "licence": LICENCE,
        "sources": SOURCES_OF_MINI,
        "training": training,
        "efficiency": graph_costs(folder / IMAGE_GRAPH).model_dump(),
    }
    write_card(folder, fields)
    return save_manifest(folder, fields)
