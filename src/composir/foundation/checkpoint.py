"""A folder as hubs keep models: JSON files beside weights, read with clear errors.

Weights are safetensors, whole or in shards. Pickles can run any code when they are opened, so they
are read only where someone asks for it, and then by the loader that allows tensors alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from composir.errors import ModelError
from composir.foundation.preprocessing import spec_from_processor
from composir.foundation.weights import saved_weights
from composir.images.preprocess import PreprocessSpec

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json", OPEN_CLIP_CONFIG)
SAFE = ("model.safetensors", "open_clip_model.safetensors")
PICKLED = ("pytorch_model.bin", "open_clip_pytorch_model.bin")
TOKENIZER, SETTINGS, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
_OLDER = ("vocab.json", "vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
_INDEX = ".index.json"


class Checkpoint:
    """A model's folder; pickled weights are read only where that is allowed."""

    def __init__(self, folder: Path, *, allow_pickle: bool = False) -> None:
        self.folder, self.allow_pickle = folder, allow_pickle
        if not folder.is_dir():
            raise ModelError(f"there is no folder {folder}")
        if not any((folder / name).is_file() for name in (CONFIG, OPEN_CLIP_CONFIG)):
            raise ModelError(f"{folder} holds no model: {CONFIG} is missing")

    @property
    def name(self) -> str:
        """What to call it: the folder's name, or the repository's where it is a hub's cache."""
        place = self.folder.resolve()
        if place.parent.name == "snapshots":
            return place.parent.parent.name.removeprefix("models--").replace("--", "/")
        return place.name

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What `config.json` says."""
        return self.json(CONFIG)

    @property
    def is_of_open_clip(self) -> bool:
        """Whether it is open_clip's, and none that transformers knows besides."""
        has_config = (self.folder / OPEN_CLIP_CONFIG).is_file()
        return has_config and "model_type" not in self.optional_json(CONFIG)

    def json(self, name: str) -> Mapping[str, Any]:
        """Read a JSON object."""
        path = self.folder / name
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{self.folder} is incomplete: {name} is missing") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise ModelError(f"{path} holds no JSON object")
        return content

    def optional_json(self, name: str) -> Mapping[str, Any]:
        """As `json`; empty where there is no such file."""
        return self.json(name) if (self.folder / name).is_file() else {}

    def preprocess(self, size: int) -> PreprocessSpec:
        """How the model's own processor prepares pictures, to the pixel.

        Args:
            size: Side of the image tower's input, pixels.
        """
        named = [name for name in PROCESSORS if (self.folder / name).is_file()]
        if not named:
            raise ModelError(f"{self.folder} is incomplete: {PROCESSORS[0]} is missing")
        try:
            return spec_from_processor(self.json(named[0]), image_size=size)
        except ModelError as error:
            raise ModelError(f"{self.folder / named[0]}: {error}") from error

    @cached_property
    def state(self) -> Mapping[str, Tensor]:
        """All weights by name."""
        # What lies beside open_clip's weights are the same in another library's form.
        first = -1 if self.is_of_open_clip else 1
        for name in (*SAFE[::first], *PICKLED[::first]):
            if any((self.folder / file).is_file() for file in (name, name + _INDEX)):
                return {key: value for path in self._files(name) for key, value in self._read(path)}
        raise ModelError(f"{self.folder} holds no weights: {SAFE[0]} is missing")

    def release(self) -> None:
        """Give the weights' memory back; they are read again where they are asked for."""
        self.__dict__.pop("state", None)

    @property
    def licence(self) -> str | None:
        """What the front matter of the model card (`README.md`) states; None where it does not."""
        path = self.folder / "README.md"
        if not path.is_file():
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
        front = re.match(r"\ufeff?---\s*\n(.*?)\n---", text, re.DOTALL)
        if front is None:
            return None
        lines = re.findall(r"^(license|license_name):[ \t]*(\S.*?)[ \t]*$", front[1], re.MULTILINE)
        fields = {key: value.strip("'\"") for key, value in lines}
        stated = fields.get("license")
        return fields.get("license_name", stated) if stated == "other" else stated

    def _files(self, name: str) -> list[Path]:
        if (self.folder / name).is_file():
            return [self.folder / name]
        shards = self.json(name + _INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{self.folder / (name + _INDEX)} lists no files of weights")
        return [self._inside(str(shard)) for shard in sorted(set(shards.values()))]

    def _inside(self, name: str) -> Path:
        if Path(name).name != name:
            raise ModelError(f"{self.folder} names a file of weights outside of it: {name}")
        if not (self.folder / name).is_file():
            raise ModelError(f"{self.folder} is incomplete: {name} is missing")
        return self.folder / name

    def _read(self, path: Path) -> Iterator[tuple[str, Tensor]]:
        content = _safetensors(path) if path.suffix == ".safetensors" else self._pickled(path)
        return iter(content.items())

    def _pickled(self, path: Path) -> Mapping[str, Tensor]:
        if not self.allow_pickle:
            raise ModelError(
                f"{path} is a pickle, which can run any code when it is opened: take the model's "
                "safetensors, or allow it (--allow-pickle) if you trust where it comes from"
            )
        import torch

        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever damaged content makes the unpickler do
            raise ModelError(f"{path} is damaged or holds more than tensors: {error}") from error
        if not isinstance(content, dict):
            raise ModelError(f"{path} holds no weights by name")
        return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}


