"""A checkpoint's tokeniser, and by which tokens it frames a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composir.errors import ModelError
from composir.foundation.checkpoint import Checkpoint

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_OLDER = ("vocab.json", "vocab.txt", "spiece.model", "tokenizer.model", "sentencepiece.bpe.model")
TOKENIZER, SETTINGS, SPECIAL = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"


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
