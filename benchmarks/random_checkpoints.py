"""Checkpoints of real sizes with random weights, as transformers writes them.

Speed and room do not depend on what weights say. Tokenisers are those of the tests: of the real
formats, with few words; tables of words have the real number of rows.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

from composir.foundation.fastvit import FASTVITS, FastVit, scaled_layers

ROOT = Path(__file__).resolve().parents[1]
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One model's sizes.

    Attributes:
        title: What people call it.
        kind: `clip`, `siglip`, or `fastvit` of open_clip.
        image: Fields of the picture tower's config that are not the default ones.
        text: Likewise, of the text tower's.
        projection: Width of the space; of SigLIP that of the text tower.
    """

    title: str
    kind: str
    image: dict[str, int]
    text: dict[str, int]
    projection: int


ARCHITECTURES = {
    "vit-b32": Architecture("CLIP ViT-B/32", "clip", {}, {}, 512),
    "vit-l14": Architecture(
        "CLIP ViT-L/14",
        "clip",
        {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "patch_size": 14,
        },
        {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12},
        768,
    ),
    "siglip2-b16": Architecture(
        "SigLIP2 B/16", "siglip", {"patch_size": 16}, {"vocab_size": 256_000}, 768
    ),
    "mobileclip2-s0": Architecture("MobileCLIP2-S0", "fastvit", {"image_size": 256}, {}, 512),
}


def write_checkpoint(name: str, folder: Path) -> Path:
    """Write one of `ARCHITECTURES`, unless it is there already."""
    if (folder / "README.md").is_file():
        return folder
    torch.manual_seed(0)
    made = ARCHITECTURES[name]
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[made.kind](made, folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n", encoding="utf-8")
    return folder


def _write_clip(made: Architecture, folder: Path) -> None:
    words = _tokenizers().clip_tokenizer()
    end, start = (words.token_to_id(token) for token in ("<|endoftext|>", "<|startoftext|>"))
    frame = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = CLIPConfig(
        text_config={**made.text, **frame},
        vision_config=made.image,
        projection_dim=made.projection,
    )
    CLIPModel(config).save_pretrained(folder)
    tokens = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    processor = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "resample": 3,
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    }
    _write_rest(folder, words, {"tokenizer_class": "CLIPTokenizer", **tokens}, processor)


def _write_siglip(made: Architecture, folder: Path) -> None:
    words = _tokenizers().gemma_tokenizer()
    SiglipModel(SiglipConfig(text_config=made.text, vision_config=made.image)).save_pretrained(
        folder
    )
    tokens: dict[str, Any] = {"eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    tokens |= {"bos_token": "<bos>", "add_bos_token": False, "add_eos_token": True}
    tokens |= {"padding_side": "right", "model_max_length": 64}
    processor = {
        "image_processor_type": "SiglipImageProcessor",
        "size": {"height": 224, "width": 224},
        "resample": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    _write_rest(folder, words, {"tokenizer_class": "Siglip2Tokenizer", **tokens}, processor)


def _write_fastvit(made: Architecture, folder: Path) -> None:
    """As open_clip keeps it once its branches are one convolution each."""
    words = _tokenizers().clip_tokenizer()
    words.save(str(folder / "tokenizer.json"))
    text = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
    image = {"timm_model_name": "fastvit_mci0", "timm_pool": "avg", "timm_proj": None}
    model = {
        "embed_dim": made.projection,
        "vision_cfg": {**image, **made.image},
        "text_cfg": {**text, "no_causal_mask": True},
        "custom_text": True,
    }
    pixels = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"}
    config = {"model_cfg": model, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    state = {**_fastvit_state(made.projection), **_text_state(text, made.projection)}
    save_file(state, folder / "open_clip_model.safetensors")


def _fastvit_state(dimension: int) -> dict[str, torch.Tensor]:
    tower = FastVit(FASTVITS["fastvit_mci0"], dimension, (0.0,) * 3, (1.0,) * 3)
    state: dict[str, torch.Tensor] = {}
    for name, module in tower.named_modules():
        theirs = f"visual.trunk.{name.removesuffix('.convolution')}"
        theirs += ".fc" if name == "head" else ""
        theirs += ".reparam_conv" if isinstance(module, torch.nn.Conv2d) else ""
        own = module.named_parameters(recurse=False)
        state |= {f"{theirs}.{part}": value.detach().clone() for part, value in own}
    for layer, scale in scaled_layers(tower):
        width = len(dict(tower.named_parameters())[f"{layer}.weight"])
        state[f"visual.trunk.{scale}.gamma"] = torch.ones(width, 1, 1)
    return state


def _text_state(text: dict[str, int], dimension: int) -> dict[str, torch.Tensor]:
    width = text["width"]
    shapes: dict[str, tuple[int, ...]] = {
        "token_embedding.weight": (text["vocab_size"], width),
        "positional_embedding": (text["context_length"], width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, dimension),
    }
    for layer in range(text["layers"]):
        block = f"transformer.resblocks.{layer}"
        for part, rows, columns in (
            ("attn.in_proj_", 3 * width, width),
            ("attn.out_proj.", width, width),
            ("mlp.c_fc.", 4 * width, width),
            ("mlp.c_proj.", width, 4 * width),
        ):
            shapes |= {f"{block}.{part}weight": (rows, columns), f"{block}.{part}bias": (rows,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{norm}.weight": (width,), f"{block}.{norm}.bias": (width,)}
    state = {f"text.{name}": torch.randn(shape) * 0.02 for name, shape in shapes.items()}
    return {**state, "logit_scale": torch.tensor(4.6)}


def _write_rest(
    folder: Path, words: Any, tokens: dict[str, Any], processor: dict[str, Any]
) -> None:
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens), encoding="utf-8")
    (folder / "preprocessor_config.json").write_text(json.dumps(processor), encoding="utf-8")


def _tokenizers() -> Any:
    """The tests' writers of tokenisers."""
    sys.path.insert(0, str(ROOT))
    return import_module("tests.foundation.checkpoints")


WRITERS = {"clip": _write_clip, "siglip": _write_siglip, "fastvit": _write_fastvit}