def _safetensors(path: Path) -> Mapping[str, Tensor]:
    try:
        return saved_weights(path, f"{path} is damaged")
    except ModelError as error:
        raise ModelError(f"{error}: fetch it again") from error


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Read `tokenizer.json`, or have transformers build one from older files."""
    from tokenizers import Tokenizer

    path = checkpoint.folder / TOKENIZER
    if not any((checkpoint.folder / name).is_file() for name in (TOKENIZER, *_OLDER)):
        raise ModelError(
            f"{checkpoint.folder} is incomplete: {TOKENIZER} is missing. Of open_clip's models "
            "those that name no tokeniser have CLIP's: openai/clip-vit-base-patch32 has that file"
        )
    try:
        return Tokenizer.from_file(str(path)) if path.is_file() else _built(checkpoint)
    except ModelError:
        raise
    except Exception as error:  # both libraries raise bare exceptions for damaged files
        raise ModelError(f"the tokeniser in {checkpoint.folder} cannot be read: {error}") from error


def frame(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    """Ids that open and close a sentence, and the one that pads."""
    bare = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a", add_special_tokens=True).ids
    start = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), None)
    if not bare or start is None:
        raise ModelError(f"the tokeniser in {checkpoint.folder} has no tokens for the letter a")
    ends = {"opening": framed[:start], "closing": framed[start + len(bare) :]}
    settings = checkpoint.optional_json(SETTINGS)
    for end, add, token in (
        ("opening", "add_bos_token", "bos_token"),
        ("closing", "add_eos_token", "eos_token"),
    ):
        # Gemma's tokenisers state frames here, and the library changes the file's own after them.
        if settings.get(add) is not None:
            ends[end] = [_special(checkpoint, tokenizer, token)] if settings[add] else []
    if any(len(ids) > 1 for ids in ends.values()):
        raise ModelError(f"{checkpoint.folder}: sentences with frames of several tokens: {ends}")
    pad = _special(checkpoint, tokenizer, "pad_token", default=(ends["closing"] or [0])[0])
    return {"opening": tuple(ends["opening"]), "closing": tuple(ends["closing"]), "pad": pad}


def _special(
    checkpoint: Checkpoint, tokenizer: Tokenizer, name: str, default: int | None = None
) -> int:
    files = (checkpoint.optional_json(SETTINGS), checkpoint.optional_json(SPECIAL))
    entry = next((file[name] for file in files if file.get(name)), None)
    text = entry.get("content") if isinstance(entry, dict) else entry
    found = tokenizer.token_to_id(text) if isinstance(text, str) else None
    if found is not None:
        return int(found)
    if default is None:
        raise ModelError(f"{checkpoint.folder / SETTINGS} states no {name} that the tokeniser has")
    return default


def _built(checkpoint: Checkpoint) -> Tokenizer:
    from transformers import AutoTokenizer

    made: Tokenizer | None = getattr(
        AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True),
        "backend_tokenizer",
        None,
    )
    if made is None:
        raise ModelError(
            f"{checkpoint.folder} has no {TOKENIZER}, and none can be made from what it has"
        )
    return made
