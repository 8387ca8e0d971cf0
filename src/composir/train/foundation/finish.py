"""The trained towers as a bundle: graphs, manifest, card."""

from __future__ import annotations

import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any

from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import Manifest, save_manifest
from composir.train.config import as_dict
from composir.train.foundation.card import write_card
from composir.train.foundation.config import FoundationConfig
from composir.train.foundation.efficientnet_lite import PIXEL_MEAN, PIXEL_STD, EfficientNetLite
from composir.train.foundation.export import (
    IMAGE_GRAPH,
    TEXT_GRAPH,
    TOKENIZER,
    WORD_SCALES,
    WORD_VALUES,
    write_bundle,
)
from composir.train.foundation.image_tower import ImageTower
from composir.train.foundation.provenance import LICENCE, SOURCES_OF_MINI
from composir.train.foundation.text_tower import TextTower, minilm_folder
from composir.train.graph_costs import graph_costs

MAX_TOKENS = 128


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


def export_bundle(
    config: FoundationConfig,
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    figures: dict[str, Any],
    *,
    quantise: bool,
) -> Manifest:
    """Write graphs, card and manifest.

    Args:
        config: Of the run.
        folder: The bundle.
        towers: Trained; moved to the CPU.
        figures: Of the dev parts, by stage.
        quantise: int8 weights, else float32 under the name `NAME-fp32`.
    """
    image, text = towers[0].cpu().eval(), towers[1].cpu().eval()
    spec = mini_preprocessing(image.trunk)
    tokenizer = minilm_folder() / "tokenizer.json"
    parity = write_bundle(folder, (image, text), tokenizer, spec.size, quantise=quantise)
    fields = {
        "name": config.name if quantise else f"{config.name}-fp32",
        "dimension": config.dimension + config.appearance.width,
        "word_dimension": text.spec.width,
        "image": _image_fields(config, spec),
        "text": _text_fields(text, quantise=quantise),
        "templates": {"pseudo_word": "a photo of {}", "composed": "a photo of {} that {text}"},
        "default_composer": "sum",
        "licence": LICENCE,
        "sources": SOURCES_OF_MINI,
        "training": {
            "command": f"composir train foundation --out {shlex.quote(folder.parent.name)}",
            "config": as_dict(config) | {"data": "", "cache": ""},
            "dev_figures": figures,
            "parity": dict(parity),
            "weights": "int8" if quantise else "float32",
            "torch": version("torch"),
        },
        "efficiency": graph_costs(folder / IMAGE_GRAPH).model_dump(),
    }
    write_card(folder, fields)
    return save_manifest(folder, fields)


def _image_fields(config: FoundationConfig, spec: PreprocessSpec) -> dict[str, Any]:
    part = config.appearance
    appearance = {"width": part.width, "weight": part.weight} if part.width else None
    return {"graph": IMAGE_GRAPH, "preprocess": spec, "appearance": appearance}


def _text_fields(text: TextTower, *, quantise: bool) -> dict[str, Any]:
    return {
        "graph": TEXT_GRAPH,
        "tokenizer": TOKENIZER,
        "words": {"values": WORD_VALUES, "scales": WORD_SCALES if quantise else None},
        "max_tokens": MAX_TOKENS,
        "attention_heads": text.spec.heads,
    }
