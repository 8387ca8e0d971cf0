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
from appearance_task import AppearanceData, check_sources, train_appearance
from attributes import find_attributes, phrases_of
from bundle import export_bundle, mini_preprocessing
from changed import changed_caption
from classes import Likely, cached_likely, class_names, class_texts
from contrast import Bank, ContrastTask
from corpus import TrainingPicture, read_corpus
from features import cached_view
from image_tower import ImageTower
from minilm import load_minilm
from names import NamesData, add_names
from settings import STAGES, MiniConfig
from start import continue_from, take_appearance, take_names
from summaries import Summaries, summarise
from texts import TextBank
from torch import Tensor

from composir.data.outputs import check_own_folder
from composir.errors import ComposirError
from composir.foundation.appearance import AppearancePart
from composir.foundation.text_tower import TextTower
from composir.model.bundle import Bundle, Manifest
from composir.train.config import read_config
from composir.train.isa.efficientnet_lite import EfficientNetLite, load_efficientnet_lite
from composir.train.isa.light_vector import read_appearance
from composir.train.loop import train
from composir.train.run_folder import CONFIG, claim

SUMMARIES = "summaries"
Say: TypeAlias = Callable[[str], None]
Figures: TypeAlias = dict[str, dict[str, float]]


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


@dataclass(frozen=True, slots=True)
class Making:
    """A run of the recipe.

    Attributes:
        config: What to do.
        corpus: All pictures.
        towers: What is trained.
        folder: The run folder.
        say: Takes lines of progress.
    """

    config: MiniConfig
    corpus: Sequence[TrainingPicture]
    towers: Towers
    folder: Path
    say: Say

    def of(self, source: str) -> list[TrainingPicture]:
        """The pictures of a source."""
        return [picture for picture in self.corpus if picture.source == source]


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
    run = Making(config, corpus, _new_towers(config), folder, say)
    say(f"{len(corpus)} pictures")
    figures = _with_appearance(run, _with_names(run))
    made, towers = export_bundle, run.towers
    manifest = made(config, folder / "bundle", towers.both, towers.words, figures, quantise=True)
    made(config, folder / "bundle-fp32", towers.both, towers.words, figures, quantise=False)
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


def _with_names(run: Making) -> Figures:
    """Finish the towers' meaning: take it from the start, or train the stages and fit the names."""
    config, towers, stages = run.config, run.towers, _stages(run.config)
    kept = "names" in _kept(config)
    if config.start and not stages and (kept or not config.names.weight):
        continue_from(config.start, *towers.both)
        if kept:
            take_names(config.start, config.names, towers.image)
        return {}
    run.say("encoding their texts")
    texts = TextBank(towers.text, towers.words, _all_texts(run), config.joint.text_blocks)
    # Opened before anything is trained: caches are named by the weights that made them.
    lower = {config.stage(name)[0].image_stages for name in stages} | {True}
    banks = {one: _banks(run, one) for one in sorted(lower, reverse=True)}
    if config.start:
        continue_from(config.start, *towers.both)
    figures = {name: _trained(name, _task(name, run, banks, texts), run) for name in stages}
    if config.names.weight:
        first = {name: views[0].first for name, views in _summaries(run).items()}
        data = NamesData(banks[True], first, texts, config.trunk, class_names(config.data))
        settings = config.names, config.names_loop, config.seed
        figures["names"] = add_names(towers.both, data, settings, run.folder / "names", run.say)
    return figures


def _with_appearance(run: Making, figures: Figures) -> Figures:
    """Give the finished towers an appearance part, if they are to have one."""
    config, towers = run.config, run.towers
    if config.start and "appearance" in _kept(config):
        take_appearance(config.start, config.appearance, *towers.both)
    elif config.appearance.width:
        looks = {name: [one.look for one in some] for name, some in _summaries(run).items()}
        data = AppearanceData({name: run.of(name) for name in looks}, looks, _former(config))
        settings = config.appearance, config.appearance_loop, config.seed
        place = run.folder / "appearance"
        figures["appearance"] = train_appearance(towers.both, data, settings, place, run.say)
    return figures


def _former(config: MiniConfig) -> AppearancePart | None:
    """The part that the new one goes on from."""
    if not (config.start and config.appearance.from_start) or _stages(config):
        return None
    return read_appearance(Bundle.load(config.start))


def _summaries(run: Making) -> dict[str, list[Summaries]]:
    """By source and view; kept in the run folder, so that asking again costs little."""
    image, kept = run.towers.image, run.folder / SUMMARIES
    spec, made = mini_preprocessing(image.trunk), {}
    for source, views in run.config.views.items():
        run.say(f"summaries of {source}")
        files = [picture.file for picture in run.of(source)]
        made[source] = [summarise(image, spec, files, view, kept) for view in range(views)]
    return made


def _all_texts(run: Making) -> list[str]:
    """Descriptions, also with a word changed, class names, shared texts, attributes' phrases."""
    texts = [text for picture in run.corpus for text in picture.texts]
    texts += [picture.shared for picture in run.corpus if picture.shared]
    texts += [other for text in set(texts) if (other := changed_caption(text))]
    texts += [text for some in _class_texts(run.config) for text in some]
    for source in dict.fromkeys(picture.source for picture in run.corpus):
        texts += phrases_of(find_attributes(run.of(source), source))
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


def _trained(name: str, task: ContrastTask, run: Making) -> dict[str, float]:
    loop, seed = run.config.stage(name)[1], run.config.seed
    return train(task, loop, run.folder / name, seed, lambda record: run.say(f"{name} {record}"))


def _task(
    name: str, run: Making, banks: Mapping[bool, Mapping[str, Bank]], texts: TextBank
) -> ContrastTask:
    config, both = run.config, run.towers.both
    contrast = config.stage(name)[0]
    bank = banks[contrast.image_stages]
    return ContrastTask(both, bank, texts, contrast, config.seed, _class_texts(config))


def _class_texts(config: MiniConfig) -> list[list[str]]:
    return class_texts(class_names(config.data)) if config.knows_classes else []


def _banks(run: Making, lower: bool) -> dict[str, Bank]:
    config, trunk = run.config, run.towers.image.trunk
    spec, banks = mini_preprocessing(trunk), {}
    for source, views in config.views.items():
        pictures = run.of(source)
        files = [picture.file for picture in pictures]
        opened = []
        for view in range(views):
            run.say(f"features of {source}, view {view} of {views}")
            opened.append(cached_view(config.cache, files, trunk, spec, view, pooled=not lower))
        likely = _likely(config, files, trunk) if config.knows_classes else None
        banks[source] = Bank(pictures, opened, likely)
    return banks


def _likely(config: MiniConfig, files: Sequence[Path], trunk: EfficientNetLite) -> Likely:
    plain = cached_view(config.cache, files, trunk, mini_preprocessing(trunk), 0)
    return cached_likely(config.cache, files, plain, trunk, config.trunk)


if __name__ == "__main__":
    sys.exit(main())
