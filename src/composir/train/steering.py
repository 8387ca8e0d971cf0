"""[ours] Text faithfulness of sentences with pseudo-words, without labels: for ISA and stage 1.

With plain contrast a sentence copies its picture, and words beside the pseudo-words no longer move
it. So `q_i = T("a photo of S_i x_i")`, with a random neutral phrase `x_i` that needs no label, is
held near the picture's vector moved by that phrase.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from composir.data.untrusted_json import read_lines
from composir.errors import TrainingError
from composir.train.config import Between, OptionalTemperature, Settings, Weight
from composir.train.losses import contrastive_loss, cosine_loss

ALONE = NO_PHRASE = -1
_LIST = re.compile(r"([a-z_]+) = (.+)")
_NAMED = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Phrases:
    """Phrases in order, each once.

    Attributes:
        texts: The phrases.
        groups: Of each, the number of its group; `ALONE` for none. Of the phrases of a group a
            picture fits one or so, and asking for another replaces that one.
    """

    texts: tuple[str, ...]
    groups: tuple[int, ...]


def read_phrases(file: Path) -> Phrases:
    """Read phrases, as `phrases.txt` says how they are written; that is what an empty path reads.

    Raises:
        TrainingError: No UTF-8 text, a form with an unknown list, or fewer than two phrases.
    """
    path = Path(__file__).with_name("phrases.txt") if file == Path() else file
    found: dict[str, int] = {}
    lists: dict[str, Sequence[str]] = {}
    group = ALONE
    for number, text in read_lines(path, TrainingError):
        line = text.strip()
        if line.startswith("[") and line.endswith("]"):
            group += 1
        elif listed := _LIST.fullmatch(line):
            lists[listed[1]] = [word.strip() for word in listed[2].split(",")]
        elif line and not line.startswith("#"):
            try:
                found |= {one: found.get(one, group) for one in _filled(line, lists)}
            except KeyError as error:
                raise TrainingError(f"phrases: {path}, line {number}: no list {error}") from error
    if len(found) < 2:
        raise TrainingError(f"phrases: {path} holds {len(found)}; write one per line, two or more")
    return Phrases(tuple(found), tuple(found.values()))


def _filled(form: str, lists: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """A form with every word of its lists, `{name}`, in their places; a plain phrase as it is."""
    parts = _NAMED.split(form)
    words = [lists[name] for name in parts[1::2]]
    for chosen in product(*words):
        yield "".join(a + b for a, b in zip(parts[::2], [*chosen, ""], strict=True))


class SteeringConfig(Settings):
    """Text faithfulness: words still count beside pseudo-words; off for the papers' setting.

    Attributes:
        phrase_weight: Of the loss of sentences with a random phrase; 0 switches it off.
        phrase_share: Of a batch's rows that get a phrase.
        text_weight: w, how much the phrase weighs in their targets.
        temperature: Of their contrast; 0 for the plain cosine.
        replaced: Temperature at which a picture is taken to fit the phrases of the asked one's
            group, which that one replaces; 0 where nothing is replaced.
        centred: Whether what all phrases have in common is left out of targets: where texts lie
            apart from pictures, it would lead out of where pictures are.
    """

    phrase_weight: Weight = 0.3
    phrase_share: Annotated[float, Between(1e-6, 1.0)] = 0.25
    text_weight: Weight = 1.0
    temperature: OptionalTemperature = 0.05
    replaced: OptionalTemperature = 0.0
    centred: bool = True


class PhraseSteering:
    """Draws phrases and makes targets.

    Attributes:
        texts: The phrases.
        vectors: (p, D) float32, t of every phrase.
    """

    def __init__(self, phrases: Phrases, vectors: Tensor, config: SteeringConfig) -> None:
        """Prepare p phrases with vectors (p, D), the gallery's text encoder's of them."""
        self.texts, self.vectors, self._config = phrases.texts, vectors.float(), config
        groups = torch.tensor(phrases.groups, device=vectors.device)
        self._together = (groups[:, None] == groups[None]) & (groups != ALONE)
        middle = self.vectors.mean(0) if config.centred else torch.zeros_like(self.vectors[0])
        self._moves = self.vectors - middle
        # The only phrase of a group would replace itself.
        self._grouped = self._together.sum(1) > 1

    def draw(self, count: int, generator: np.random.Generator) -> list[int]:
        """Of each row, its phrase or `NO_PHRASE`.

        Every n-th row gets one, so that each process and chunk gets its share.
        """
        drawn = generator.integers(0, len(self.texts), count)
        marks = np.floor(np.arange(1, count + 1) * self._config.phrase_share)
        gets = np.diff(marks, prepend=0) > 0
        return [int(p) if g else NO_PHRASE for p, g in zip(drawn, gets, strict=True)]

    @staticmethod
    def rows_with_phrase(phrases: Sequence[int]) -> list[int]:
        """Places of the rows that have a phrase."""
        return [place for place, phrase in enumerate(phrases) if phrase != NO_PHRASE]

    def targets(self, pictures: Tensor, phrases: Sequence[int]) -> Tensor:
        r"""Where sentences with a phrase should lead.

        $$ g_i = \mathrm{normalise}\Big(v_i + w \big(t(x_i) - \sum_{y \in G(x_i)} p_i(y)\, t(y)\big)
             \Big), \quad p_i = \mathrm{softmax}_{y \in G(x_i)}(v_i \cdot t(y) / \tau_r) $$

        with $G(x)$ the group of a phrase: what the picture seems to be now is taken off, so that a
        painting asked for "as a photograph" is a painting no more. From phrases that stand alone,
        and from all with $\tau_r = 0$, the mean of all phrases is taken off instead (`centred`).

        Args:
            pictures: (m, D), v, of unit norm.
            phrases: m numbers of phrases.

        Returns:
            (m, D) of unit norm.
        """
        rows = torch.as_tensor(phrases, dtype=torch.long, device=self.vectors.device)
        moved = self._moves[rows] - self._taken_off(pictures.float(), rows)
        return functional.normalize(pictures.float() + self._config.text_weight * moved, dim=-1)

    def _taken_off(self, pictures: Tensor, rows: Tensor) -> Tensor:
        if not self._config.replaced:
            return torch.zeros_like(pictures)
        fits = pictures @ self.vectors.T / self._config.replaced
        # Rows of phrases that stand alone would have no finite number in them.
        grouped = self._grouped[rows]
        fits = fits.masked_fill(grouped[:, None] & ~self._together[rows], -torch.inf)
        return (fits.softmax(1) @ self._moves) * grouped[:, None]


def steering_loss(composed: Tensor, targets: Tensor, temperature: float) -> Tensor:
    r"""Sentences with phrases near their targets, against those of the other rows.

    $$ L_p = -\frac1n \sum_i \log \frac{\exp(q_i^\top g_i / \tau)}{\sum_j \exp(q_i^\top g_j / \tau)}
       \quad\text{or, for } \tau = 0,\quad \frac1n \sum_i (1 - q_i^\top g_i) $$

    Args:
        composed: (n, D), `q`.
        targets: (n, D), `g`.
        temperature: τ; 0 for the plain cosine.
    """
    if not len(composed):
        return composed.sum()
    if not temperature:
        return cosine_loss(composed, targets)
    return contrastive_loss(composed, targets, temperature)
