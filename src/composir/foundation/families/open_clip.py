"""open_clip's CLIP and MobileCLIP, from JSON config and weights, without open_clip installed.

Its plain vision transformers are OpenAI's CLIP under other names, so they are renamed to what
transformers calls them and read as such; likewise its text towers. Of timm's image towers FastViT
is read, MobileCLIP2's; others, and text towers of transformers, which its configs may name too,
are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from composir.errors import ModelError
from composir.foundation.checkpoint import OPEN_CLIP_CONFIG, Checkpoint, read_tokenizer
from composir.foundation.families import clip
from composir.foundation.fastvit import FASTVITS, FastVit, fastvit_weights
from composir.foundation.parity import to_bytes
from composir.foundation.parts import Parts, Reference
from composir.foundation.preprocessing import spec_from_processor
from composir.foundation.transformers_code import (
    TransformersReference,
    config_from,
    require_transformers,
)
from composir.foundation.weights import WeightSource
from composir.images.preprocess import PreprocessSpec
from composir.model.framing import Framing
from composir.types import FloatArray

_MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "custom_text"}
_IMAGE = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
_FASTVIT = {"image_size", "timm_model_name", "timm_model_pretrained", "timm_drop_path"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio", "no_causal_mask"}
# Options that change nothing where they have this value.
_HARMLESS: Mapping[str, Any] = {
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
    "timm_drop": 0.0,
}
_TRUNK = "visual.trunk"


def read(checkpoint: Checkpoint) -> Parts:
    """Read a checkpoint."""
    model = _model(checkpoint)
    config = _config(checkpoint, model)
    preprocess = _preprocess(checkpoint, config.vision_config.image_size)
    return clip.assemble(
        checkpoint,
        config,
        WeightSource(_renamed(checkpoint, config), str(checkpoint.folder)),
        read_tokenizer(checkpoint),
        preprocess,
        family="open_clip",
        image=_fastvit(checkpoint, model, preprocess),
        causal=not model["text_cfg"].get("no_causal_mask"),
    )


def _fastvit(
    checkpoint: Checkpoint, model: Mapping[str, Any], preprocess: PreprocessSpec
) -> FastVit | None:
    """The image tower, where the config names one of timm's."""
    name = model["vision_cfg"].get("timm_model_name")
    if name is None:
        return None
    tower = FastVit(FASTVITS[name], model["embed_dim"], preprocess.mean, preprocess.std)
    source = WeightSource(checkpoint.state, str(checkpoint.folder))
    return source.fill(tower, fastvit_weights(tower, source, _TRUNK))


def reference(checkpoint: Checkpoint) -> Reference:
    """The CLIP of transformers with the same weights; of MobileCLIP our own towers, in torch."""
    is_timm = _model(checkpoint)["vision_cfg"].get("timm_model_name") is not None
    kind = TowersReference if is_timm else RenamedReference
    made: Reference = kind(checkpoint)
    return made


class RenamedReference(TransformersReference):
    """As `TransformersReference`, of renamed weights.

    Pictures are not compared before the tower: that would need open_clip's own processor.
    """

    own_pixels = False

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint, padding="longest")

    def pixels(self, images: Sequence[Image.Image]) -> FloatArray:
        """RGB pictures as the bundle prepares them, (n, 3, s, s) float32, normalised."""
        return _pixels(self._checkpoint, images)

    @cached_property
    def model(self) -> Any:
        """The CLIP of transformers."""
        config = _config(self._checkpoint, _model(self._checkpoint))
        model = require_transformers().CLIPModel(config).eval()
        renamed = _renamed(self._checkpoint, config)
        model.load_state_dict({name: tensor.float() for name, tensor in renamed.items()})
        return model

    @cached_property
    def _tokenizer(self) -> Any:
        made = read_tokenizer(self._checkpoint)
        end = made.id_to_token(made.get_vocab_size() - 1)
        return require_transformers().PreTrainedTokenizerFast(tokenizer_object=made, pad_token=end)


