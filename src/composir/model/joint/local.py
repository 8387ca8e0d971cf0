"""The backend `transformers`: a checkpoint run on this machine, by its own processor and model.

What sentence-transformers needs to know of a model lies beside it in small files; they are read
here: how its tokens become one vector, and what it is told with a query.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from composir.errors import ModelError, first_line
from composir.foundation.checkpoint import Checkpoint
from composir.model.base import Parts
from composir.model.joint.joint_bundle import CHECKPOINT, JointBundle
from composir.model.once import once_property
from composir.types import FloatArray

_POOLING = "1_Pooling/config.json"
_PROMPTS = "config_sentence_transformers.json"
_QUERIES = ("query", "Retrieval-query")
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_MEANS = frozenset({"embedding_gemma2"})
_IDLE = {"embedding_gemma2": ("audio_config",)}  # parts that pictures and words do not need
_AT_ONCE = 4


def open_backend(bundle: JointBundle, threads: int | None = None) -> LocalBackend:
    """The checkpoint in a bundle, every checksum verified."""
    for name in bundle.manifest.files:
        if name.startswith(f"{CHECKPOINT}/"):
            bundle.file(name)
    return LocalBackend(bundle.folder / CHECKPOINT, threads)


class LocalBackend:
    """Runs a checkpoint; it loads at the first input."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        """Look at its files."""
        self._checkpoint = Checkpoint(folder)
        self._pooling = _pooling(self._checkpoint)
        if threads is not None:
            torch.set_num_threads(threads)

    @property
    def licence(self) -> str | None:
        """As its card states it."""
        return self._checkpoint.licence

    @property
    def kind(self) -> str:
        """Its architecture, as transformers calls it."""
        return str(self._checkpoint.config.get("model_type", ""))

    @property
    def query_prompt(self) -> str | None:
        """What sentence-transformers would tell it with a query; None where nothing is said."""
        prompts = self._checkpoint.optional_json(_PROMPTS).get("prompts")
        found = [prompts.get(name) for name in _QUERIES] if isinstance(prompts, dict) else []
        return next((prompt for prompt in found if isinstance(prompt, str)), None)

    def prepare(self) -> None:
        """Load weights and processor."""
        _ = self._model, self._processor

    def encode(self, items: Sequence[Parts], instruction: str) -> list[FloatArray]:
        """Encode inputs, a few at a time; those in one pass have as many pictures."""
        found: dict[int, FloatArray] = {}
        for places in _alike(items):
            vectors = self._vectors([items[place] for place in places], instruction)
            found.update(zip(places, vectors, strict=True))
        return [found[place] for place in range(len(items))]

    def _vectors(self, items: Sequence[Parts], instruction: str) -> FloatArray:
        images = [[part for part in parts if not isinstance(part, str)] for parts in items]
        pictures = {"images": images} if images[0] else {}
        self.prepare()
        try:
            texts = [self._text(parts, instruction) for parts in items]
            inputs = self._processor(text=texts, padding=True, return_tensors="pt", **pictures)
            inputs = inputs.to(self._model.device)
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state
        except (ValueError, TypeError, RuntimeError, KeyError, IndexError, AttributeError) as error:
            raise ModelError(
                f"the model in {self._checkpoint.folder} cannot read these pictures and words "
                f"({first_line(error)}); what was encoded before is kept"
            ) from error
        vectors: FloatArray = self._pooled(states, inputs["attention_mask"]).float().cpu().numpy()
        return vectors

    def _text(self, parts: Parts, instruction: str) -> str:
        """What the tokeniser gets: by the model's template, or with its mark for a picture."""
        if self._processor.chat_template is None:
            mark = self._processor.image_token
            return instruction + " ".join(p if isinstance(p, str) else mark for p in parts)
        content = [
            {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
            for part in parts
        ]
        told = {"role": "system", "content": [{"type": "text", "text": instruction}]}
        text: str = self._processor.apply_chat_template(
            [*([told] if instruction else []), {"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
        )
        return text

    def _pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """Token states (n, L, D) to vectors (n, D)."""
        if self._pooling == "mean":
            kept = mask[..., None].to(states.dtype)
            return (states * kept).sum(1) / kept.sum(1)
        if self._pooling == "cls":
            places = mask.argmax(1)
        else:  # the last token that is none of the padding, on whichever side that is
            places = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        return states[torch.arange(len(states)), places]

    @once_property
    def _model(self) -> Any:
        from transformers import AutoConfig, AutoModel

        folder = self._checkpoint.folder
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            for name in _IDLE.get(config.model_type, ()):
                setattr(config, name, None)
            model = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.bfloat16 if device == "cuda" else torch.float32,
                local_files_only=True,
                use_safetensors=True,
            )
        except (ValueError, OSError, KeyError, RuntimeError) as error:
            raise _unreadable(folder, error) from error
        return model.to(device).eval()

    @once_property
    def _processor(self) -> Any:
        try:
            return _processor(self._checkpoint.folder)
        except (ValueError, OSError, KeyError, ImportError) as error:
            raise _unreadable(self._checkpoint.folder, error) from error


def _processor(folder: Path) -> Any:
    """A model's processor, without its parts for sound and film: those would need torchvision."""
    from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
    from transformers.models.auto.processing_auto import (
        PROCESSOR_MAPPING_NAMES,
        processor_class_from_name,
    )

    kind = AutoConfig.from_pretrained(folder, local_files_only=True).model_type
    name = PROCESSOR_MAPPING_NAMES.get(kind)
    if name is None:
        raise ValueError(f"transformers knows no processor of {kind}")
    whole = processor_class_from_name(name)
    parts = {
        "image_processor": AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True
        ),
        "tokenizer": AutoTokenizer.from_pretrained(folder, local_files_only=True),
    }

    class Halved(whole):  # type: ignore[misc, valid-type]
        @classmethod
        def _get_arguments_from_pretrained(cls, *_args: Any, **_named: Any) -> list[Any]:
            return [parts.get(attribute) for attribute in whole.get_attributes()]

        def check_argument_for_proper_class(self, name: str, argument: Any) -> Any:
            if argument is None:
                return type(None)
            return super().check_argument_for_proper_class(name, argument)

    return Halved.from_pretrained(folder, local_files_only=True)


def _pooling(checkpoint: Checkpoint) -> str:
    """How token states become one vector: `mean`, `cls` or `last`."""
    _check_modules(checkpoint)
    said = checkpoint.optional_json(_POOLING)
    mode = str(said.get("pooling_mode", ""))
    if mode in {"mean", "cls", "lasttoken"}:
        return mode.removesuffix("token")
    for key, pooling in (("mean_tokens", "mean"), ("cls_token", "cls"), ("lasttoken", "last")):
        if said.get(f"pooling_mode_{key}"):
            return pooling
    if said:
        raise ModelError(f"{checkpoint.folder / _POOLING} asks for a pooling that is not known")
    return "mean" if checkpoint.config.get("model_type") in _MEANS else "last"


def _check_modules(checkpoint: Checkpoint) -> None:
    path = checkpoint.folder / "modules.json"
    if not path.is_file():
        return
    try:
        kinds = [str(one["type"]).rpartition(".")[2] for one in json.loads(path.read_text("utf-8"))]
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    others = sorted(set(kinds) - _KNOWN_MODULES)
    if others:
        raise ModelError(
            f"{path} adds {', '.join(others)} to the model, which composir does not run; let a "
            "server run it (vLLM, SGLang) and add its endpoint: composir models add http://…/v1#NAME"
        )


def _alike(items: Sequence[Parts]) -> list[list[int]]:
    """Places of inputs with as many pictures, a few each."""
    by_count: dict[int, list[int]] = {}
    for place, parts in enumerate(items):
        count = sum(isinstance(part, Image.Image) for part in parts)
        by_count.setdefault(count, []).append(place)
    return [
        places[start : start + _AT_ONCE]
        for places in by_count.values()
        for start in range(0, len(places), _AT_ONCE)
    ]


def _unreadable(folder: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{folder} holds no model of transformers that takes pictures and words: "
        f"{first_line(error)}"
    )
