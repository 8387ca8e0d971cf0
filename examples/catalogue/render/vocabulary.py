"""The words of the catalogue: which kinds, shapes, colours, materials and settings exist.

Pure data. `plan.py` draws pictures from it, `wording.py` speaks about them, and the modules that
know Blender (`things.py`, `materials.py`, `settings.py`) have one entry for every name here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A shape variant of a kind.

    Attributes:
        name: Value of the `shape` attribute.
        one: Noun phrase for one thing, without article.
        many: The same in the plural.
        asks: Modification texts that ask for this shape.
    """

    name: str
    one: str
    many: str
    asks: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """A kind of thing that a shop sells.

    Attributes:
        name: Value of the `kind` attribute.
        shapes: Its three shape variants; each is the base of one family.
        materials: What it may be made of; the first one can have any colour.
        patterned: Whether its patternable materials come striped, dotted and checked.
        furniture: Whether it stands on the floor rather than on a table.
    """

    name: str
    shapes: tuple[Shape, Shape, Shape]
    materials: tuple[str, ...]
    patterned: bool
    furniture: bool = False


def _shape(name: str, noun: str, *asks: str) -> Shape:
    return Shape(name, noun, f"{noun}s", asks)


KINDS: tuple[Kind, ...] = (
    Kind(
        "mug",
        (
            _shape("straight", "straight mug", "with straight sides", "a straight cylinder mug"),
            _shape("tall", "tall mug", "a tall mug", "taller and narrower"),
            _shape("round", "round mug", "with a round belly", "a rounder mug"),
        ),
        ("ceramic", "glass", "copper", "wood"),
        patterned=True,
    ),
    Kind(
        "vase",
        (
            _shape("slender", "slender vase", "a slender vase", "slimmer, with a long neck"),
            _shape("round", "round vase", "a round vase", "with a ball-shaped body"),
            _shape("flared", "flared vase", "a flared vase", "opening wide at the top"),
        ),
        ("ceramic", "glass", "brass", "wood"),
        patterned=True,
    ),
    Kind(
        "bowl",
        (
            _shape("deep", "deep bowl", "a deep bowl", "deeper, with steep sides"),
            _shape("shallow", "shallow bowl", "a shallow bowl", "wider and flatter"),
            _shape("footed", "footed bowl", "a bowl on a foot", "with a raised foot"),
        ),
        ("ceramic", "wood", "glass", "copper"),
        patterned=True,
    ),
    Kind(
        "teapot",
        (
            _shape("round", "round teapot", "a round teapot", "with a round body"),
            _shape("tall", "tall teapot", "a tall teapot", "taller, like a coffee pot"),
            _shape("squat", "squat teapot", "a squat teapot", "lower and wider"),
        ),
        ("ceramic", "copper", "steel", "glass"),
        patterned=True,
    ),
    Kind(
        "bottle",
        (
            _shape("slim", "slim bottle", "a slim bottle", "slimmer and taller"),
            _shape("round", "round bottle", "a round bottle", "with a round body"),
            _shape("square", "square bottle", "a square bottle", "with flat sides"),
        ),
        ("glass", "steel", "ceramic", "copper"),
        patterned=False,
    ),
    Kind(
        "table lamp",
        (
            _shape("cone", "table lamp with a cone shade", "with a cone shade"),
            _shape("dome", "table lamp with a dome shade", "with a dome shade"),
            _shape("drum", "table lamp with a drum shade", "with a drum shade"),
        ),
        ("fabric", "brass", "copper", "plastic"),
        patterned=True,
    ),
    Kind(
        "chair",
        (
            _shape("slatted", "chair with a slatted back", "with a slatted back"),
            _shape("solid", "chair with a solid back", "with a solid back"),
            _shape("hoop", "chair with a hoop back", "with a hoop back"),
        ),
        ("plastic", "wood", "steel", "brass"),
        patterned=False,
        furniture=True,
    ),
    Kind(
        "stool",
        (
            _shape("low", "low stool", "a low stool", "lower, with a round seat"),
            _shape("bar", "bar stool", "a bar stool", "with long legs and a foot ring"),
            _shape("square", "square stool", "a square stool", "with a square seat"),
        ),
        ("plastic", "wood", "steel", "copper"),
        patterned=False,
        furniture=True,
    ),
    Kind(
        "side table",
        (
            _shape("round", "round side table", "with a round top", "a round table"),
            _shape("square", "square side table", "with a square top", "a square table"),
            _shape("pedestal", "pedestal side table", "on a single central foot"),
        ),
        ("plastic", "wood", "brass", "glass"),
        patterned=False,
        furniture=True,
    ),
    Kind(
        "armchair",
        (
            _shape("boxy", "boxy armchair", "a boxy armchair", "with straight, square arms"),
            _shape("tub", "tub armchair", "a tub chair", "with a round, wrapping back"),
            _shape("high", "high-backed armchair", "with a high back", "a high-backed one"),
        ),
        ("fabric", "leather"),
        patterned=True,
        furniture=True,
    ),
    Kind(
        "clock",
        (
            _shape("round", "round clock", "a round clock", "with a round case"),
            _shape("square", "square clock", "a square clock", "with a square case"),
            _shape("bell", "alarm clock with bells", "with two bells on top"),
        ),
        ("plastic", "wood", "brass", "copper"),
        patterned=False,
    ),
    Kind(
        "candle holder",
        (
            _shape("tall", "tall candle holder", "a tall candlestick", "taller"),
            _shape("low", "low candle holder", "a low candle holder", "with a wide saucer"),
            _shape("ball", "ball candle holder", "shaped like a ball", "a ball-shaped holder"),
        ),
        ("ceramic", "brass", "wood", "glass"),
        patterned=False,
    ),
    Kind(
        "plant pot",
        (
            Shape(
                "cactus",
                "plant pot with a cactus",
                "plant pots with a cactus",
                ("with a cactus", "with a cactus in it"),
            ),
            Shape(
                "snake-plant",
                "plant pot with long upright leaves",
                "plant pots with long upright leaves",
                ("with long upright leaves", "with a snake plant"),
            ),
            Shape(
                "bush",
                "plant pot with a round bush",
                "plant pots with a round bush",
                ("with a round bush", "with a small round tree"),
            ),
        ),
        ("ceramic", "copper", "wood", "steel"),
        patterned=True,
    ),
    Kind(
        "cushion",
        (
            _shape("square", "square cushion", "a square cushion"),
            _shape("round", "round cushion", "a round cushion", "round instead"),
            _shape("bolster", "bolster cushion", "a bolster", "shaped like a roll"),
        ),
        ("fabric", "leather"),
        patterned=True,
    ),
    Kind(
        "gift box",
        (
            Shape("cube", "cube gift box", "cube gift boxes", ("a cube", "shaped like a cube")),
            Shape("flat", "flat gift box", "flat gift boxes", ("a flat box", "flatter and wider")),
            Shape("round", "round gift box", "round gift boxes", ("a round box", "a hat box")),
        ),
        ("cardboard", "steel", "wood"),
        patterned=True,
    ),
    Kind(
        "handbag",
        (
            _shape("tote", "tote handbag", "a tote bag", "a tall tote with long handles"),
            _shape("bucket", "bucket handbag", "a bucket bag", "shaped like a bucket"),
            _shape("box", "box handbag", "a box bag", "a boxy bag with a flap"),
        ),
        ("leather", "fabric"),
        patterned=True,
    ),
)

