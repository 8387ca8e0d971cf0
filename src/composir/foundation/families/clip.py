"""transformers' CLIP: OpenAI's, and what open_clip, MetaCLIP and DFN publish in the same form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch import nn

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint, frame, read_tokenizer
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

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What configs of before transformers 4.30 state whatever the vocabulary: the place is that of the
# highest id of a sentence, which the end-of-text token has.
UNKNOWN_END = 2


def read(checkpoint: Checkpoint) -> Parts:
    """Read a checkpoint."""
    config = load_config(checkpoint, "CLIPConfig")
    source = WeightSource(checkpoint.state, str(checkpoint.folder))
    preprocess = checkpoint.preprocess(config.vision_config.image_size)
    return assemble(checkpoint, config, source, read_tokenizer(checkpoint), preprocess)


def assemble(
    checkpoint: Checkpoint,
    config: Any,
    source: WeightSource,
    tokenizer: Tokenizer,
    preprocess: PreprocessSpec,
    *,
    family: str = "clip",
    image: nn.Module | None = None,
    causal: bool = True,
) -> Parts:
    """Put a CLIP together from what its files say."""
    framed = frame(checkpoint, tokenizer)
    _check_end(checkpoint, config.text_config.eos_token_id, framed["closing"], tokenizer)
    return Parts(
        family=family,
        text=_text_tower(config, source, causal=causal),
        image=image or _image_tower(config, source, preprocess),
        words=source["text_model.embeddings.token_embedding.weight"],
        tokenizer=tokenizer.to_str(),
        framing={
            **framed,
            **({} if causal else {"pad": 0, "length": config.text_config.max_position_embeddings}),
            "pooling": "eot",
            "causal": causal,
            "temperature": math.exp(-float(source["logit_scale"])),
        },
        preprocess=preprocess,
        licence=checkpoint.licence,
    )


def reference(checkpoint: Checkpoint) -> TransformersReference:
    """The library's own CLIP over the same checkpoint; pads to the longest sentence."""
    return TransformersReference(checkpoint, padding="longest")


def _check_end(
    checkpoint: Checkpoint, stated: Any, closing: tuple[int, ...], tokenizer: Any
) -> None:
    place = f"{checkpoint.folder}: the tokeniser"
    if not closing:
        raise ModelError(f"{place} closes sentences with no token, and CLIP reads them off there")
    highest = tokenizer.get_vocab_size() - 1
    wanted = highest if stated == UNKNOWN_END else stated
    if closing[0] != wanted:
        raise ModelError(
            f"{place} closes sentences with token {closing[0]}, but the config's end-of-text token "
            f"is {wanted}"
        )


def _text_tower(config: Any, source: WeightSource, *, causal: bool) -> TextTower:
    text = config.text_config
    spec = TextTowerSpec(
        dimension=config.projection_dim,
        positions=text.max_position_embeddings,
        causal=causal,
        **block_sizes(text),
    )
    state = {
        "positions": source["text_model.embeddings.position_embedding.weight"],
        **source.blocks("text_model.encoder.layers", spec.layers),
        **source.layer("norm", "text_model.final_layer_norm"),
        **source.layer("projection", "text_projection", bias=False),
    }
    return source.fill(TextTower(spec), state)


def _image_tower(config: Any, source: WeightSource, preprocess: PreprocessSpec) -> ImageTower:
    image = config.vision_config
    spec = ImageTowerSpec(
        dimension=config.projection_dim,
        class_token=True,
        entry_norm=True,
        biases=False,
        **image_sizes(image, preprocess),
    )
    embeddings = "vision_model.embeddings"
    state = {
        **source.layer("patches", f"{embeddings}.patch_embedding", bias=False),
        "positions": source[f"{embeddings}.position_embedding.weight"],
        "class_embedding": source[f"{embeddings}.class_embedding"],
        **source.layer("entry_norm", "vision_model.pre_layrnorm"),
        **source.blocks("vision_model.encoder.layers", spec.layers),
        **source.layer("norm", "vision_model.post_layernorm"),
        **source.layer("projection", "visual_projection", bias=False),
    }
    return source.fill(ImageTower(spec), state)
