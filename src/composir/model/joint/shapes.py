"""How servers take pictures and words together at `/embeddings`: OpenAI's own takes words alone.

`messages` and `chat` are vLLM's, which answers one conversation a request: the first is what
Qwen3-VL-Embedding is to be given, the second suits templates that know a user alone. `content` is
what OpenRouter takes, `fields` what SGLang does.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from composir.errors import ModelError
from composir.model.base import Parts

_QUALITY = 95  # of JPEG, every colour kept: an eighth of a PNG, and as good to an encoder


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to ask.

    Attributes:
        most: Inputs a request.
        body: Makes what a request holds beside the model's name.
    """

    most: int
    body: Callable[[Sequence[Parts], str], dict[str, Any]]


def _messages(items: Sequence[Parts], instruction: str) -> dict[str, Any]:
    system = [{"role": "system", "content": _parts((instruction,))}] if instruction else []
    user = {"role": "user", "content": _parts(items[0])}
    answer = {"role": "assistant", "content": _parts(("",))}
    return {
        "messages": [*system, user, answer],
        "continue_final_message": True,
        "add_special_tokens": True,
    }


def _chat(items: Sequence[Parts], instruction: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": _parts(_with(instruction, items[0]))}]}


def _content(items: Sequence[Parts], instruction: str) -> dict[str, Any]:
    return {"input": [{"content": _parts(_with(instruction, parts))} for parts in items]}


def _fields(items: Sequence[Parts], instruction: str) -> dict[str, Any]:
    return {"input": [_named(_with(instruction, parts)) for parts in items]}


SHAPES: dict[str, Shape] = {
    "messages": Shape(1, _messages),
    "chat": Shape(1, _chat),
    "content": Shape(16, _content),
    "fields": Shape(16, _fields),
}


def _with(instruction: str, parts: Parts) -> Parts:
    return (instruction, *parts) if instruction else parts


def _parts(parts: Parts) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": _data_url(part)}}
        for part in parts
    ]


def _named(parts: Parts) -> dict[str, str]:
    texts = [part for part in parts if isinstance(part, str)]
    images = [part for part in parts if not isinstance(part, str)]
    if len(images) > 1:
        raise ModelError("the endpoint takes one picture at a time; ask with one reference")
    named = {"text": " ".join(texts)} if texts else {}
    return {**named, "image": _data_url(images[0])} if images else named


def _data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