COLOURS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "white",
    "black",
)

#: Materials that come in one colour of their own; asking for one implies that colour.
OWN_COLOUR: dict[str, str] = {
    "wood": "brown",
    "brass": "gold",
    "copper": "copper",
    "steel": "silver",
}

#: Materials on which a pattern can be printed.
PATTERNABLE: frozenset[str] = frozenset({"ceramic", "fabric", "leather", "cardboard"})

PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checked")

COUNTS: tuple[int, ...] = (1, 2, 3)

#: Settings, and the colours of things that would vanish in them.
SETTINGS: dict[str, tuple[str, ...]] = {
    "white-studio": ("white",),
    "grey-studio": (),
    "yellow-wall": ("yellow", "orange"),
    "blue-wall": ("blue", "purple"),
    "wooden-table": ("orange",),
    "marble": ("white",),
    "brick-wall": ("red", "orange"),
    "night": ("black",),
    "lawn": ("green",),
    "beach": ("yellow",),
}

#: Settings in which a whole family may live: the floor shows them from every camera angle.
BASE_SETTINGS: tuple[str, ...] = (
    "white-studio",
    "grey-studio",
    "yellow-wall",
    "blue-wall",
    "wooden-table",
    "marble",
)

#: Settings lit by our studio lamps, where the light may be soft or hard.
STUDIO_SETTINGS: frozenset[str] = frozenset(
    {"white-studio", "grey-studio", "yellow-wall", "blue-wall", "marble"}
)

ANGLES: tuple[str, ...] = ("front", "three-quarter", "above")
