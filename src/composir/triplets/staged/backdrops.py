"""What a thing is staged on: plain grounds, painted walls, and patches of real ones.

Which regions make a backdrop is a table in plain words; so is what one asks for it with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.triplets.edits import COLOURS, Draw, Pixels, one_of

MOST_PATCHES, FEWEST_PATCHES = 60, 3
WALLS = tuple(colour for colour in COLOURS if colour not in ("white", "grey", "black"))
_PLAIN: Mapping[str, tuple[float, float, float]] = {
    "white": (250.0, 250.0, 250.0),
    "grey": (170.0, 170.0, 170.0),
}
PLAIN = tuple(_PLAIN)
_KINDS, _KIND_SHARES = ("white", "grey", "wall", "patch"), (0.14, 0.08, 0.28, 0.5)
_ABOVE, _INDOOR_WALLS = 0.5, ("beige", "white", "grey")
_HORIZON = (0.36, 0.5)

BACKDROPS: Mapping[str, tuple[str, ...]] = {
    "grass": ("grass", "lawn"),
    "sand": ("sand", "beach"),
    "snow": ("snow",),
    "sea": ("sea", "ocean"),
    "water": ("water", "river", "lake"),
    "sky": ("sky",),
    "floor": ("floor", "flooring"),
    "road": ("road", "street"),
    "pavement": ("sidewalk", "pavement"),
    "field": ("field",),
    "earth": ("earth", "ground", "dirt", "soil"),
    "trees": ("tree", "trees", "forest"),
    "mountain": ("mountain", "mountains"),
    "rug": ("rug", "carpet"),
    "curtain": ("curtain", "curtains"),
    "rock": ("rock", "rocks"),
}
"""Names of regions that show a backdrop."""

_OUTDOORS = (("sky", 0.6), ("trees", 0.28), ("mountain", 0.12))
_BEHIND: Mapping[str, tuple[tuple[str, float], ...]] = {
    **dict.fromkeys(("grass", "sand", "snow", "road", "pavement", "field", "earth"), _OUTDOORS),
    **dict.fromkeys(("floor", "rug"), (("wall", 1.0),)),
    **dict.fromkeys(("sea", "water"), (("sky", 1.0),)),
}
"""What may be seen beyond the far end of a ground, and how often each."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A square of a region, (s, s, 3), with its mean colour, (3,), and its side in the picture."""

    rgb: NDArray[np.uint8]
    colour: Pixels
    side: int


Patches: TypeAlias = Mapping[str, Sequence[Patch]]


@dataclass(frozen=True, slots=True)
class Backdrop:
    """One ground to stage on.

    Attributes:
        name: `white`, `grey`, `wall`, or a key of `BACKDROPS`.
        paint: Of a wall, a name of `COLOURS`.
        patch: What covers a real ground.
        beyond: What is seen above its far end, if anything.
        horizon: How far down that reaches, of the picture's height.
    """

    name: str
    paint: str = ""
    patch: Patch | None = None
    beyond: Backdrop | None = None
    horizon: float = 0.0

    @property
    def colour(self) -> Pixels:
        """The mean of what is right behind the thing."""
        if self.patch is not None:
            return self.patch.colour
        values = COLOURS[self.paint] if self.paint else _PLAIN[self.name]
        return np.array(values, dtype=np.float32)

    def says_as_much(self, other: Backdrop) -> bool:
        """Whether words could not tell the two apart."""
        return (self.name, self.paint) == (other.name, other.paint)


def best_patches(found: Sequence[Patch]) -> list[Patch]:
    """The sharpest, which are the largest; of the same size the first."""
    return sorted(found, key=lambda patch: -patch.side)[:MOST_PATCHES]


def usable_patches(found: Patches) -> Patches:
    """Backdrops with enough patches to be known by more than one picture."""
    kept = {name: tuple(found[name]) for name in BACKDROPS if name in found}
    return MappingProxyType(
        {name: patches for name, patches in kept.items() if len(patches) >= FEWEST_PATCHES}
    )


def draw_backdrop(patches: Patches, draw: Draw, other_than: Backdrop | None = None) -> Backdrop:
    """A backdrop, drawn at random, that words tell apart from another one."""
    while True:
        drawn = _drawn(patches, draw)
        if other_than is None or not drawn.says_as_much(other_than):
            return drawn


def _drawn(patches: Patches, draw: Draw) -> Backdrop:
    kind = _KINDS[int(draw.choice(len(_KINDS), p=_KIND_SHARES))]
    if kind == "wall":
        return Backdrop("wall", one_of(WALLS, draw))
    if kind != "patch" or not patches:
        return Backdrop(kind if kind in _PLAIN else PLAIN[draw.integers(len(PLAIN))])
    name = one_of(tuple(patches), draw)
    beyond = _beyond(name, patches, draw) if draw.random() < _ABOVE else None
    return Backdrop(name, "", _one(patches[name], draw), beyond, float(draw.uniform(*_HORIZON)))


def _beyond(name: str, patches: Patches, draw: Draw) -> Backdrop | None:
    shares = [(far, share) for far, share in _BEHIND.get(name, ()) if far in {"wall", *patches}]
    if not shares:
        return None
    weights = np.array([share for _, share in shares])
    far = shares[int(draw.choice(len(shares), p=weights / weights.sum()))][0]
    if far == "wall":
        return Backdrop("wall", one_of(_INDOOR_WALLS, draw))
    return Backdrop(far, "", _one(patches[far], draw))


def _one(patches: Sequence[Patch], draw: Draw) -> Patch:
    return patches[int(draw.integers(len(patches)))]
