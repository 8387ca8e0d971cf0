"""A neutral bank of phrases: the teacher of soft text alignment where pictures have no captions.

Everyday words for things, their looks, where they are and how they are pictured; no names of data
sets, classes or people. Any gallery's pictures fit some of them more than others.
"""

from __future__ import annotations

_THINGS_TEXT = (
    "person man woman child baby group crowd dog cat bird horse cow sheep fish insect elephant "
    "bear rabbit tree flower leaf plant grass fruit apple banana orange lemon tomato pepper "
    "potato carrot onion mushroom bread cake cheese egg soup salad meal drink bottle cup glass "
    "plate bowl fork knife spoon pan jar can box bag basket car bus truck train bicycle "
    "motorcycle boat plane road bridge house building tower church shop street sign fence gate "
    "door window wall stairs roof room kitchen bathroom bed chair table sofa lamp mirror clock "
    "shelf cupboard curtain carpet pillow blanket shirt t-shirt sweater jacket coat dress skirt "
    "trousers jeans shorts sock shoe sandal boot heel hat cap scarf glove belt watch ring "
    "necklace earring sunglasses handbag backpack wallet umbrella suit tie underwear swimsuit "
    "guitar piano drum violin book newspaper pen paper computer keyboard screen phone camera "
    "television radio ball racket bat skateboard surfboard ski sled swing slide toy doll puzzle "
    "balloon candle vase pot bucket hammer screw wheel engine machine tool rope ladder tent "
    "fire smoke water river lake sea beach wave rock stone sand snow ice mountain hill forest "
    "field garden park sky cloud sun moon star rain "
)
_LOOKS_TEXT = (
    "red blue green yellow orange purple pink brown black white grey beige gold silver dark "
    "bright pale colourful striped dotted checked plain patterned printed shiny matte "
    "transparent wooden metal plastic glass leather cotton woollen knitted denim paper stone "
    "round square long short tall wide narrow thick thin large small tiny old new broken clean "
    "dirty wet dry soft hard smooth rough folded open closed empty full simple decorated "
    "elegant casual sporty formal "
)
_PLACES = (
    "indoors",
    "outdoors",
    "in the city",
    "in the country",
    "at night",
    "in daylight",
    "in the snow",
    "in the rain",
    "under water",
    "at the beach",
    "on a table",
    "on the floor",
    "on a shelf",
    "on a white background",
    "in front of a wall",
    "in a shop",
    "in a kitchen",
    "in a crowd",
    "on the grass",
    "on a street",
)
_DOINGS_TEXT = (
    "standing sitting lying walking running jumping climbing swimming flying riding driving "
    "eating drinking cooking playing dancing singing reading writing working sleeping smiling "
    "laughing looking pointing holding carrying throwing catching pulling pushing fighting "
    "hugging waiting "
)
_PICTURES = (
    "a photo of {}",
    "a painting of {}",
    "a cartoon of {}",
    "a pencil sketch of {}",
    "a close-up of {}",
    "a catalogue picture of {}",
)


_THINGS, _LOOKS, _DOINGS = (text.split() for text in (_THINGS_TEXT, _LOOKS_TEXT, _DOINGS_TEXT))


def neutral_phrases() -> tuple[str, ...]:
    """About 800 distinct phrases, always in the same order."""
    things = [f"a {thing}" for thing in _THINGS]
    pictured = [
        _PICTURES[place % len(_PICTURES)].format(thing) for place, thing in enumerate(things)
    ]
    looking = [f"a {_LOOKS[place % len(_LOOKS)]} {thing}" for place, thing in enumerate(_THINGS)]
    looks = [f"something {look}" for look in _LOOKS]
    doings = [f"somebody {doing}" for doing in _DOINGS]
    several = [f"many {thing}s" for thing in _THINGS[:20]]
    return tuple(dict.fromkeys([*things, *pictured, *looking, *looks, *_PLACES, *doings, *several]))
