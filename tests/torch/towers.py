"""Tiny towers and a bundle made of them, for tests that run in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from bundle import WORD_SCALES, write_bundle
from image_tower import ImageTower
from minilm import tower_spec
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from composir.foundation.appearance import AppearancePart
from composir.foundation.export import IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER, WORD_VALUES
from composir.foundation.name_part import NamePart
from composir.foundation.text_tower import TextTower
from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import save_manifest
from composir.train.isa.efficientnet_lite import (
    HEAD_CHANNELS,
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite,
    LiteSpec,
    SameConv,
)

LITE = LiteSpec(width=0.25, depth=0.5, resolution=64)
SIZE = 64
DIMENSION, APPEARANCE, WEIGHT = 16, 8, 1.5
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "red", "blue", "lamp", "dog")
TEXT = tower_spec(dimension=DIMENSION, positions=32, width=64, layers=2, heads=4, inner=128)
SPEC = PreprocessSpec(
    size=SIZE, fit="squash", mean=(PIXEL_MEAN / 255,) * 3, std=(PIXEL_STD / 255,) * 3
)


def seeing_trunk(spec: LiteSpec = LITE, seed: int = 0) -> EfficientNetLite:
    """A tiny random trunk whose features depend on the picture, by far more than rounding.

    With fresh weights activations shrink from layer to layer until only biases are left, and every
    picture gives the same features; so each channel is standardised over a batch of noise.
    """
    torch.manual_seed(seed)
    trunk = EfficientNetLite(spec).eval()
    layers = [part for part in trunk.modules() if isinstance(part, SameConv)]
    hooks = [layer.register_forward_hook(_standardise) for layer in layers]
    with torch.no_grad():
        trunk(torch.randn(16, 3, spec.resolution, spec.resolution))
    for hook in hooks:
        hook.remove()
    return trunk


def _standardise(layer: SameConv, _inputs: object, output: torch.Tensor) -> torch.Tensor:
    """Fold a channel's mean and spread over the batch into the weights that made it."""
    spread, mean = torch.std_mean(output, dim=(0, 2, 3))
    spread = spread.clamp_min(1e-3)
    assert layer.bias is not None
    layer.weight /= spread[:, None, None, None]
    layer.bias.copy_((layer.bias - mean) / spread)
    return (output - mean[:, None, None]) / spread[:, None, None]


def image_tower(seed: int = 0) -> ImageTower:
    trunk = seeing_trunk(seed=seed)
    torch.manual_seed(seed)
    return ImageTower(trunk, DIMENSION).eval()


def text_tower(seed: int = 0) -> TextTower:
    torch.manual_seed(seed)
    return TextTower(TEXT).eval()


def words(seed: int = 0) -> torch.Tensor:
    """The table of word embeddings, (vocabulary, Dw)."""
    return torch.randn(len(WORDS), TEXT.width, generator=torch.Generator().manual_seed(seed))


def tokenizer() -> Tokenizer:
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def give_appearance(image: ImageTower, text: TextTower) -> None:
    """An appearance part of random weights."""
    image.appearance = AppearancePart(image.trunk.look_width, APPEARANCE, WEIGHT)
    text.spec = replace(text.spec, appearance=APPEARANCE)


def give_names(image: ImageTower) -> None:
    """A part of six names of random weights."""
    torch.manual_seed(5)
    image.names = NamePart(HEAD_CHANNELS, 6, DIMENSION)


def make_bundle(
    folder: Path, *, appearance: bool = False, names: bool = False
) -> tuple[ImageTower, TextTower]:
    """Write a whole bundle named `tiny`; return the towers that it was made of."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    vocabulary = folder.parent / "tokenizer-source.json"
    tokenizer().save(str(vocabulary))
    towers = image_tower(), text_tower()
    part = {"width": APPEARANCE, "weight": WEIGHT} if appearance else None
    if appearance:
        give_appearance(*towers)
    if names:
        give_names(towers[0])
    write_bundle(folder, towers, words(), vocabulary, SIZE)
    fields = {
        "name": "tiny",
        "dimension": DIMENSION + APPEARANCE * appearance,
        "word_dimension": TEXT.width,
        "image": {"graph": IMAGE_GRAPH, "preprocess": SPEC, "appearance": part},
        "text": {
            "graph": TEXT_GRAPH,
            "tokenizer": TOKENIZER,
            "words": {"values": WORD_VALUES, "scales": WORD_SCALES},
            "max_tokens": 16,
            "attention_heads": TEXT.heads,
        },
        "templates": {"pseudo_word": "a photo of {}", "composed": "a photo of {} that {text}"},
        "default_composer": "sum",
        "licence": "none",
    }
    save_manifest(folder, fields)
    return towers
