"""Training, dev and held-out triplets, split so that nothing leaks and every run splits alike."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from composir.errors import DatasetError
from composir.train.composing.triplet_files import TrainingTriplet

# More dev or held-out triplets would only cost time: R@1 is known to about 3 points by then.
MOST_EVALUATED = 1000


@dataclass(frozen=True, slots=True)
class TripletSplit:
    """Training, dev (chooses the checkpoint and the weights) and held-out (the table) triplets.

    Attributes:
        dropped: Training rows without a target that is not kept back.
    """

    train: tuple[TrainingTriplet, ...]
    dev: tuple[TrainingTriplet, ...]
    held_out: tuple[TrainingTriplet, ...]
    dropped: int = 0

    @property
    def parts(self) -> tuple[tuple[TrainingTriplet, ...], ...]:
        """Training, dev and held-out triplets."""
        return self.train, self.dev, self.held_out


def subset(triplets: Sequence[TrainingTriplet], count: int) -> tuple[TrainingTriplet, ...]:
    """The first `count` in an order that depends on the triplets alone; all where it is negative.

    Smaller subsets are part of larger ones, so a curve over the count adds and never swaps.
    """
    if count < 0:
        return tuple(triplets)
    chosen = sorted(triplets, key=lambda t: order_key(f"{t.reference.name}\n{t.text}"))[:count]
    members = {id(triplet) for triplet in chosen}
    return tuple(t for t in triplets if id(t) in members)


def split_triplets(
    triplets: Sequence[TrainingTriplet], dev: float, held_out: float
) -> TripletSplit:
    """Split by reference (or group), the same way every time.

    Where reference and target of a training row are the two images of a dev or held-out row, e.g.
    the way back, that target is kept back.
    """
    groups = sorted({t.group for t in triplets}, key=order_key)
    tests = _count(held_out, len(groups))
    choices = _count(dev, len(groups))
    if tests + choices >= len(groups):
        raise DatasetError(
            f"{len(groups)} references (or groups) are too few for {choices} dev and {tests} "
            "held-out ones: bring more triplets, or set dev and held_out lower"
        )
    place = {g: 2 if i < tests else 1 if i < tests + choices else 0 for i, g in enumerate(groups)}
    parts = [tuple(t for t in triplets if place[t.group] == part) for part in range(3)]
    known = {frozenset((t.reference, f)) for part in parts[1:] for t in part for f in t.targets}
    train = tuple(kept for t in parts[0] if (kept := _without(t, known)).targets)
    return TripletSplit(train, parts[1], parts[2], len(parts[0]) - len(train))


def limited(split: TripletSplit, max_triplets: int) -> TripletSplit:
    """At most so many training triplets (negative: all), and not too many to evaluate."""
    return replace(
        split,
        train=subset(split.train, max_triplets),
        dev=subset(split.dev, MOST_EVALUATED),
        held_out=subset(split.held_out, MOST_EVALUATED),
    )


def order_key(text: str) -> str:
    """A hash to order by, whatever else is there; half an emoji has one too."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _without(triplet: TrainingTriplet, known: set[frozenset[Path]]) -> TrainingTriplet:
    """A triplet whose targets that would give a held-out pair away are kept back."""
    back = tuple(t for t in triplet.targets if frozenset((triplet.reference, t)) in known)
    if not back:
        return triplet
    targets = tuple(target for target in triplet.targets if target not in back)
    return replace(triplet, targets=targets, kept_back=back)


def _count(share: float, total: int) -> int:
    return max(1, round(share * total)) if share > 0 else 0
