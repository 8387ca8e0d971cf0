"""transformers' SigLIP, and SigLIP2 at a fixed resolution, which has the same towers."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from composir.errors import ModelError
from composir.foundation.checkpoint import SETTINGS, Checkpoint, frame, read_tokenizer
from composir.foundation.image_tower import ImageTower, ImageTowerSpec
from composir.foundation.parts import Parts
from composir.foundation.text_tower import TextTower, TextTowerSpec
from composir.foundation.transformers_code import (
    TransformersReference,
    block_sizes,
    image_sizes,
    load_config,
)
from composir.foundation.weights import WeightSource
from composir.images.preprocess import PreprocessSpec

_GEMMA = ("Gemma", "Siglip2")


def read(checkpoint: Checkpoint) -> Parts:
    """Read a checkpoint."""
    config = load_config(checkpoint, "SiglipConfig")
    if not config.vision_config.vision_use_head:
        raise ModelError(
            f"{checkpoint.folder}: its image tower pools nothing, so it has no vectors"
        )
    source = WeightSource(checkpoint.state, str(checkpoint.folder))
    tokenizer = read_tokenizer(checkpoint)
    preprocess = checkpoint.preprocess(config.vision_config.image_size)
    text = _text_tower(config, source)
    return Parts(
        family="siglip",
        text=text,
        image=_image_tower(config, source, preprocess),
        words=source["text_model.embeddings.token_embedding.weight"],
        tokenizer=tokenizer.to_str(),
        framing={
            **frame(checkpoint, tokenizer),
            **_cleaning(checkpoint),
            # Trained on sentences that are always padded, and read off behind the padding.
            "length": text.spec.positions,
            "pooling": "last",
            "causal": False,
            "temperature": math.exp(-float(source["logit_scale"])),
        },
        preprocess=preprocess,
        licence=checkpoint.licence,
    )


def reference(checkpoint: Checkpoint) -> TransformersReference:
    """The library's own SigLIP over the same checkpoint; always pads to the full length."""
    return TransformersReference(checkpoint, padding="max_length")


def _cleaning(checkpoint: Checkpoint) -> dict[str, Any]:
    """SigLIP's tokeniser drops punctuation; SigLIP2's, of Gemma's vocabulary, only lowers letters.

    Where the checkpoint names no side to pad on, it is that of the tokeniser's class.
    """
    settings = checkpoint.optional_json(SETTINGS)
    kind = str(settings.get("tokenizer_class", ""))
    own = "left" if kind.startswith(_GEMMA) else "right"
    return {
        "lower": bool(settings.get("do_lower_case", True)),
        "strip_punctuation": not kind.startswith(_GEMMA),
        "padding_side": settings.get("padding_side", own),
    }


def _text_tower(config: Any, source: WeightSource) -> TextTower:
    text = config.text_config
    spec = TextTowerSpec(
        dimension=text.projection_size,
        positions=text.max_position_embeddings,
        causal=False,
        pooling="last",
        projection_bias=True,
        **block_sizes(text),
    )
    state = {
        "positions": source["text_model.embeddings.position_embedding.weight"],
        **source.blocks("text_model.encoder.layers", spec.layers),
        **source.layer("norm", "text_model.final_layer_norm"),
        **source.layer("projection", "text_model.head"),
    }
    return source.fill(TextTower(spec), state)


def _image_tower(config: Any, source: WeightSource, preprocess: PreprocessSpec) -> ImageTower:
    image = config.vision_config
    spec = ImageTowerSpec(
        dimension=image.hidden_size,
        class_token=False,
        **image_sizes(image, preprocess),
    )
    embeddings, head = "vision_model.embeddings", "vision_model.head"
    state = {
        **source.layer("patches", f"{embeddings}.patch_embedding"),
        "positions": source[f"{embeddings}.position_embedding.weight"],
        **source.blocks("vision_model.encoder.layers", spec.layers),
        **source.layer("norm", "vision_model.post_layernorm"),
        "pool.probe": source[f"{head}.probe"],
        **_pool_projections(source, f"{head}.attention", spec.width),
        **source.layer("pool.output", f"{head}.attention.out_proj"),
        **source.layer("pool.norm", f"{head}.layernorm"),
        **source.layer("pool.expand", f"{head}.mlp.fc1"),
        **source.layer("pool.contract", f"{head}.mlp.fc2"),
    }
    return source.fill(ImageTower(spec), state)


def _pool_projections(source: WeightSource, attention: str, width: int) -> dict[str, Tensor]:
    """Torch keeps query, key and value as one matrix; the query is of the probe, the rest not."""
    parts: dict[str, Tensor] = {}
    for kind in ("weight", "bias"):
        rows = source[f"{attention}.in_proj_{kind}"]
        parts[f"pool.query.{kind}"], parts[f"pool.key_value.{kind}"] = rows[:width], rows[width:]
    return parts
