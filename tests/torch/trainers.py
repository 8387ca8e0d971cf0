"""Every trainer at the size of seconds: few steps on whatever model lies in `home/bundle`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from composir.compose import QueryBatch, open_trained
from composir.compose.trained import ComposerManifest
from composir.model import Model, load_model
from composir.train.baselines.pic2word import train_pic2word
from composir.train.baselines.text_only import TextMapConfig, TextObjective, train_text_map
from composir.train.composing.compose_config import ComposeConfig
from composir.train.composing.recipe import train_composing
from composir.train.config import read_config
from composir.train.isa.recipe import IsaConfig, train_isa
from composir.train.loop import LoopConfig
from composir.train.mapping.mapper import MapperConfig
from composir.train.mapping.recipe import MapConfig, train_map
from composir.train.mapping.task import MapObjective
from composir.train.source_pictures import PictureSources
from composir.train.steering import SteeringConfig
from tests.torch.composing.test_composing_recipe import SMALL
from tests.torch.composing.tiny_start import make_stage1, make_text_triplets, make_triplets
from tests.torch.isa.makers import LEARNER, OBJECTIVE, pictures
from tests.torch.mapping.data import write_data_set
from tests.torch.towers import seeing_trunk

LOOP = LoopConfig(steps=2, warmup=1, evaluate_every=2, checkpoint_every=2)


def write_data(home: Path) -> None:
    """What the trainers read, beside the bundle."""
    pictures(home / "photos", 12)
    write_data_set(home / "own")
    make_triplets(home / "triplets")


def check_query(folder: Path, model: Model) -> None:
    """The composer answers, and both the reference and the words count."""
    composer = open_trained(folder, model)
    vectors = np.eye(model.dimension, dtype=np.float32)
    asked = [("red", 0, "green"), ("blue", 0, "green"), ("red", 1, "white")]
    found = []
    for text, row, colour in asked:
        picture = Image.new("RGB", (40, 40), colour)
        batch = QueryBatch((text,), vectors[row : row + 1], [picture.copy])
        found.append(composer.compose(batch).vectors[0, 0])
    assert np.linalg.norm(found[0]) == pytest.approx(1.0, abs=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.abs(found[0] - found[2]).max() > 1e-4


def text_map(home: Path, out: Path) -> ComposerManifest:
    own = PictureSources(data=(home / "own",))
    config = TextMapConfig(
        model=str(home / "bundle"),
        sources=own,
        cache=home / "cache",
        mapper=MapperConfig(width=32, injection_layers=0),
        objective=TextObjective(batch=4),
        loop=LOOP,
    )
    return train_text_map(config, out, lambda _: None)


def mapping(home: Path, out: Path) -> ComposerManifest:
    return train_map(_map_config(home), out, lambda _: None)


def pic2word(home: Path, out: Path) -> ComposerManifest:
    objective = MapObjective(
        batch=6, negatives=0, alignment=0.0, steering=SteeringConfig(phrase_weight=0.0)
    )
    plain = MapperConfig(width=32, injection_layers=0)
    config = _map_config(home).changed(mapper=plain, objective=objective)
    return train_pic2word(config, out, lambda _: None)


def _map_config(home: Path) -> MapConfig:
    return MapConfig(
        model=str(home / "bundle"),
        sources=PictureSources(data=(home / "own",), dev_share=0.2),
        cache=home / "cache",
        mapper=MapperConfig(width=32, injection_heads=2, injection_width=16),
        objective=MapObjective(batch=6, negatives=4, bank=8),
        loop=LOOP,
    )


def symmetric_isa(home: Path, out: Path) -> ComposerManifest:
    return train_isa(_isa_config(home, "symmetric"), out, lambda _: None)


def asymmetric_isa(home: Path, out: Path) -> ComposerManifest:
    """A light network of random weights beside the gallery's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "composir.train.isa.light_encoder.load_efficientnet_lite",
            lambda _name: seeing_trunk(seed=1),
        )
        return train_isa(_isa_config(home, "asymmetric"), out, lambda _: None)


def _isa_config(home: Path, side: Literal["symmetric", "asymmetric"]) -> IsaConfig:
    return IsaConfig(
        images=(str(home / "photos"),),
        model=str(home / "bundle"),
        side=side,
        cache=home / "cache",
        token_learner=LEARNER,
        objective=OBJECTIVE,
        dev_share=0.3,
        loop=LOOP,
    )


def stage2(home: Path, out: Path) -> ComposerManifest:
    return _stage2(home, out, f"triplets=['{home / 'triplets'}']")


def stage2_from_texts(home: Path, out: Path) -> ComposerManifest:
    texts = make_text_triplets(home / "texts.jsonl")
    return _stage2(home, out, f"text_triplets=['{texts}']")


def stage2_from_both(home: Path, out: Path) -> ComposerManifest:
    texts = make_text_triplets(home / "texts.jsonl")
    pictures = f"triplets=['{home / 'triplets'}']"
    return _stage2(home, out, pictures, f"text_triplets=['{texts}']")


def _stage2(home: Path, out: Path, *more: str) -> ComposerManifest:
    make_stage1(out.parent / "map", load_model(home / "bundle"))
    chosen = [
        f"model={home / 'bundle'}",
        f"start={out.parent / 'map'}",
        f"cache={home / 'cache'}",
        *more,
    ]
    return train_composing(read_config(ComposeConfig, None, [*chosen, *SMALL]), out, lambda _: None)


Trainer = Callable[[Path, Path], ComposerManifest]
TRAINERS: Mapping[str, Trainer] = {
    "text-map": text_map,
    "pic2word": pic2word,
    "map": mapping,
    "isa, symmetric": symmetric_isa,
    "isa, asymmetric": asymmetric_isa,
    "compose": stage2,
    "compose, from texts": stage2_from_texts,
    "compose, from both": stage2_from_both,
}
