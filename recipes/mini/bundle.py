"""The trained towers as a bundle: ONNX graphs with int8 weights, word table, manifest, card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write_card
from image_tower import ImageTower
from minilm import minilm_folder
from settings import MiniConfig
from torch import Tensor, nn

from composir.compose.phrase_files import write_phrases
from composir.foundation.export import IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, WORD_VALUES
from composir.foundation.text_tower import TextTower
from composir.images.preprocess import PreprocessSpec
from composir.model import Bundle, Model
from composir.model.bundle import Manifest, Source, save_manifest
from composir.train.composer_export import export_text, export_tower
from composir.train.config import as_dict
from composir.train.graph_costs import graph_costs
from composir.train.graph_weights import quantise_rows
from composir.train.isa.efficientnet_lite import PIXEL_MEAN, PIXEL_STD, EfficientNetLite

MAX_TOKENS = 128
WORD_SCALES = "word_scales.npy"
LICENCE = (
    "Apache-2.0 for these weights as far as we hold rights in them; some training pictures were "
    "licensed for research only, see the sources"
)
SOURCES_OF_MINI = [
    Source(
        name="EfficientNet-Lite2, ImageNet weights",
        licence="Apache-2.0",
        use="image trunk and names",
    ),
    Source(name="all-MiniLM-L6-v2", licence="Apache-2.0", use="text tower"),
    Source(
        name="Flickr8k, training part",
        licence="research use; pictures owned by their photographers",
        use="training: pictures and captions",
    ),
    Source(
        name="fashion catalogue (fashion-recolour), training title groups",
        licence="unclear (a public catalogue data set)",
        use="training: pictures, titles, colours, types",
    ),
    Source(
        name="PACS, training part",
        licence="unclear, research",
        use="training: pictures, domain and class names",
    ),
    Source(name="grocery pictures", licence="MIT", use="training: pictures, class names"),
    Source(name="clothing pictures", licence="CC0", use="training: pictures, class names"),
    Source(
        name="ADE20K, validation part",
        licence="research, non-commercial",
        use="training: pictures, names and colours of objects",
    ),
    Source(
        name="clothing-parsing",
        licence="Apache-2.0; photographers' rights unclear",
        use="training: pictures, names and colours of garments",
    ),
    Source(
        name="ImageNet, one picture a class",
        licence="research",
        use="training: half of the pictures, all class names",
    ),
]


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
    config: MiniConfig,
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    words: Tensor,
    figures: dict[str, Any],
    *,
    quantise: bool,
) -> Manifest:
    """Write graphs, card and manifest.

    Args:
        config: Of the run.
        folder: The bundle.
        towers: Trained; moved to the CPU.
        words: (vocabulary, width), the text tower's word embeddings.
        figures: Of the dev parts, by stage.
        quantise: int8 weights, else float32 under the name `NAME-fp32`.
    """
    image, text = towers[0].cpu().eval(), towers[1].cpu().eval()
    spec = mini_preprocessing(image.trunk)
    tokenizer = minilm_folder() / "tokenizer.json"
    parity = write_bundle(folder, (image, text), words, tokenizer, spec.size, quantise=quantise)
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
            "command": f"python recipes/mini/train.py --out {shlex.quote(folder.parent.name)}",
            "config": as_dict(config) | {"data": "", "cache": "", "start": _name(config.start)},
            "dev_figures": figures,
            "parity": dict(parity),
            "weights": "int8" if quantise else "float32",
            "torch": version("torch"),
        },
        "efficiency": graph_costs(folder / IMAGE_GRAPH).model_dump(),
    }
    save_manifest(folder, fields)
    fields["known_texts"] = write_phrases(Model(Bundle.load(folder)))
    write_card(folder, fields)
    return save_manifest(folder, fields)


def _name(folder: Path | None) -> str | None:
    """What a folder is called; where it lay is nobody's business."""
    return folder.name if folder else None


def _image_fields(config: MiniConfig, spec: PreprocessSpec) -> dict[str, Any]:
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


def write_bundle(
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    words: Tensor,
    tokenizer: Path,
    size: int,
    *,
    quantise: bool = True,
) -> Mapping[str, Any]:
    """Write all files of a bundle but its manifest and card.

    Args:
        folder: Made if missing.
        towers: Image and text tower.
        words: (vocabulary, width), the text tower's word embeddings.
        tokenizer: The `tokenizer.json` to copy.
        size: Side of the image input, pixels.
        quantise: Store weights as int8.

    Returns:
        Parity with torch, by graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image, text = towers
    gaps = {
        "image_parity": export_image(image, size, folder / IMAGE_GRAPH, quantise=quantise),
        "text_parity": export_text(text, text.spec.width, folder / TEXT_GRAPH, quantise=quantise),
    }
    export_words(words, folder, quantise=quantise)
    (folder / TOKENIZER).write_bytes(tokenizer.read_bytes())
    return gaps


class _ImageGraph(nn.Module):
    """uint8 pixels to vectors and patch tokens; normalisation is inside."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        normalised = (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD
        spatial, statistics = self.tower.trunk.climb(normalised)
        vectors = self.tower.from_map(self.tower.trunk.widen(spatial), statistics)
        return vectors, spatial.flatten(2).transpose(1, 2)


def export_image(tower: ImageTower, size: int, path: Path, *, quantise: bool) -> float:
    """Write the gallery graph.

    Args:
        tower: Trained.
        size: Side of the input, pixels.
        path: The `.onnx` file.
        quantise: Store weights as int8.

    Returns:
        Largest difference to torch before quantisation.

    Raises:
        TrainingError: If the graph disagrees with torch by more than `TEXT_PARITY`.
    """
    graph = _ImageGraph(tower).eval()
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    outputs = ["vector", "patch_tokens"]
    return export_tower(graph, {"pixels": pixels}, outputs, path, quantise=quantise)


def export_words(table: Tensor, folder: Path, *, quantise: bool) -> None:
    """Write the word table: int8 with a scale a row, or float16."""
    if not quantise:
        np.save(folder / WORD_VALUES, table.half().numpy())
        return
    values, scales = quantise_rows(table.numpy())
    np.save(folder / WORD_VALUES, values)
    np.save(folder / WORD_SCALES, scales)