class TowersReference:
    """Our own towers in torch, with the tokeniser's own framing.

    open_clip and timm need not be here, so what the graphs of a bundle are compared with is what
    they were exported from; that those are timm's and open_clip's was measured in their tests.

    Attributes:
        own_pixels: False: pictures would need open_clip's own processor.
        code: What this is.
    """

    own_pixels = False
    code = "composir's own towers in torch"

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, (n, D) float32, unit norm."""
        framing, length = Framing(**self._parts.framing), self._parts.text.spec.positions
        tokenizer = read_tokenizer(self._checkpoint)
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(pad_id=framing.pad, length=framing.length)
        rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        ends = [row.index(framing.closing[0]) for row in rows]
        words, mask = self._parts.words[torch.tensor(rows)], torch.ones(len(rows), len(rows[0]))
        with torch.inference_mode():
            vectors: FloatArray = self._parts.text(words, mask, torch.tensor(ends))[0].numpy()
        return vectors

    def pixels(self, images: Sequence[Image.Image]) -> FloatArray:
        """RGB pictures as the bundle prepares them, (n, 3, s, s) float32, normalised."""
        return _pixels(self._checkpoint, images)

    def pictures(self, pixels: FloatArray) -> FloatArray:
        """Vectors of what `pixels` gives, (n, D) float32, unit norm."""
        shown = np.stack([to_bytes(one, self._parts.preprocess) for one in pixels])
        with torch.inference_mode():
            vectors: FloatArray = self._parts.image(torch.from_numpy(shown))[0].numpy()
        return vectors

    @cached_property
    def _parts(self) -> Parts:
        return read(self._checkpoint)


def _pixels(checkpoint: Checkpoint, images: Sequence[Image.Image]) -> FloatArray:
    spec = _preprocess(checkpoint, _config(checkpoint, _model(checkpoint)).vision_config.image_size)
    shown = torch.stack([torch.from_numpy(spec.apply(image)) for image in images]) / 255.0
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.std)
    pixels: FloatArray = ((shown - mean) / std).permute(0, 3, 1, 2).contiguous().numpy()
    return pixels


def _model(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What the config says, its options checked."""
    model = checkpoint.json(OPEN_CLIP_CONFIG).get("model_cfg")
    place = f"{checkpoint.folder / OPEN_CLIP_CONFIG}: model_cfg"
    if not isinstance(model, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= set(model):
        raise ModelError(f"{place} does not state embed_dim, vision_cfg and text_cfg")
    _refuse_more(model, _MODEL, place)
    _refuse_more(model["text_cfg"], _TEXT, place)
    image = model["vision_cfg"]
    if not isinstance(image, dict) or image.get("timm_model_name") not in FASTVITS:
        _refuse_more(image, _IMAGE, place)
    else:
        pool = image.get("timm_pool"), image.get("timm_proj")
        if pool != ("avg", None):
            raise ModelError(f"{place}: timm_pool and timm_proj are {pool}, not the mean alone")
        _refuse_more(image, _FASTVIT | {"timm_pool"}, place)
    return model


def _config(checkpoint: Checkpoint, model: Mapping[str, Any]) -> Any:
    """The same as transformers states it; of an image tower of timm's its size alone."""
    image, text = model["vision_cfg"], model["text_cfg"]
    activation = "quick_gelu" if model.get("quick_gelu") else "gelu"
    image_width, text_width = image.get("width", 768), text.get("width", 512)
    return config_from(
        "CLIPConfig",
        f"{checkpoint.folder / OPEN_CLIP_CONFIG}: model_cfg",
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
            "open_clip's models composir reads plain vision transformers and "
            f"{', '.join(FASTVITS)}, with plain text towers; many others are published for "
            "transformers too"
        )


def _renamed(checkpoint: Checkpoint, config: Any) -> dict[str, Tensor]:
    """Weights under transformers' names, but those of an image tower of timm's."""
    # Towers that open_clip calls custom are one level deeper.
    plain = {name.removeprefix("text."): tensor for name, tensor in checkpoint.state.items()}
    state = WeightSource(plain, str(checkpoint.folder))
    made = {
        "logit_scale": state["logit_scale"],
        "text_projection.weight": state["text_projection"].T,
        "text_model.embeddings.token_embedding.weight": state["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": state["positional_embedding"],
        **state.layer("text_model.final_layer_norm", "ln_final"),
        **_blocks(state, "transformer", "text_model", config.text_config.num_hidden_layers),
    }
    if any(name.startswith(_TRUNK) for name in plain):
        return made
    layers = config.vision_config.num_hidden_layers
    return made | {
        "visual_projection.weight": state["visual.proj"].T,
        "vision_model.embeddings.class_embedding": state["visual.class_embedding"],
        "vision_model.embeddings.position_embedding.weight": state["visual.positional_embedding"],
        "vision_model.embeddings.patch_embedding.weight": state["visual.conv1.weight"],
        **state.layer("vision_model.pre_layrnorm", "visual.ln_pre"),
        **state.layer("vision_model.post_layernorm", "visual.ln_post"),
        **_blocks(state, "visual.transformer", "vision_model", layers),
    }


def _blocks(state: WeightSource, theirs: str, ours: str, count: int) -> dict[str, Tensor]:
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
