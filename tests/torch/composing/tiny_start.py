"""A tiny bundle, a stage-1 composer for it, pictures and triplets: stage 2 in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from composir.compose.trained import save_composer
from composir.model import Model, load_model
from composir.train.composer_export import export_query_graph
from tests.torch.composing.tiny_rows import write_lines
from tests.torch.towers import DIMENSION, SPEC, TEXT, make_bundle

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
KINDS = 12


class _Word(nn.Module):
    """A vector's image in the space of words, as one pseudo-word."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIMENSION, TEXT.width)

    def forward(self, vector: Tensor) -> Tensor:
        word: Tensor = self.linear(vector)
        return word[:, None]


class _PixelWord(nn.Module):
    """The mean colour as a pseudo-word."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, TEXT.width)

    def forward(self, pixels: Tensor) -> Tensor:
        word: Tensor = self.linear(pixels.float().mean(dim=(1, 2)) / 255.0)
        return word[:, None]


class _PixelWordAndVector(nn.Module):
    """The mean colour as a pseudo-word, and as a vector of unit norm."""

    def __init__(self) -> None:
        super().__init__()
        self.word = _PixelWord()
        self.linear = nn.Linear(3, DIMENSION)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        colour = pixels.float().mean(dim=(1, 2)) / 255.0
        return self.word(pixels), nn.functional.normalize(self.linear(colour), dim=-1)


def make_model(folder: Path) -> Model:
    make_bundle(folder)
    return load_model(folder)


def make_stage1(
    folder: Path, model: Model, *, pixels: bool = False, vector: bool = False, **fields: object
) -> Path:
    """Write a composer of kind `pseudo_word` (or `sentence`, from pixels) at `folder/composer`."""
    torch.manual_seed(3)
    composer = folder / "composer"
    composer.mkdir(parents=True)
    size = SPEC.size
    inputs = (
        {"pixels": torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)}
        if pixels
        else {"vector": torch.randn(2, DIMENSION)}
    )
    module = _PixelWordAndVector() if vector else _PixelWord() if pixels else _Word()
    outputs = ["tokens", "vector"] if vector else ["tokens"]
    export_query_graph(module, inputs, outputs, composer / "query.onnx", quantise=False)
    made: dict[str, object] = {
        "name": "tiny-map",
        "kind": "sentence" if pixels else "pseudo_word",
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "text": model.text_checksum,
        "input": "pixels" if pixels else "vector",
        "preprocess": SPEC if pixels else None,
        "tokens": 1,
        "word_dimension": TEXT.width,
        "vector": vector,
        "licence": "none",
    }
    save_composer(composer, made | fields)
    return folder


def make_triplets(folder: Path) -> Path:
    """A data set folder: pictures of `KINDS` shades twice, and "red"/"blue" between them."""
    images = folder / "images"
    images.mkdir(parents=True)
    gallery: list[dict[str, object]] = []
    queries: list[dict[str, object]] = []
    for kind in range(KINDS):
        for name, colour in COLOURS.items():
            picture = Image.new("RGB", (40, 40), colour)
            picture.paste((20 * kind, 255 - 20 * kind, 100), (0, 0, 40, 20))
            picture.save(images / f"{kind}-{name}.png")
            gallery.append({"id": f"{kind}-{name}", "file": f"images/{kind}-{name}.png"})
        for old, new in (("red", "blue"), ("blue", "red")):
            query = {"reference": f"{kind}-{old}", "text": new, "targets": [f"{kind}-{new}"]}
            queries.append({"id": f"q{len(queries)}", "group": str(kind), **query})
    write_lines(folder / "gallery.jsonl", gallery)
    write_lines(folder / "queries.jsonl", queries)
    (folder / "dataset.json").write_text(json.dumps({"name": "shades"}))
    return folder


def make_text_triplets(file: Path) -> Path:
    """Changes of colour and of place between `KINDS` things, there and back."""
    rows: list[dict[str, str]] = []
    for kind in range(KINDS):
        thing = " ".join(["dog", "lamp", "photo"][: 1 + kind % 3] + ["of a dog"] * (kind // 3))
        for old, new in (("red", "blue"), ("blue", "red")):
            captions = {"reference": f"a {old} {thing}", "target": f"a {new} {thing}"}
            rows.append({**captions, "text": new, "edit": f"colour: {old} > {new}"})
            longer = f"a {old} {thing} of a lamp"
            rows.append({**captions, "target": longer, "text": "a lamp", "edit": "ending:  > lamp"})
    return write_lines(file, rows)
