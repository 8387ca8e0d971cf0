"""What a picture's labels say, in sentences that leave out a part of it at random.

A sentence comes with what it says, so that every picture that fits it is right, not only its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

ATTRIBUTES = ("kind", "shape", "colour", "material", "pattern", "count", "setting", "angle")

NUMBER = {2: ("two", "a pair of"), 3: ("three", "a group of three")}
PATTERN = {
    "striped": ("with stripes", "striped"),
    "dotted": ("with dots", "dotted"),
    "checked": ("with checks", "checked"),
    "plain": ("without a pattern", "plain"),
}
SETTING = {
    "white-studio": ("on a white background", "on white"),
    "grey-studio": ("on a grey background", "on grey"),
    "yellow-wall": ("in front of a yellow wall", "on a yellow background"),
    "blue-wall": ("in front of a blue wall", "on a blue background"),
    "wooden-table": ("on a wooden table", "on wood"),
    "marble": ("on marble", "on a marble counter"),
    "brick-wall": ("in front of bricks", "in front of a brick wall"),
    "night": ("at night", "in the dark"),
    "lawn": ("on grass", "outdoors on a lawn"),
    "beach": ("on a beach", "on sand"),
}
ANGLE = {
    "front": ("seen from the front", "front view"),
    "three-quarter": ("seen at an angle", "from the side"),
    "above": ("seen from above", "from above"),
}
OPENINGS = ("", "", "a photo of ", "a picture of ")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A text, and the attributes that a picture has to have for it to be true."""

    text: str
    says: Mapping[str, Any]


def whole(row: Mapping[str, Any]) -> Sentence:
    """A picture's own caption, which names everything."""
    return Sentence(str(row["caption"]), {name: row[name] for name in ATTRIBUTES})


def partial(row: Mapping[str, Any], draw: np.random.Generator) -> Sentence:
    """A sentence about some of a picture's attributes, at least one.

    Args:
        row: Of the data set's `gallery.jsonl`.
        draw: Chooses what is said, and how.
    """
    said = [name for name in ATTRIBUTES if draw.random() < (0.7 if name == "kind" else 0.4)]
    said = said or [str(draw.choice(ATTRIBUTES))]
    if "shape" in said and "kind" not in said:
        said.append("kind")  # round is something else of a mug than of a clock
    says = {name: row[name] for name in said}
    return Sentence(_text(says, draw), says)


def _text(says: Mapping[str, Any], draw: np.random.Generator) -> str:
    """Number, adjectives and noun, then what follows the noun."""
    front: list[str] = []
    behind: list[str] = []
    for name in ("colour", "pattern", "material"):
        if name in says:
            before, after = _forms(name, str(says[name]))
            in_front = draw.random() < 0.5
            (front if in_front else behind).append(before if in_front else after)
    noun = " ".join(str(says[name]) for name in ("shape", "kind") if name in says) or "thing"
    number, noun = _counted(says.get("count"), noun, draw)
    for name, forms in (("setting", SETTING), ("angle", ANGLE)):
        behind += [str(draw.choice(forms[says[name]]))] if name in says else []
    if noun == "thing" and "count" not in says and draw.random() < 0.5:
        return " ".join([*front, *behind])  # "green", "with dots on grass": as changes are said
    that_is = len(behind) == 1 and draw.random() < 0.1
    named = " ".join(filter(None, [number, *front, noun]))
    text = (" that is " if that_is else " ").join([named, *behind[:1]])
    return str(draw.choice(OPENINGS)) + " ".join([text, *behind[1:]])


def _forms(name: str, value: str) -> tuple[str, str]:
    """An attribute before the noun, and behind it."""
    if name == "pattern":
        after, before = PATTERN[value]
        return before, after
    return value, f"in {value}" if name == "colour" else f"made of {value}"


def _counted(count: int | None, noun: str, draw: np.random.Generator) -> tuple[str, str]:
    """A number or an article, and the noun in its form."""
    if count is not None and count > 1:
        return str(draw.choice(NUMBER[count])), f"{noun}s"
    return "one" if count else str(draw.choice(("a", ""))), noun
