"""Sentences with pseudo-words, differentiable: what `TextEncoder.encode_spliced` does, in torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor

from composir.compose.template import TEXT, filled
from composir.errors import QueryError, TrainingError
from composir.model.framing import Framing
from composir.model.text_encoder import PLACEHOLDER
from composir.train.frozen import FrozenFoundation

CHUNK = 64
SHOWN = 60

# Word embeddings (n, length, Dw), mask (n, length), places of pooling (n,) to vectors and states.
Tower: TypeAlias = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Encoded sentences.

    Attributes:
        vectors: (n, D), unit norm.
        states: (n, length, width), token states after the last block.
        mask: (n, length), 1 for tokens and 0 for padding, whether the tower reads it or not.
        start: (n,) int64, place of each sentence's first pseudo-word.
    """

    vectors: Tensor
    states: Tensor
    mask: Tensor
    start: Tensor


def encode_sentences(
    foundation: FrozenFoundation,
    tower: Tower,
    template: str,
    tokens: Tensor | Sequence[Tensor],
    texts: Sequence[str] | None = None,
) -> Sentences:
    """Encode one sentence a row, with that row's pseudo-words in it.

    Sentences of like length share a run of the tower, so that little of it is padding.

    Args:
        foundation: Tokeniser and word embeddings.
        tower: Its text tower, or an adapted one.
        template: One `{}` for the pseudo-words, and one `{text}` where `texts` are given.
        tokens: (n, L, Dw), or n of (L, Dw) with an L of their own; may require gradients.
        texts: n modification texts.
    """
    sentences, starts = _spliced(foundation, template, tokens, texts)
    read = read_embedded(foundation, tower, sentences)
    first = torch.tensor(starts, device=read.start.device)
    return replace(read, start=read.start + first)


def spliced_words(
    foundation: FrozenFoundation, template: str, tokens: Tensor
) -> tuple[Tensor, Tensor]:
    """Word embeddings of one sentence a row, for whatever else than the text tower reads them.

    Tokens are (n, L, Dw), and may require gradients.

    Returns:
        (n, length, Dw), frame and padding included, and the mask (n, length), 1 for tokens.
    """
    sentences, _ = _spliced(foundation, template, tokens, None)
    return _padded([_filled_up(foundation, foundation.framing, one) for one in sentences])


def read_embedded(
    foundation: FrozenFoundation, tower: Tower, sentences: Sequence[Tensor]
) -> Sentences:
    """Encode n sentences given as word embeddings (length, Dw), the frame included, padding not."""
    framing = foundation.framing
    lengths = [len(sentence) for sentence in sentences]
    order = sorted(range(len(sentences)), key=lambda row: lengths[row])
    longest = (framing.length if framing else None) or max(lengths)
    vectors, states = [], []
    for at in range(0, len(order), CHUNK):
        rows = order[at : at + CHUNK]
        words, mask = _padded([_filled_up(foundation, framing, sentences[row]) for row in rows])
        places = [framing.place(lengths[row]) if framing else lengths[row] - 1 for row in rows]
        vector, state = tower(words, mask, torch.tensor(places, device=words.device))
        vectors.append(vector)
        states.append(torch.nn.functional.pad(state, (0, 0, 0, longest - state.shape[1])))
    device = sentences[0].device
    back = torch.tensor(order, device=device).argsort()
    starts = [framing.padding(length)[0] if framing else 0 for length in lengths]
    start = torch.tensor(starts, device=device)
    mask = _own_tokens(start, torch.tensor(lengths, device=device), longest)
    return Sentences(torch.cat(vectors)[back], torch.cat(states)[back], mask, start)


def _filled_up(foundation: FrozenFoundation, framing: Framing | None, sentence: Tensor) -> Tensor:
    """A sentence with the padding that the tower reads."""
    if framing is None or framing.length is None:
        return sentence
    before, behind = framing.padding(len(sentence))
    pad = foundation.embed([framing.pad])
    return torch.cat([pad.expand(before, -1), sentence, pad.expand(behind, -1)])


def _own_tokens(start: Tensor, lengths: Tensor, longest: int) -> Tensor:
    places = torch.arange(longest, device=start.device)[None]
    return ((places >= start[:, None]) & (places < (start + lengths)[:, None])).float()


def framed(foundation: FrozenFoundation, pieces: Sequence[int | Tensor]) -> Tensor:
    """Word embeddings (length, Dw) of a sentence, framed; what exceeds the encoder's length is cut.

    Pieces are token ids, and pseudo-words (L, Dw) where these stand.
    """
    opening, closing = map(foundation.embed, foundation.frame)
    parts = [foundation.embed([p]) if isinstance(p, int) else p for p in pieces]
    room = foundation.model.texts.max_tokens - len(closing)
    return torch.cat([torch.cat([opening, *parts])[:room], closing])


def _spliced(
    foundation: FrozenFoundation,
    template: str,
    tokens: Tensor | Sequence[Tensor],
    texts: Sequence[str] | None,
) -> tuple[list[Tensor], list[int]]:
    """Word embeddings of every sentence, (length, Dw) each, and where its pseudo-words start."""
    if template.count(PLACEHOLDER) != 1 or template.count(TEXT) != int(texts is not None):
        wanted = f"one {PLACEHOLDER}" + (f" and one {TEXT}" if texts is not None else "")
        raise TrainingError(f"the template {template!r} needs {wanted}")
    around = cache(lambda sentence, count: _around(foundation, sentence, count))
    sentences, starts = [], []
    for row, words in enumerate(tokens):
        # As at query time: a lone `*` in a modification says where the pseudo-words stand.
        head, tail = around(template if texts is None else filled(template, texts[row]), len(words))
        sentences.append(torch.cat([head, words, tail]))
        starts.append(len(head))
    return sentences, starts


def _around(foundation: FrozenFoundation, sentence: str, count: int) -> tuple[Tensor, Tensor]:
    try:
        head, tail = foundation.model.texts.around(sentence, count)
    except QueryError as error:
        before = sentence.partition(PLACEHOLDER)[0][:SHOWN]
        raise TrainingError(
            f"{error} after {before!r}: shorten the sentence before them"
        ) from error
    return foundation.embed(head), foundation.embed(tail)


def _padded(sequences: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    words = torch.nn.utils.rnn.pad_sequence(list(sequences), batch_first=True)
    lengths = torch.tensor([len(sequence) for sequence in sequences], device=words.device)
    places = torch.arange(words.shape[1], device=words.device)
    return words, (places[None] < lengths[:, None]).float()
