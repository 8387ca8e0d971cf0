"""Sentences with pseudo-words, differentiable: what `TextEncoder.encode_spliced` does, in torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from composir.compose.template import TEXT, filled
from composir.errors import TrainingError
from composir.model.text_encoder import PLACEHOLDER
from composir.train.foundation.text_tower import TextTower
from composir.train.frozen import FrozenFoundation

CHUNK = 64
SHOWN = 60


@dataclass(frozen=True, slots=True)
class Sentences:
    """Encoded sentences.

    Attributes:
        vectors: (n, D), unit norm.
        states: (n, length, width), token states after the last block.
        mask: (n, length), 1 for tokens and 0 for padding.
        start: (n,) int64, place of each sentence's first pseudo-word.
    """

    vectors: Tensor
    states: Tensor
    mask: Tensor
    start: Tensor


def encode_sentences(
    foundation: FrozenFoundation,
    tower: TextTower,
    template: str,
    tokens: Tensor,
    texts: Sequence[str] | None = None,
) -> Sentences:
    """Encode one sentence a row, with that row's pseudo-words in it.

    Sentences of like length share a run of the tower, so that little of it is padding.

    Args:
        foundation: Tokeniser and word embeddings.
        tower: Its text tower, or an adapted one.
        template: One `{}` for the pseudo-words, and one `{text}` where `texts` are given.
        tokens: (n, L, Dw), may require gradients.
        texts: n modification texts.

    Returns:
        The sentences, in order.

    Raises:
        TrainingError: If the template's places do not fit, or the pseudo-words do not.
    """
    sentences, starts = _embedded(foundation, template, tokens, texts)
    order = sorted(range(len(sentences)), key=lambda row: len(sentences[row]))
    longest = len(sentences[order[-1]])
    vectors, states, masks = [], [], []
    for at in range(0, len(order), CHUNK):
        words, mask = _padded([sentences[row] for row in order[at : at + CHUNK]])
        vector, state = tower(words, mask)
        vectors.append(vector)
        states.append(_longer(state, longest))
        masks.append(_longer(mask.unsqueeze(-1), longest).squeeze(-1))
    back = torch.tensor(order, device=tokens.device).argsort()
    return Sentences(
        torch.cat(vectors)[back],
        torch.cat(states)[back],
        torch.cat(masks)[back],
        torch.tensor(starts, device=tokens.device),
    )


def _embedded(
    foundation: FrozenFoundation, template: str, tokens: Tensor, texts: Sequence[str] | None
) -> tuple[list[Tensor], list[int]]:
    """Word embeddings of every sentence, (length, Dw) each, and where its pseudo-words start."""
    if template.count(PLACEHOLDER) != 1 or template.count(TEXT) != int(texts is not None):
        wanted = f"one {PLACEHOLDER}" + (f" and one {TEXT}" if texts is not None else "")
        raise TrainingError(f"the template {template!r} needs {wanted}")
    opening, closing = foundation.frame

    @cache
    def head_of(text: str) -> Tensor:
        return foundation.embed([opening, *foundation.word_ids(text)])

    @cache
    def tail_of(text: str) -> Tensor:
        return foundation.embed([*foundation.word_ids(text), closing])

    limit = foundation.model.manifest.text.max_tokens
    sentences, starts = [], []
    for row, words in enumerate(tokens):
        # As at query time: a lone `*` in a modification says where the pseudo-words stand.
        sentence = template if texts is None else filled(template, texts[row])
        before, after = sentence.split(PLACEHOLDER, 1)
        head, tail = head_of(before), tail_of(after)
        room = limit - len(head) - len(words) - 1
        if room < 0:
            raise TrainingError(
                f"{len(words)} pseudo-words do not fit {limit} tokens after {before[:SHOWN]!r}: "
                "shorten the sentence before them"
            )
        kept = tail if len(tail) <= room + 1 else torch.cat([tail[:room], tail[-1:]])
        sentences.append(torch.cat([head, words, kept]))
        starts.append(len(head))
    return sentences, starts


def _padded(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    words = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=words.device)
    places = torch.arange(words.shape[1], device=words.device)
    return words, (places[None] < lengths[:, None]).float()


def _longer(states: Tensor, length: int) -> Tensor:
    """Pad (n, l, w) with zeros to (n, length, w)."""
    return torch.nn.functional.pad(states, (0, 0, 0, length - states.shape[1]))
