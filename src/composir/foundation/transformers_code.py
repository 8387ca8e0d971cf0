"""What is asked of transformers: a config's defaults, and its own encoders to compare with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from composir.errors import ModelError
from composir.foundation.checkpoint import CONFIG, Checkpoint
from composir.images.preprocess import PreprocessSpec
from composir.lazy import imported
from composir.types import FloatArray


def require_transformers() -> Any:
    """The library."""
    return imported("transformers", "foundation")


@contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars and advice, which concern whoever trains with it."""
    logging = require_transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def load_config(checkpoint: Checkpoint, kind: str) -> Any:
    """A checkpoint's config with the library's defaults for what it leaves out."""
    return config_from(kind, str(checkpoint.folder / CONFIG), **checkpoint.config)


def config_from(kind: str, place: str, **values: Any) -> Any:
    """A config of values, with the library's defaults for what they leave out."""
    try:
        config = getattr(require_transformers(), kind).from_dict(values)
    except Exception as error:  # the library's validation has errors of its own
        raise ModelError(f"{place} is no {kind}: {error}") from error
    _check_shapes(config, f"{place} is no {kind}")
    return config


def block_sizes(config: Any) -> dict[str, Any]:
    """Sizes of a transformer as the library's configs state them, by what our specs call them."""
    return {
        "width": config.hidden_size,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "inner": config.intermediate_size,
        "activation": config.hidden_act,
        "epsilon": config.layer_norm_eps,
    }


def image_sizes(config: Any, preprocess: PreprocessSpec) -> dict[str, Any]:
    """As `block_sizes`, and what else all image towers state."""
    return {
        "size": config.image_size,
        "patch": config.patch_size,
        "mean": preprocess.mean,
        "std": preprocess.std,
        **block_sizes(config),
    }


def _check_shapes(config: Any, problem: str) -> None:
    for part in (config.text_config, config.vision_config):
        if part.hidden_size % part.num_attention_heads:
            raise ModelError(f"{problem}: its heads do not divide {part.hidden_size}")
    size, patch = config.vision_config.image_size, config.vision_config.patch_size
    if not (isinstance(size, int) and isinstance(patch, int)):
        raise ModelError(f"{problem}: pictures of {size} in patches of {patch}, not squares")


class TransformersReference:
    """The family's own model, tokeniser and processor."""

    own_pixels = True
    code = "the family's own code (transformers)"

    def __init__(self, checkpoint: Checkpoint, padding: Literal["longest", "max_length"]) -> None:
        self._checkpoint, self._padding = checkpoint, padding

    def texts(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of texts, (n, D) float32, unit norm."""
        limit = self.model.config.text_config.max_position_embeddings
        inputs = self._tokenizer(
            list(texts),
            padding=self._padding,
            truncation=True,
            max_length=limit,
            return_tensors="pt",
        )
        masks = {} if self._padding == "max_length" else {"attention_mask": inputs.attention_mask}
        with torch.inference_mode():
            return _unit(self.text_features(input_ids=inputs.input_ids, **masks))

    def pixels(self, images: Sequence[Image.Image]) -> FloatArray:
        """RGB pictures as the processor gives them, (n, 3, s, s) float32, normalised."""
        made = self._processor(images=list(images), return_tensors="np")["pixel_values"]
        pixels: FloatArray = made.astype("float32", copy=False)
        return pixels

    def pictures(self, pixels: FloatArray) -> FloatArray:
        """Vectors of what `pixels` gives, (n, D) float32, unit norm."""
        with torch.inference_mode():
            return _unit(self.image_features(torch.from_numpy(pixels)))

    def text_features(self, **inputs: Tensor) -> Any:
        """What the model makes of tokenised texts, (n, D) or an output that holds them."""
        return self.model.get_text_features(**inputs)

    def image_features(self, pixels: Tensor) -> Any:
        """Likewise of pictures."""
        return self.model.get_image_features(pixel_values=pixels)

    @cached_property
    def model(self) -> Any:
        """The family's own."""
        return self.load(require_transformers().AutoModel)

    def load(self, kind: Any) -> Any:
        """The checkpoint as a model of one of the library's classes."""
        return kind.from_pretrained(
            self._checkpoint.folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=None if self._checkpoint.allow_pickle else True,
        ).eval()

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._checkpoint.folder, local_files_only=True)

    @cached_property
    def _processor(self) -> Any:
        from transformers import AutoImageProcessor

        # Which backend is the default hangs on whether torchvision happens to be installed.
        return AutoImageProcessor.from_pretrained(
            self._checkpoint.folder, backend="pil", local_files_only=True
        )


def _unit(features: Any) -> FloatArray:
    pooled: Tensor = getattr(features, "pooler_output", features)
    vectors: FloatArray = functional.normalize(pooled.float(), dim=-1).numpy()
    return vectors
