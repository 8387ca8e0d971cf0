"""Which pictures, views and phrases a step sees: all of it a function of the step's number.

So the FIFO queue of teacher vectors is no state either: it is what the steps before drew, and a
resumed run sees the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from composir.train.isa.objective import ObjectiveConfig
from composir.train.isa.picture_bank import PictureBank
from composir.train.isa.token_learner import TokenLearnerConfig
from composir.train.loop import drawn_rows
from composir.train.steering import PhraseSteering


@dataclass(frozen=True, slots=True)
class Batch:
    """Everything about a step that is known before anything is encoded.

    Attributes:
        step: Its number.
        rows: Of the pictures.
        views: Of each picture, which one the light side sees.
        phrases: Of each picture, the phrase beside its sentence; `NO_PHRASE` for none.
        teachers: (n + q, D), the pictures' gallery vectors, then the queue's.
        targets: The same as sentences are to match them (`FrozenFoundation.text_aligned`).
        valid: (n, n + q) bool, false where a column is the row's own picture once more.
        goals: (m, D), where the m sentences with a phrase should lead.
        kept: (l,) int64, tokens that this step sees.
    """

    step: int
    rows: Sequence[int]
    views: Sequence[int]
    phrases: Sequence[int]
    teachers: Tensor
    targets: Tensor
    valid: Tensor
    goals: Tensor
    kept: Tensor

    def at(self, places: Sequence[int]) -> Batch:
        """The same batch with some of the pictures only; targets stay whole."""
        return replace(
            self,
            rows=[self.rows[place] for place in places],
            views=[self.views[place] for place in places],
            phrases=[self.phrases[place] for place in places],
        )


class Batches:
    """Draws batches."""

    def __init__(
        self,
        bank: PictureBank,
        objective: ObjectiveConfig,
        steering: PhraseSteering,
        learner: TokenLearnerConfig,
        seed: int,
        meaning: Callable[[Tensor], Tensor],
    ) -> None:
        self._meaning = meaning
        self._bank, self._objective, self._seed = bank, objective, seed
        self._steering, self._tokens = steering, learner.num_tokens

    def draw(self, step: int) -> Batch:
        """The batch of a step, counted from 1."""
        rows, views = self._pictures(step)
        columns, column_views = self._queue(step)
        vectors = self._bank.targets([*rows, *columns], [*views, *column_views])
        teachers = torch.from_numpy(vectors).to(self._steering.vectors.device)
        targets = self._meaning(teachers)
        generator = np.random.default_rng((self._seed, step, 2))
        phrases = self._steering.draw(len(rows), generator)
        steered = self._steering.rows_with_phrase(phrases)
        return Batch(
            step=step,
            rows=rows,
            views=views,
            phrases=phrases,
            teachers=teachers,
            targets=targets,
            valid=_valid(rows, columns).to(targets.device),
            goals=self._steering.targets(targets[steered], [phrases[row] for row in steered]),
            kept=self._kept(generator).to(targets.device),
        )

    def _pictures(self, step: int) -> tuple[list[int], list[int]]:
        train, count = self._bank.train, self._objective.batch
        rows = [int(train[row]) for row in drawn_rows(len(train), step, count, self._seed)]
        generator = np.random.default_rng((self._seed, step, 1))
        return rows, generator.integers(0, len(self._bank.views), count).tolist()

    def _queue(self, step: int) -> tuple[list[int], list[int]]:
        """The last pictures drawn before a step, newest first."""
        rows: list[int] = []
        views: list[int] = []
        size = self._objective.gcd.queue
        while step > 1 and len(rows) < size:
            step -= 1
            before, before_views = self._pictures(step)
            rows += before
            views += before_views
        return rows[:size], views[:size]

    def _kept(self, generator: np.random.Generator) -> Tensor:
        """All tokens, or with the chance of token dropout a random part of them, in order."""
        count = self._tokens
        drops = generator.random() < self._objective.token_dropout and count > 1
        kept = int(generator.integers(1, count)) if drops else count
        return torch.from_numpy(np.sort(generator.permutation(count)[:kept]))


def _valid(rows: Sequence[int], columns: Sequence[int]) -> Tensor:
    everything = torch.tensor([*rows, *columns])
    valid = everything[: len(rows), None] != everything[None]
    valid[range(len(rows)), range(len(rows))] = True
    return valid
