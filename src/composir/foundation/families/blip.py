"""transformers' BLIP for retrieval: its towers, and the encoder that matches what they compare."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from torch import Tensor

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint, frame, read_tokenizer
from composir.foundation.image_tower import ImageTower, ImageTowerSpec
from composir.foundation.parts import Parts
from composir.foundation.text_tower import MatchingEncoder, TextTower, TextTowerSpec
from composir.foundation.transformers_code import (
    TransformersReference,
    block_sizes,
    image_sizes,
    load_config,
    require_transformers,
)
from composir.foundation.weights import BLOCK, Names, WeightSource
from composir.images.preprocess import PreprocessSpec

_IMAGE_BLOCK: Names = {
    **BLOCK,
    "query_key_value": ("self_attn.qkv",),
    "output": ("self_attn.projection",),
}
_TEXT_BLOCK: Names = {
    "query_key_value": tuple(f"attention.self.{part}" for part in ("query", "key", "value")),
    "output": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "expand": ("intermediate.dense",),
    "contract": ("output.dense",),
    "norm": ("output.LayerNorm",),
}
_CROSSING: Names = {
    "query": ("crossattention.self.query",),
    "key_value": ("crossattention.self.key", "crossattention.self.value"),
    "output": ("crossattention.output.dense",),
    "norm": ("crossattention.output.LayerNorm",),
}
_LAYERS = "text_encoder.encoder.layer"


def read(checkpoint: Checkpoint) -> Parts:
    """Read a checkpoint."""
    config = load_config(checkpoint, "BlipConfig")
    source = WeightSource(checkpoint.state, str(checkpoint.folder))
    if "vision_proj.weight" not in source.state:
        raise ModelError(
            f"{checkpoint.folder} is a BLIP without projections for retrieval, so it has no "
            "vectors to compare: take one of BlipForImageTextRetrieval, such as "
            "Salesforce/blip-itm-base-coco"
        )
    tokenizer = read_tokenizer(checkpoint)
    preprocess = checkpoint.preprocess(config.vision_config.image_size)
    text = _text_tower(config, source)
    return Parts(
        family="blip",
        text=text,
        image=_image_tower(config, source, preprocess),
        words=source["text_encoder.embeddings.word_embeddings.weight"],
        tokenizer=tokenizer.to_str(),
        framing={**frame(checkpoint, tokenizer), "pooling": "cls"},
        preprocess=preprocess,
        licence=checkpoint.licence,
        matching=_matching(config, source, text),
    )


def reference(checkpoint: Checkpoint) -> BlipReference:
    """The library's own BLIP over the same checkpoint."""
    return BlipReference(checkpoint, padding="longest")


class BlipReference(TransformersReference):
    """As `TransformersReference`; the library has no vectors of one side of this BLIP alone."""

    def text_features(self, **inputs: Tensor) -> Tensor:
        """Vectors of texts, as its forward pass computes them."""
        states = self.model.text_encoder(**inputs).last_hidden_state
        projected: Tensor = self.model.text_proj(states[:, 0])
        return projected

    def image_features(self, pixels: Tensor) -> Tensor:
        """Vectors of pictures, likewise."""
        states = self.model.vision_model(pixel_values=pixels).last_hidden_state
        projected: Tensor = self.model.vision_proj(states[:, 0])
        return projected

    @cached_property
    def model(self) -> Any:
        """The library's model."""
        return self.load(require_transformers().BlipForImageTextRetrieval)


def _text_tower(config: Any, source: WeightSource) -> TextTower:
    text = config.text_config
    spec = TextTowerSpec(
        dimension=config.image_text_hidden_size,
        positions=text.max_position_embeddings,
        causal=False,
        pooling="cls",
        projection_bias=True,
        norm_after=True,
        **block_sizes(text),
    )
    state = {
        "positions": source["text_encoder.embeddings.position_embeddings.weight"],
        **source.layer("norm", "text_encoder.embeddings.LayerNorm"),
        **source.blocks(_LAYERS, spec.layers, _TEXT_BLOCK),
        **source.layer("projection", "text_proj"),
    }
    return source.fill(TextTower(spec), state)


def _image_tower(config: Any, source: WeightSource, preprocess: PreprocessSpec) -> ImageTower:
    image = config.vision_config
    spec = ImageTowerSpec(
        dimension=config.image_text_hidden_size,
        class_token=True,
        **image_sizes(image, preprocess),
    )
    embeddings = "vision_model.embeddings"
    state = {
        **source.layer("patches", f"{embeddings}.patch_embedding"),
        "positions": source[f"{embeddings}.position_embedding"][0],
        "class_embedding": source[f"{embeddings}.class_embedding"][0, 0],
        **source.blocks("vision_model.encoder.layers", spec.layers, _IMAGE_BLOCK),
        **source.layer("norm", "vision_model.post_layernorm"),
        **source.layer("projection", "vision_proj"),
    }
    return source.fill(ImageTower(spec), state)


def _matching(config: Any, source: WeightSource, text: TextTower) -> MatchingEncoder:
    state: dict[str, Tensor] = dict(source.layer("head", "itm_head"))
    for index in range(text.spec.layers):
        parts: Mapping[str, Tensor] = source.parts(f"{_LAYERS}.{index}", _CROSSING)
        state |= {f"crossings.{index}.{name}": tensor for name, tensor in parts.items()}
    return source.fill(MatchingEncoder(text, config.vision_config.hidden_size), state)
