"""How the packaged model `mini` is made, from data set folders to a bundle.

    python recipes/mini/train.py --data data/ --out runs/mini

Four stages. *heads*: both towers frozen, features cached and pooled, minutes. *joint*: the image
stages above the cache and the last text blocks are trained together with the heads. With both
towers finished, *names* gives pictures the names that the trunk's classifier has for them, and
*appearance* a second part of their vectors, which learns what texts do not say
(`composir.foundation.appearance`). Each stage resumes from its checkpoint; caches are shared by all
runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from appearance_task import check_sources, train_appearance
from attributes import find_attributes, phrases_of
from bundle import export_bundle, mini_preprocessing
from changed import changed_caption
from classes import Likely, cached_likely, class_names, class_texts
from contrast import Bank, ContrastTask
from corpus import TrainingPicture, read_corpus
from features import cached_view
from image_tower import ImageTower
from minilm import load_minilm
from names import add_names
from settings import STAGES, MiniConfig
from start import continue_from, take_appearance, take_names
from summaries import Summaries, summarise
from texts import TextBank
from torch import Tensor

from composir.data.outputs import check_own_folder
from composir.errors import ComposirError
from composir.foundation.text_tower import TextTower
from composir.model.bundle import Bundle, Manifest
from composir.train.config import read_config
from composir.train.isa.efficientnet_lite import EfficientNetLite, load_efficientnet_lite
from composir.train.isa.light_vector import read_appearance
from composir.train.loop import train
from composir.train.run_folder import CONFIG, claim

SUMMARIES = "summaries"
Say: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Towers:
    """What is trained.

    Attributes:
        image: The gallery's side.
        text: The other side.
        words: (vocabulary, width) float32, its word embeddings, which stay as they are.
    """

    image: ImageTower
    text: TextTower
    words: Tensor

    @property
    def both(self) -> tuple[ImageTower, TextTower]:
        """The two that change."""
        return self.image, self.text


def main() -> int:
    """Read the command line and train; the exit code."""
    asked = _arguments()
    chosen = [*([f"data={asked.data}"] if asked.data else []), *asked.assignments]
    try:
        config = read_config(MiniConfig, asked.config, chosen)
        check_own_folder(asked.out, {CONFIG}, "--out")
        train_mini(config, asked.out, _say)
    except ComposirError as error:
        _say(f"Error: {error}")
        return 2
    except KeyboardInterrupt:
        _say(f"stopped; the same command goes on from the last checkpoint in {asked.out}")
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make mini, from data set folders to a bundle.")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run there goes on")
    parser.add_argument("--data", type=Path, help="folder of the data set folders")
    parser.add_argument("--config", type=Path, help="settings as TOML; see the run's config.json")
    parser.add_argument(
        "--set",
        dest="assignments",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="override one setting; repeat",
    )
    return parser.parse_args()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def train_mini(config: MiniConfig, folder: Path, say: Say) -> Manifest:
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
    say(f"{len(corpus)} pictures")
    kept = _kept(config)
    figures: dict[str, dict[str, float]] = {}
    if config.start and "names" in kept:
        continue_from(config.start, *towers.both)
        take_names(config.start, towers.image)
    else:
        figures = _contrasted(config, towers, corpus, folder, say)
    if config.start and "appearance" in kept:
        take_appearance(config.start, config.appearance, *towers.both)
    elif config.appearance.width:
        figures["appearance"] = _with_appearance(config, towers, corpus, folder, say)
    manifest = export_bundle(
        config, folder / "bundle", towers.both, towers.words, figures, quantise=True
    )
    export_bundle(
        config, folder / "bundle-fp32", towers.both, towers.words, figures, quantise=False
    )
    say(f"wrote {folder / 'bundle'}")
    return manifest


def _stages(config: MiniConfig) -> list[str]:
    """Those with a batch, without the first where training goes on from a bundle."""
    asked = [name for name in STAGES if any(config.stage(name)[0].batch.values())]
    return [name for name in asked if not (config.start and name == STAGES[0])]


def _kept(config: MiniConfig) -> set[str]:
    """Parts that the start has and the model is to have, where the trunk stays as it was."""
    if not config.start or _stages(config):
        return set()
    asked = {"names": config.names.weight, "appearance": config.appearance.width}
    return {name for name in config.keep if asked[name]}


def _contrasted(
    config: MiniConfig,
    towers: Towers,
    corpus: Sequence[TrainingPicture],
    folder: Path,
    say: Say,
) -> dict[str, dict[str, float]]:
    """Train the stages, then give the finished image tower its names."""
    say("encoding their texts")
    texts = TextBank(
        towers.text, towers.words, _all_texts(config, corpus), config.joint.text_blocks
    )
    # Opened before anything is trained: caches are named by the weights that made them.
    trunk = towers.image.trunk
    stages = _stages(config)
    lower = {config.stage(name)[0].image_stages for name in stages} | {True}
    banks = {one: _banks(config, trunk, corpus, one, say) for one in sorted(lower, reverse=True)}
    if config.start:
        continue_from(config.start, *towers.both)
    figures = {}
    for name in stages:
        task = _task(name, config, towers, banks, texts)
        figures[name] = _trained(name, task, config, folder, say)
    if config.names.weight:
        seen = _summaries(config, towers, corpus, folder, say)
        first = {name: views[0].first for name, views in seen.items()}
        classes = config.trunk, class_names(config.data)
        settings = config.names, config.names_loop, config.seed
        figures["names"] = add_names(
            towers.both, banks[True], first, texts, classes, settings, folder / "names", say
        )
    return figures


def _with_appearance(
    config: MiniConfig,
    towers: Towers,
    corpus: Sequence[TrainingPicture],
    folder: Path,
    say: Say,
) -> dict[str, float]:
    """Give the finished towers an appearance part; figures of the dev part."""
    seen = _summaries(config, towers, corpus, folder, say)
    looks = {name: [one.look for one in views] for name, views in seen.items()}
    pictures = {name: _of(name, corpus) for name in looks}
    task = config.appearance, config.appearance_loop, config.seed
    place, former = folder / "appearance", None
    if config.start and config.appearance.from_start and not _stages(config):
        former = read_appearance(Bundle.load(config.start))
    return train_appearance(towers.both, pictures, looks, task, place, say, former)


def _summaries(
    config: MiniConfig,
    towers: Towers,
    corpus: Sequence[TrainingPicture],
    folder: Path,
    say: Say,
) -> dict[str, list[Summaries]]:
    """By source and view; kept in the run folder, so that asking again costs little."""
    spec, made = mini_preprocessing(towers.image.trunk), {}
    for source, views in config.views.items():
        say(f"summaries of {source}")
        files = [picture.file for picture in _of(source, corpus)]
        made[source] = [
            summarise(towers.image, spec, files, view, folder / SUMMARIES) for view in range(views)
        ]
    return made


def _of(source: str, corpus: Sequence[TrainingPicture]) -> list[TrainingPicture]:
    return [picture for picture in corpus if picture.source == source]


def _all_texts(config: MiniConfig, corpus: Sequence[TrainingPicture]) -> list[str]:
    """Descriptions, also with a word changed, class names, shared texts, attributes' phrases."""
    texts = [text for picture in corpus for text in picture.texts]
    texts += [picture.shared for picture in corpus if picture.shared]
    texts += [other for text in set(texts) if (other := changed_caption(text))]
    texts += [text for some in _class_texts(config) for text in some]
    for source in dict.fromkeys(picture.source for picture in corpus):
        texts += phrases_of(find_attributes(_of(source, corpus), source))
    return texts


