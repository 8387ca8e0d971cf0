"""What is said about a picture (captions) and about a change of it (modification texts)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from vocabulary import COLOURS, KINDS, OWN_COLOUR, Kind, Shape

KIND: dict[str, Kind] = {kind.name: kind for kind in KINDS}
SHAPE: dict[tuple[str, str], Shape] = {(k.name, s.name): s for k in KINDS for s in k.shapes}

NUMBER: dict[int, str] = {2: "two", 3: "three"}

MADE_OF: dict[str, str] = {
    "wood": "wooden",
    "leather": "leather",
    "fabric": "fabric",
    "cardboard": "cardboard",
}

#: Where a small thing is, and where a piece of furniture is.
WHERE: dict[str, tuple[str, str]] = {
    "white-studio": ("on a white background", "on a white background"),
    "grey-studio": ("on a grey background", "on a grey background"),
    "yellow-wall": ("in front of a yellow wall", "in front of a yellow wall"),
    "blue-wall": ("in front of a blue wall", "in front of a blue wall"),
    "wooden-table": ("on a wooden table", "on a wooden floor"),
    "marble": ("on a marble counter", "on a marble floor"),
    "brick-wall": ("in front of a brick wall", "in front of a brick wall"),
    "night": ("on a table at night", "in a dark room at night"),
    "lawn": ("on the grass in the sun", "outdoors on a lawn"),
    "beach": ("on a sandy beach", "on a sandy beach"),
}

VIEW: dict[str, tuple[str, ...]] = {
    "front": ("seen from the front", "front view"),
    "three-quarter": ("seen at an angle", "three-quarter view"),
    "above": ("seen from above", "looking down from above"),
}

#: Texts that ask for a change, by attribute and value; `{}` takes the value.
ASK_COLOUR = ("in {}", "the same in {}", "in {} instead", "make it {}", "a {} one", "coloured {}")
ASK_MATERIAL = ("made of {}", "in {}", "the {} version", "out of {}", "but in {}")
ASK_PATTERN: dict[str, tuple[str, ...]] = {
    "plain": ("without a pattern", "plain, one colour", "in plain colour"),
    "striped": ("with stripes", "striped", "with a striped pattern"),
    "dotted": ("with dots", "with polka dots", "dotted"),
    "checked": ("with checks", "in a chequered pattern", "checked"),
}
ASK_COUNT: dict[int, tuple[str, ...]] = {
    1: ("just one", "only one of them", "a single one"),
    2: ("two of them", "a pair of them", "show two"),
    3: ("three of them", "a group of three", "show three"),
}
ASK_SETTING: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "white-studio": (("on a white background", "as a cut-out on white"),) * 2,
    "grey-studio": (("on a grey background", "against plain grey"),) * 2,
    "yellow-wall": (("in front of a yellow wall", "on a yellow background"),) * 2,
    "blue-wall": (("in front of a blue wall", "on a blue background"),) * 2,
    "wooden-table": (
        ("on a wooden table", "standing on wood"),
        ("on a wooden floor", "on floorboards"),
    ),
    "marble": (("on a marble counter", "on white marble"), ("on a marble floor", "on marble")),
    "brick-wall": (("in front of a brick wall", "with bricks behind"),) * 2,
    "night": (("on a table at night", "at night by lamp light"), ("in a dark room at night",
              "at night by lamp light")),
    "lawn": (("on grass in the sun", "outdoors on the grass"), ("outdoors on a lawn", "on grass")),
    "beach": (("on the beach", "on sand by the sea"),) * 2,
}  # fmt: skip
ASK_LIGHT: dict[str, tuple[str, ...]] = {
    "hard": ("in hard sunlight with a sharp shadow", "with a hard shadow"),
    "soft": ("in soft light", "with soft shadows"),
}


def ask(kind: str, attribute: str, value: str | int, rng: random.Random) -> str:
    """One of the texts that ask for `value`."""
    return rng.choice(asks(kind, attribute, value))


def asks(kind: str, attribute: str, value: str | int) -> tuple[str, ...]:
    """All the texts that ask for a value of an attribute.

    Args:
        kind: Kind of the reference; shapes and places are said differently for each.
        attribute: The attribute to change.
        value: What it should become.

    Returns:
        Modification texts, the plainest first.
    """
    texts: dict[str, Mapping[Any, tuple[str, ...]]] = {
        "colour": dict.fromkeys(COLOURS, tuple(filled(text, value) for text in ASK_COLOUR)),
        "material": {value: tuple(filled(text, value) for text in ASK_MATERIAL)},
        "shape": {shape.name: shape.asks for shape in KIND[kind].shapes},
        "pattern": ASK_PATTERN,
        "count": ASK_COUNT,
        "setting": {name: two[KIND[kind].furniture] for name, two in ASK_SETTING.items()},
        "angle": VIEW,
        "light": ASK_LIGHT,
    }
    return texts[attribute][value]


def thing(
    kind: str, shape: str, colour: str, material: str, pattern: str, count: int, rng: random.Random
) -> str:
    """The noun phrase of a caption, such as "two green striped ceramic tall mugs"."""
    dress = MADE_OF.get(material, material)
    if material not in OWN_COLOUR:
        plain = pattern == "plain"
        dress = f"{colour} {dress}" if plain else f"{colour} {pattern} {dress}"
    noun = SHAPE[kind, shape]
    if count > 1:
        return f"{NUMBER[count]} {dress} {noun.many}"
    return (
        f"{article(dress)} {dress} {noun.one}" if rng.random() < 0.85 else f"one {dress} {noun.one}"
    )


def article(word: str) -> str:
    """The indefinite article before a word."""
    return "an" if word[:1] in "aeiou" else "a"


def filled(form: str, value: object, **others: object) -> str:
    """A form with a value in its place, after the right article: "an orange one"."""
    return form.replace("a {}", f"{article(str(value))} {{}}").format(value, **others)


def caption(what: str, kind: str, setting: str, angle: str, light: str, rng: random.Random) -> str:
    """A sentence about a picture; the order and the details vary.

    Args:
        what: The noun phrase.
        kind: The kind of thing.
        setting: Where it is.
        angle: How the camera sees it.
        light: How it is lit.
        rng: Decides the wording.

    Returns:
        The caption, in lower case and without a full stop.
    """
    where = WHERE[setting][KIND[kind].furniture]
    view = rng.choice(VIEW[angle])
    tail = " in hard light" if light == "hard" else ""
    forms = (
        f"{what} {where}{tail}",
        f"{what} {where}{tail}, {view}",
        f"{view}: {what} {where}{tail}",
        f"a photo of {what} {where}{tail}",
        f"product photo of {what}{tail}, {where}",
    )
    return rng.choice(forms)
