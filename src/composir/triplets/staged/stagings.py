"""How a thing is staged, and what of it changes from one picture of a pair to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from composir.triplets.edits import COLOURS, Draw, Pixels, one_of
from composir.triplets.staged.backdrops import PLAIN, Backdrop, Patches, draw_backdrop
from composir.triplets.staged.cut_outs import CutOut

CHANGES: Mapping[str, float] = {
    "colour": 0.24,
    "pattern": 0.17,
    "count": 0.15,
    "backdrop": 0.22,
    "light": 0.12,
    "size": 0.10,
}
"""What can change, and how often it does."""
TWO_CHANGES = 0.3
PATTERNS, COUNTS = ("plain", "stripes", "dots", "checks"), (1, 2, 3)
LIGHTS, SIZES = ("soft", "warm", "night"), ("normal", "small")
_CHOICES: Mapping[str, Sequence[Any]] = {
    "colour": tuple(COLOURS),
    "pattern": PATTERNS,
    "count": COUNTS,
    "light": LIGHTS,
    "size": SIZES,
}
_FIRST: Mapping[str, tuple[float, ...]] = {
    "pattern": (0.7, 0.1, 0.1, 0.1),
    "count": (0.7, 0.17, 0.13),
    "light": (0.74, 0.14, 0.12),
    "size": (0.76, 0.24),
}
"""How often a first picture has which value: mostly the plainest, or nothing would stand out."""
_DYED = 0.35
_INK_APART = 130.0
_YELLOWED = ("white", "grey", "beige", "navy blue")
"""Colours that warm light makes another."""
_NIGHT = np.array([0.75, 0.85, 1.15], dtype=np.float32)
_WARM = np.array([1.1, 0.92, 0.62], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Staging:
    """What one picture shows, besides the thing itself.

    `colour` is a name of `COLOURS`, or None for the thing's own; others are of the tuples above.
    """

    colour: str | None
    pattern: str
    count: int
    backdrop: Backdrop
    light: str
    size: str


@dataclass(frozen=True, slots=True)
class Print:
    """How patterns are painted on the thing, in both pictures alike."""

    ink: str
    period: float
    is_turned: bool


@dataclass(frozen=True, slots=True)
class StagedPair:
    """A thing, shown before and after one or two of `CHANGES`."""

    thing: CutOut
    before: Staging
    after: Staging
    changed: tuple[str, ...]
    print: Print

    @property
    def kind(self) -> str:
        """The changes in the order of their table, e.g. `colour+count`."""
        return "+".join(change for change in CHANGES if change in self.changed)


def draw_pair(thing: CutOut, patches: Patches, draw: Draw) -> StagedPair:
    """Two stagings of a thing between which the change can be seen."""
    names, weights = tuple(CHANGES), np.array(tuple(CHANGES.values()))
    # Walls and dyes suit any thing often enough, so this ends soon.
    while True:
        number = 2 if draw.random() < TWO_CHANGES else 1
        places = draw.choice(len(names), number, replace=False, p=weights / weights.sum())
        changed = tuple(names[place] for place in places)
        before = _first(patches, draw)
        new: dict[str, Any] = {name: _other(name, before, patches, draw) for name in changed}
        after = replace(before, **new)
        if _is_sensible(thing, before, after, changed):
            return StagedPair(thing, before, after, changed, _print(thing, (before, after), draw))


def _first(patches: Patches, draw: Draw) -> Staging:
    drawn: dict[str, Any] = {
        name: _CHOICES[name][int(draw.choice(len(shares), p=shares))]
        for name, shares in _FIRST.items()
    }
    colour = one_of(tuple(COLOURS), draw) if draw.random() < _DYED else None
    return Staging(colour=colour, backdrop=draw_backdrop(patches, draw), **drawn)


def _other(name: str, staging: Staging, patches: Patches, draw: Draw) -> object:
    """Another value of what changes."""
    if name == "backdrop":
        return draw_backdrop(patches, draw, staging.backdrop)
    others = [value for value in _CHOICES[name] if value != getattr(staging, name)]
    return others[int(draw.integers(len(others)))]


def _print(thing: CutOut, stagings: Sequence[Staging], draw: Draw) -> Print:
    """An ink that is seen on the thing in both pictures, or the one that is seen best."""
    bases = [colour_of(thing, staging) for staging in stagings]
    far = {
        name: min(apart(np.array(rgb, dtype=np.float32), base) for base in bases)
        for name, rgb in COLOURS.items()
    }
    inks = tuple(name for name in COLOURS if far[name] > _INK_APART)
    inks = inks or (max(COLOURS, key=far.__getitem__),)
    return Print(one_of(inks, draw), float(draw.uniform(20, 34)), bool(draw.random() < 0.3))


def colour_of(thing: CutOut, staging: Staging) -> Pixels:
    """The mean of a thing as it is staged, before any light falls on it."""
    if staging.colour is None:
        return thing.colour
    return np.array(COLOURS[staging.colour], dtype=np.float32)


def apart(one: Pixels, other: Pixels) -> float:
    """How far two colours are from each other."""
    return float(np.linalg.norm(one - other))


def lit(pixels: Pixels, light: str, draw: Draw | None = None) -> Pixels:
    """Light on pixels of 0 to 255, of a middling strength or of one drawn at random."""
    if light == "night":
        power, gain = (draw.uniform(1.4, 1.7), draw.uniform(0.42, 0.55)) if draw else (1.5, 0.48)
        dark = (np.clip(pixels, 0.0, 255.0) / np.float32(255.0)) ** np.float32(power)
        return np.asarray(dark * (_NIGHT * np.float32(gain * 255.0)), dtype=np.float32)
    if light == "warm":
        strength = np.float32(draw.uniform(0.85, 1.15)) if draw else np.float32(1.0)
        return np.asarray(pixels * _WARM**strength, dtype=np.float32)
    return pixels


def _is_sensible(thing: CutOut, before: Staging, after: Staging, changed: tuple[str, ...]) -> bool:
    """Whether both pictures show what they should, and the change can be seen."""
    return (
        all(_stands_out(thing, staging) for staging in (before, after))
        and ("colour" not in changed or _colour_shows(thing, before, after))
        and ("backdrop" not in changed or _backdrop_shows(before.backdrop, after))
    )


def _stands_out(thing: CutOut, staging: Staging) -> bool:
    own, is_night = colour_of(thing, staging), staging.light == "night"
    if staging.count == COUNTS[-1] and staging.size == "small":
        return False
    if is_night and float(own.mean()) < 85:
        return False
    seen = apart(lit(own, staging.light), lit(staging.backdrop.colour, staging.light))
    return seen >= (45 if is_night else 70)


def _colour_shows(thing: CutOut, before: Staging, after: Staging) -> bool:
    colours = [colour_of(thing, staging) for staging in (before, after)]
    at_night = [lit(colour, "night") for colour in colours]
    if "night" in (before.light, after.light) and apart(*at_night) < 32:
        return False
    if after.light == "warm" and after.colour in _YELLOWED:
        return False
    return apart(*colours) >= 75


def _backdrop_shows(before: Backdrop, after: Staging) -> bool:
    if after.backdrop.name in PLAIN and after.light != "soft":
        return False
    return apart(lit(before.colour, after.light), lit(after.backdrop.colour, after.light)) >= 30
