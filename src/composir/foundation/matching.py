"""BLIP's second use of its text encoder: whether a sentence and a picture belong together.

Between attention and feed-forward layer of each of the text tower's blocks, states attend to the
picture's. Training alone needs it, so a bundle keeps its weights, and no graph.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor, nn

from composir.errors import ModelError
from composir.foundation.text_tower import TextTower
from composir.foundation.transformer import CrossAttention
from composir.foundation.weights import fill, saved_weights

_WIDTH = "crossings.0.key_value.weight"


class MatchingEncoder(nn.Module):
    """Sentences and pictures to whether they match.

    Attributes:
        crossings: What a text tower's blocks lack, one a block.
        head: From the first token's state to two logits: no match, match.
    """

    def __init__(self, tower: TextTower, seen: int) -> None:
        """Build with random weights."""
        super().__init__()
        spec = tower.spec
        self._tower = (tower,)  # in a tuple, so that it is no submodule
        self.crossings = nn.ModuleList(
            CrossAttention(spec.width, seen, spec.heads, spec.epsilon) for _ in range(spec.layers)
        )
        self.head = nn.Linear(spec.width, 2)

    def forward(self, words: Tensor, mask: Tensor, patches: Tensor) -> Tensor:
        """Match sentences with pictures, row by row.

        Args:
            words: (n, length, Dw), word embeddings of framed sentences.
            mask: (n, length), 1 for tokens and 0 for padding.
            patches: (n, N, Dp), what the sentences attend to.

        Returns:
            (n,) logits, higher for a match.
        """
        tower = self._tower[0]
        states, bias = tower.entered(words, mask)
        for block, crossing in zip(tower.blocks, self.crossings, strict=True):
            states = block(states, bias, partial(crossing, seen=patches))
        no, yes = self.head(states[:, 0]).unbind(dim=-1)
        logits: Tensor = yes - no
        return logits


def load_matching_encoder(path: Path, tower: TextTower) -> MatchingEncoder:
    """Rebuild the matching encoder that a bundle keeps for training."""
    problem = f"{path} does not hold the weights of a matching encoder of this text tower"
    state = saved_weights(path, problem)
    if _WIDTH not in state:
        raise ModelError(problem)
    return fill(MatchingEncoder(tower, seen=state[_WIDTH].shape[1]), state, problem)