def _new_towers(config: MiniConfig) -> Towers:
    trunk = load_efficientnet_lite(config.trunk)
    image, (text, words) = ImageTower(trunk, config.dimension), load_minilm(config.dimension)
    for module in (*image.head.modules(), *text.modules()):
        if isinstance(module, torch.nn.Dropout):
            module.p = config.dropout
    if torch.cuda.is_available():
        image.cuda()
        text.cuda()
    return Towers(image, text, words)


def _trained(
    name: str, task: ContrastTask, config: MiniConfig, folder: Path, say: Say
) -> dict[str, float]:
    loop = config.stage(name)[1]
    return train(task, loop, folder / name, config.seed, lambda record: say(f"{name} {record}"))


def _task(
    name: str,
    config: MiniConfig,
    towers: Towers,
    banks: Mapping[bool, Mapping[str, Bank]],
    texts: TextBank,
) -> ContrastTask:
    contrast = config.stage(name)[0]
    bank = banks[contrast.image_stages]
    return ContrastTask(towers.both, bank, texts, contrast, config.seed, _class_texts(config))


def _class_texts(config: MiniConfig) -> list[list[str]]:
    return class_texts(class_names(config.data)) if config.knows_classes else []


def _banks(
    config: MiniConfig,
    trunk: EfficientNetLite,
    corpus: Sequence[TrainingPicture],
    lower: bool,
    say: Say,
) -> dict[str, Bank]:
    spec = mini_preprocessing(trunk)
    banks = {}
    for source, views in config.views.items():
        pictures = _of(source, corpus)
        files = [picture.file for picture in pictures]
        opened = []
        for view in range(views):
            say(f"features of {source}, view {view} of {views}")
            opened.append(cached_view(config.cache, files, trunk, spec, view, pooled=not lower))
        likely = _likely(config, files, trunk) if config.knows_classes else None
        banks[source] = Bank(pictures, opened, likely)
    return banks


def _likely(config: MiniConfig, files: Sequence[Path], trunk: EfficientNetLite) -> Likely:
    plain = cached_view(config.cache, files, trunk, mini_preprocessing(trunk), 0)
    return cached_likely(config.cache, files, plain, trunk, config.trunk)


if __name__ == "__main__":
    sys.exit(main())
