"""open_clip's CLIP, from its JSON config and weights, without open_clip installed.

Its plain vision transformers are OpenAI's CLIP under other names, so they are renamed to what
transformers calls them and read as such. Image towers of timm and text towers of transformers,
which its configs may name too, are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from composir.errors import ModelError
from composir.foundation.checkpoint import OPEN_CLIP_CONFIG, Checkpoint
from composir.foundation.families import clip
from composir.foundation.parts import Parts
from composir.foundation.preprocessing import spec_from_processor
from composir.foundation.tokenizer_files import read_tokenizer
from composir.foundation.transformers_code import (
    TransformersReference,
    config_from,
    require_transformers,
)
from composir.foundation.weights import Source
from composir.images.preprocess import PreprocessSpec
from composir.types import FloatArray

_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
_IMAGE = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
# Options that change nothing where they have this value.
_HARMLESS: Mapping[str, Any] = {
    "custom_text": False,
    "no_causal_mask": False,
    "pool_type": "argmax",
    "proj_bias": False,
    "ls_init_value": None,
    "init_logit_scale": None,
    "pad_id": 0,
    "embed_cls": False,
    "tokenizer_kwargs": {},
    "output_tokens": False,
    "patch_dropout": 0.0,
    "no_ln_pre": False,
    "attentional_pool": False,
    "final_ln_after_pool": False,
}


def read(checkpoint: Checkpoint) -> Parts:
    """Read a checkpoint.

    Raises:
        ModelError: If files are missing or damaged, or it is more than a plain CLIP.
    """
    config = _config(checkpoint)
    source = Source(_renamed(checkpoint), str(checkpoint.folder))
    tokenizer = read_tokenizer(checkpoint)
    preprocess = _preprocess(checkpoint, config.vision_config.image_size)
    return clip.assemble(checkpoint, config, source, tokenizer, preprocess, family="open_clip")


def reference(checkpoint: Checkpoint) -> Reference:
    """The CLIP of transformers with the same weights; open_clip itself need not be here."""
    return Reference(checkpoint)


class Reference(TransformersReference):
    """As `TransformersReference`, of renamed weights.

    Pictures are not compared before the tower: that would need open_clip's own processor.
    """

    own_pixels = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Prepare; nothing is read yet."""
        super().__init__(checkpoint, padding="longest")

    def pixels(self, images: Sequence[Image.Image]) -> FloatArray:
        """RGB pictures as the bundle prepares them, (n, 3, s, s) float32, normalised."""
        spec = _preprocess(self._checkpoint, _config(self._checkpoint).vision_config.image_size)
        shown = torch.stack([torch.from_numpy(spec.apply(image)) for image in images]) / 255.0
        mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
        pixels: FloatArray = ((shown - mean) / std).permute(0, 3, 1, 2).contiguous().numpy()
        return pixels

    @cached_property
    def model(self) -> Any:
        """The CLIP of transformers."""
        model = require_transformers().CLIPModel(_config(self._checkpoint)).eval()
        model.load_state_dict({k: v.float() for k, v in _renamed(self._checkpoint).items()})
        return model

    @cached_property
    def _tokenizer(self) -> Any:
        made = read_tokenizer(self._checkpoint)
        end = made.id_to_token(_highest(self._checkpoint))
        return require_transformers().PreTrainedTokenizerFast(tokenizer_object=made, pad_token=end)


def _config(checkpoint: Checkpoint) -> Any:
    model = checkpoint.json(OPEN_CLIP_CONFIG).get("model_cfg")
    place = f"{checkpoint.folder / OPEN_CLIP_CONFIG}: model_cfg"
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= set(model):
        raise ModelError(f"{place} does not state embed_dim, vision_cfg and text_cfg")
    image, text = model["vision_cfg"], model["text_cfg"]
    for options, known in ((model, _MODEL), (image, _IMAGE), (text, _TEXT)):
        _refuse_more(options, known, place)
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    image_width, text_width = image.get("width", 768), text.get("width", 512)
    return config_from(
        "CLIPConfig",
        place,
        projection_dim=model["embed_dim"],
        vision_config={
            "hidden_size": image_width,
            "intermediate_size": int(image_width * image.get("mlp_ratio", 4.0)),
            "num_hidden_layers": image.get("layers", 12),
            "num_attention_heads": image_width // image.get("head_width", 64),
            "image_size": image.get("image_size", 224),
            "patch_size": image.get("patch_size", 16),
            "hidden_act": activation,
        },
        text_config={
            "hidden_size": text_width,
            "intermediate_size": int(text_width * text.get("mlp_ratio", 4.0)),
            "num_hidden_layers": text.get("layers", 12),
            "num_attention_heads": text.get("heads", 8),
            "vocab_size": text.get("vocab_size", 49408),
            "max_position_embeddings": text.get("context_length", 77),
            "hidden_act": activation,
            # open_clip pools at the highest id, whatever the vocabulary.
            "eos_token_id": clip.UNKNOWN_END,
        },
    )


def _refuse_more(options: Any, known: set[str], place: str) -> None:
    if not isinstance(options, dict):
        raise ModelError(f"{place}: {options!r} is no object")
    more = {
        name: value
        for name, value in options.items()
        if name not in known and value not in (None, _HARMLESS.get(name))
    }
    if more:
        raise ModelError(
            f"{place} asks for {', '.join(f'{k}={v!r}' for k, v in sorted(more.items()))}: of "
            "open_clip's models composir reads plain vision transformers with plain text towers; "
            "many others are published for transformers too"
        )


def _renamed(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Weights under transformers' names."""
    state = Source(checkpoint.state, str(checkpoint.folder))
    made = {
        "logit_scale": state["logit_scale"],
        "text_projection.weight": state["text_projection"].T,
        "visual_projection.weight": state["visual.proj"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        **state.layer("text_model.final_layer_norm", "ln_final"),
        **state.layer("vision_model.pre_layrnorm", "visual.ln_pre"),
        **state.layer("vision_model.post_layernorm", "visual.ln_post"),
    }
    config = _config(checkpoint)
    made |= _blocks(state, "transformer", "text_model", config.text_config.num_hidden_layers)
    layers = config.vision_config.num_hidden_layers
    return made | _blocks(state, "visual.transformer", "vision_model", layers)


def _blocks(state: Source, theirs: str, ours: str, count: int) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    for index in range(count):
        source, target = f"{theirs}.resblocks.{index}", f"{ours}.encoder.layers.{index}"
        for kind in ("weight", "bias"):
            rows = state[f"{source}.attn.in_proj_{kind}"].chunk(3)
            for part, row in zip("qkv", rows, strict=True):
                made[f"{target}.self_attn.{part}_proj.{kind}"] = row
        for new, old in (
            ("self_attn.out_proj", "attn.out_proj"),
            ("layer_norm1", "ln_1"),
            ("layer_norm2", "ln_2"),
            ("mlp.fc1", "mlp.c_fc"),
            ("mlp.fc2", "mlp.c_proj"),
        ):
            made |= state.layer(f"{target}.{new}", f"{source}.{old}")
    return made


def _preprocess(checkpoint: Checkpoint, size: int) -> PreprocessSpec:
    return spec_from_processor(checkpoint.json(OPEN_CLIP_CONFIG), image_size=size)


def _highest(checkpoint: Checkpoint) -> int:
    size: int = read_tokenizer(checkpoint).get_vocab_size()
    return size - 1
