"""How the packaged model `mini` is made, from data set folders to a bundle.

Four stages. *heads*: both towers frozen, features cached and pooled, minutes. *joint*: the image
stages above the cache and the last text blocks are trained together with the heads. *attributes*:
the same, and phrases of metadata ("in brown", "a sketch") are told apart, so that they steer a sum
of vectors. *appearance*: with both towers finished, a second part of the pictures' vectors learns
what texts do not say (`foundation.appearance`). Each stage resumes from its
checkpoint; caches are shared by all runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import torch

from composir.model.bundle import Manifest
from composir.train.foundation.appearance_task import check_sources, train_appearance
from composir.train.foundation.attributes import find_attributes, phrases_of
from composir.train.foundation.config import STAGES, FoundationConfig
from composir.train.foundation.corpus import TrainingPicture, read_corpus
from composir.train.foundation.efficientnet_lite import EfficientNetLite, load_efficientnet_lite
from composir.train.foundation.features import cached_pooled, cached_view
from composir.train.foundation.finish import export_bundle, mini_preprocessing
from composir.train.foundation.image_tower import ImageTower
from composir.train.foundation.task import Bank, ContrastTask
from composir.train.foundation.text_tower import TextTower, load_minilm
from composir.train.foundation.texts import TextBank
from composir.train.loop import train
from composir.train.run_folder import claim

Say: TypeAlias = Callable[[str], None]


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
    claim(folder, config)
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
    manifest = export_bundle(config, folder / "bundle", towers, figures, quantise=True)
    export_bundle(config, folder / "bundle-fp32", towers, figures, quantise=False)
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
