"""Texts of the corpus, tokenised once, with the states below the trained blocks cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from minilm import load_tokenizer
from torch import Tensor
from torch.nn import functional

from composir.foundation.text_tower import TextTower, mean_pool
from composir.foundation.transformer import attention_bias

BATCH = 256
CHUNK = 64


class TextBank:
    """Every distinct text once: its states below the trained blocks and its frozen sentence vector.

    Attributes:
        index: Text to row.
        sentences: (n, width) float32, unit norm: the untouched encoder's mean-pooled states, the
            teacher of soft targets.
    """

    def __init__(
        self,
        tower: TextTower,
        words: Tensor,
        texts: Sequence[str],
        trained_blocks: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Run the frozen tower over all texts.

        Args:
            tower: The text tower before training.
            words: (vocabulary, width), its word embeddings.
            texts: May repeat.
            trained_blocks: How many of the last blocks will be trained, 0 to all.
            progress: Called with (done, total).
        """
        distinct = sorted(set(texts))
        self.index = {text: row for row, text in enumerate(distinct)}
        self._first = len(tower.blocks) - trained_blocks
        self._states: list[Tensor] = [torch.empty(0)] * len(distinct)
        self._pooled = torch.empty(len(distinct), tower.spec.width)
        done = 0
        for rows, states, mask, last in self._frozen_pass(tower, words, distinct):
            self._pooled[rows] = mean_pool(last, mask)
            for position, row in enumerate(rows):
                length = int(mask[position].sum())
                self._states[row] = states[position, :length].half().clone()
            done += len(rows)
            if progress:
                progress(done, len(distinct))
        self.sentences = functional.normalize(self._pooled, dim=-1)

    def encode(self, tower: TextTower, rows: Sequence[int], *, trained: bool) -> Tensor:
        """Vectors of some texts, (n, D).

        Args:
            tower: With the blocks and the head as they are now.
            rows: Of `index`.
            trained: Run the trained blocks; else the untouched encoder's states are taken.
        """
        device = tower.positions.device
        pooled = self._through(tower, rows) if trained else self._pooled[rows]
        return tower.vector(pooled.to(device))

    def _through(self, tower: TextTower, rows: Sequence[int]) -> Tensor:
        """Mean-pooled states after the trained blocks, (n, width)."""
        # Texts of like length share a run, so that little of it is padding.
        order = sorted(range(len(rows)), key=lambda place: len(self._states[rows[place]]))
        parts = []
        for start in range(0, len(order), CHUNK):
            chosen = [self._states[rows[place]] for place in order[start : start + CHUNK]]
            states, mask = (part.to(tower.positions.device) for part in _pad(chosen))
            bias = attention_bias(mask, causal=False)
            for block in tower.blocks[self._first :]:
                states = block(states, bias)
            parts.append(mean_pool(states, mask))
        places = torch.tensor(order).argsort()
        return torch.cat(parts)[places.to(parts[0].device)]

    def _frozen_pass(
        self, tower: TextTower, table: Tensor, texts: Sequence[str]
    ) -> Iterator[tuple[list[int], Tensor, Tensor, Tensor]]:
        encodings = load_tokenizer().encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda row: len(encodings[row].ids))
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            with torch.no_grad():
                ragged = [table[torch.tensor(encodings[row].ids)] for row in rows]
                words, mask = (part.to(tower.positions.device) for part in _pad(ragged))
                states = kept = tower.norm(words + tower.positions[: words.shape[1]])
                bias = attention_bias(mask, causal=False)
                for depth, block in enumerate(tower.blocks):
                    kept = states if depth == self._first else kept
                    states = block(states, bias)
                kept = states if self._first == len(tower.blocks) else kept
            yield rows, kept.cpu(), mask.cpu(), states.cpu()


def _pad(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Ragged (length, w) to (n, longest, w) float32 and a mask (n, longest)."""
    longest = max(len(sequence) for sequence in sequences)
    padded = torch.zeros(len(sequences), longest, sequences[0].shape[1])
    mask = torch.zeros(len(sequences), longest)
    for row, sequence in enumerate(sequences):
        padded[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1.0
    return padded, mask
