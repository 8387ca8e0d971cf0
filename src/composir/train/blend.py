"""Weights of a composer's blend (`compose.blend`): settings, in torch, chosen on dev queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from composir.bench.metrics import CRITERION
from composir.bench.tune import in_words
from composir.compose.blend import BlendWeights
from composir.compose.trained import ComposerFolder, ComposerManifest, save_composer
from composir.data.outputs import refuse_links
from composir.errors import TrainingError
from composir.model import Model
from composir.train.blend_trials import BlendTrials
from composir.train.card import blend_line, replace_blend
from composir.train.config import BlendWeight, Settings
from composir.train.dev_set import DevSet, composer_terms

if TYPE_CHECKING:
    from torch import Tensor

TERMS = ("sentence", "direction", "image", "text", "exchange", "learned", "description")
EVENED = "evened"
"""How far terms are evened: not searched along the others, since it makes other weights best."""
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
GRID = {
    "sentence": (1.0,),
    "direction": (0.0, 0.5, 1.0, 1.5),
    "image": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0),
    "text": (0.0, 0.25, 0.5, 0.75, 1.0),
}
ALPHAS = tuple(round(0.05 * step, 2) for step in range(21))
# From different corners, because a search along coordinates may stop in a local best.
STARTS: tuple[Mapping[str, float], ...] = (
    {"sentence": 1.0},
    {"direction": 1.5, "image": 1.0, "description": 3.0},
    {"sentence": 0.5, "direction": 0.5, "image": 0.5, "text": 0.5},
    {"image": 1.0, "text": 1.0},
    {"image": 1.0, "text": 0.5, "exchange": 1.5, "learned": 1.0, "description": 3.0},
)


Score = Callable[[Mapping[str, float]], float]


class BlendSettings(Settings):
    """Weights of a query's parts: in the loss, in dev figures, and where no dev queries choose.

    Attributes:
        sentence: Of the composed sentence q.
        direction: Of q - s, the way from the reference's own sentence to the composed one.
        image: Of the reference's vector v.
        text: Of the modification's vector t.
    """

    sentence: BlendWeight = 1.0
    direction: BlendWeight = 0.0
    image: BlendWeight = 0.0
    text: BlendWeight = 0.0


def blended(
    weights: BlendSettings, composed: Tensor, sentence: Tensor, image: Tensor, text: Tensor
) -> Tensor:
    """What `compose.blend` makes of four (n, D) tensors, with gradients; (n, D), unit norm."""
    from torch.nn import functional

    mixed = (weights.sentence + weights.direction) * composed - weights.direction * sentence
    mixed = mixed + weights.image * image + weights.text * text
    return functional.normalize(mixed, dim=-1)


@dataclass(frozen=True, slots=True)
class BlendChoice:
    """What the search found.

    Attributes:
        settings: The weights.
        score: Mean recall@10 over the dev sets, percent.
        scores: Recall@10 by dev set.
        tried: How many blends were ranked.
        fixed: Weights that were not searched.
    """

    settings: Mapping[str, float]
    score: float
    scores: Mapping[str, float]
    tried: int
    fixed: Mapping[str, float] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """For the card, behind the weights."""
        by_set = ", ".join(f"{name} {score:.1f}" for name, score in self.scores.items())
        return (
            f"chosen among {self.tried} on dev queries: mean recall@10 {self.score:.1f} % "
            f"({by_set}). These are figures of choosing, not results"
        )

    @property
    def provenance(self) -> dict[str, object]:
        """For the composer's manifest and card."""
        return {
            "chosen_by": in_words(CRITERION),
            CRITERION[0]: self.score,
            "by_dev_set": dict(self.scores),
            "blends_tried": self.tried,
            **({"fixed": dict(self.fixed)} if self.fixed else {}),
        }


def choose_weights(
    dev: Sequence[BlendTrials], fixed: Mapping[str, float] | None = None
) -> BlendChoice:
    """Search along one weight after the other, from several starts, for the best blend.

    Weights of what no query has (learned moves, texts that describe all) are 0: any other would say
    the same.

    Args:
        dev: The dev sets; the best blend has the highest mean over them of `CRITERION`.
        fixed: Weights that stay as they are, these too.
    """
    idle = frozenset.intersection(*(one.idle for one in dev))
    held = {**dict.fromkeys(idle, 0.0), **(fixed or {})}
    known: dict[BlendWeights, float] = {}

    def score(tried: Sequence[Mapping[str, float]]) -> list[float]:
        blends = [BlendWeights(**one) if _asks(one) else None for one in tried]
        asked = [one for one in blends if one is not None]
        by_set = [part.scores(asked) for part in dev]
        known.update((one, float(np.mean(row))) for one, *row in zip(asked, *by_set, strict=True))
        return [-1.0 if one is None else known[one] for one in blends]

    found = [
        _climb({**dict.fromkeys(TERMS, 0.0), **start, **held}, held, score) for start in STARTS
    ]
    best = max(found, key=lambda weights: score([weights])[0])
    if not _asks(best):
        raise TrainingError(f"the weights {held} leave nothing to blend")
    recalls = {one.dev.name: one.scores([BlendWeights(**best)])[0][0] for one in dev}
    score_of_best = float(np.mean([*recalls.values()]))
    return BlendChoice(best, score_of_best, recalls, len(known), dict(fixed or {}))


def _asks(weights: Mapping[str, float]) -> bool:
    """Whether there is a query at all: of moves alone, or of descriptions alone, none is made."""
    return any(weights[name] for name in TERMS if name not in {"learned", "description"})


def _climb(
    weights: dict[str, float],
    held: Mapping[str, float],
    score: Callable[[Sequence[Mapping[str, float]]], list[float]],
) -> dict[str, float]:
    best = score([weights])[0]
    while True:
        before = best
        for name in TERMS:
            if name in held:
                continue
            tried = [{**weights, name: value} for value in VALUES]
            for one, reached in zip(tried, score(tried), strict=True):
                if reached > best + 1e-9:
                    weights, best = one, reached
        if best == before:
            return weights


def best_of_grid(score: Score, fixed: Mapping[str, float] | None = None) -> dict[str, float]:
    """The best weights of a small grid beside `sentence` 1; the plainest among equals."""
    values = {**GRID, **{name: (value,) for name, value in (fixed or {}).items()}}
    grid = (dict(zip(values, weights, strict=True)) for weights in product(*values.values()))
    return max(grid, key=score)


def best_sum(score: Score) -> dict[str, float]:
    """The best weighted sum of reference and text vector."""
    return max(({"image": 1.0 - a, "text": a} for a in ALPHAS), key=score)


def choose_blend(
    model: Model,
    folder: Path,
    dev: Iterable[DevSet],
    fixed: Mapping[str, float] | None = None,
) -> BlendChoice:
    """Choose the blend of a trained composer and write it into its settings and its card."""
    refuse_links(folder)
    trials = [BlendTrials(one, composer_terms(folder, model, one)) for one in dev]
    if not trials:
        raise TrainingError("the blend is chosen on dev queries: name data set folders with --dev")
    choice = choose_weights(trials, fixed)
    record_choice(folder, choice)
    return choice


def parse_fixed(texts: Sequence[str]) -> dict[str, float]:
    """Read weights that stay as they are from the command line."""
    fixed = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            fixed[name] = float(value)
        except ValueError as error:
            raise TrainingError(f"--fix {text}: write WEIGHT=VALUE, e.g. image=0") from error
        if name == EVENED and fixed[name] > 1.0:
            raise TrainingError(f"--fix {text}: evened is from 0 to 1")
        if name not in {*TERMS, EVENED} or not 0.0 <= fixed[name] < float("inf"):
            known = ", ".join((*TERMS, EVENED))
            raise TrainingError(f"--fix {text}: the weights are {known}, 0 or more")
    return fixed


def record_choice(folder: Path, choice: BlendChoice) -> None:
    """Write chosen weights, and what they were chosen on, into a composer's card and manifest."""
    made = ComposerFolder.load(folder).manifest
    fields = {name: getattr(made, name) for name in ComposerManifest.model_fields}
    fields["settings"] = made.settings.changed(choice.settings)
    fields["training"] = {**made.training, "blend": choice.provenance}
    replace_blend(folder, blend_line(choice.settings, choice.told))
    told = {k: v for k, v in fields.items() if k not in {"schema_version", "files"}}
    save_composer(folder, told, made.shared)
