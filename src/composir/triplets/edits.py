"""Edits that make a target out of any picture, with the words that ask for it.

A recoloured, multiplied, darkened or drawn copy differs from its original in exactly what the words
say and in nothing else: triplets with an exact target, without labels, captions or a language
model. They are no photographs; they teach what a word changes and what it leaves alone. [ours]

Edits of the thing itself (its colour, a pattern, its number, what is behind it) need to know where
it is, and are made only where a plain border gives it away; the others fit every picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter, ImageOps

from composir.triplets.words import with_article

Pixels: TypeAlias = NDArray[np.float32]
Draw: TypeAlias = np.random.Generator
PLAIN_BORDER = 18.0
SIDE = 320

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (200, 30, 35),
    "blue": (40, 80, 190),
    "navy blue": (28, 36, 84),
    "green": (45, 140, 60),
    "olive": (110, 110, 45),
    "yellow": (240, 205, 50),
    "orange": (240, 130, 35),
    "purple": (120, 50, 150),
    "pink": (245, 140, 180),
    "brown": (115, 70, 40),
    "beige": (222, 202, 166),
    "maroon": (110, 25, 40),
    "turquoise": (60, 190, 190),
    "grey": (135, 135, 135),
    "black": (28, 28, 30),
    "white": (244, 244, 242),
}
COLOUR_WORDS = (
    "in {}",
    "but in {}",
    "make it {}",
    "{a} one",
    "coloured {}",
    "the same in {}",
    "in {} instead",
    "the {} version",
    "{}",
)


@dataclass(frozen=True, slots=True)
class Edited:
    """A target, RGB, the words that ask for it, and the edit, e.g. `recolour/red`."""

    picture: Image.Image
    words: str
    name: str


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture prepared for edits.

    Attributes:
        rgb: Shrunk to at most `SIDE` pixels.
        mask: (h, w) float32, 0 to 1, where the thing is; None where the border is not plain.
        behind: Colour of the border.
    """

    rgb: Image.Image
    mask: Pixels | None
    behind: Pixels


Edit: TypeAlias = Callable[[Scene, Draw], Edited]


def prepare_scene(rgb: Image.Image) -> Scene:
    """Shrink a picture and find the thing in front of a plain border, if it has one."""
    small = rgb.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = np.asarray(small, dtype=np.float32)
    edge = np.concatenate([pixels[:4].reshape(-1, 3), pixels[-4:].reshape(-1, 3)])
    edge = np.concatenate([edge, pixels[:, :4].reshape(-1, 3), pixels[:, -4:].reshape(-1, 3)])
    behind = np.median(edge, axis=0)
    plain = float(np.mean(np.abs(edge - behind).max(axis=1) < PLAIN_BORDER)) > 0.85
    return Scene(small, _mask(pixels, behind) if plain else None, behind)


def apply_edit(scene: Scene, draw: Draw) -> Edited:
    """Apply one edit that fits the picture, drawn at random."""
    fitting = [*WHOLE.values(), *(THING.values() if scene.mask is not None else ())]
    # Where the thing is known, its own edits are what people ask for most.
    weights = np.array([1.0] * len(WHOLE) + [2.5] * (len(fitting) - len(WHOLE)))
    edit: Edit = fitting[int(draw.choice(len(fitting), p=weights / weights.sum()))]
    return edit(scene, draw)


def recolour(scene: Scene, draw: Draw) -> Edited:
    """Dye the thing: its light and shade stay, its hue goes."""
    name = one_of(tuple(COLOURS), draw)
    pixels, mask = _pixels(scene), _masked(scene)
    dyed = dye(pixels, mask, np.array(COLOURS[name], dtype=np.float32))
    return Edited(
        blended(pixels, dyed, mask), _filled(COLOUR_WORDS, name, draw), f"recolour/{name}"
    )


def pattern(scene: Scene, draw: Draw) -> Edited:
    """Paint stripes, dots or checks on the thing."""
    kinds = {
        "stripes": ("with stripes", "striped", "with a striped pattern"),
        "dots": ("with dots", "with polka dots", "dotted"),
        "checks": ("with checks", "chequered", "in a check pattern"),
    }
    kind = one_of(tuple(kinds), draw)
    pixels, mask = _pixels(scene), _masked(scene)
    ink = np.array(COLOURS[one_of(tuple(COLOURS), draw)], dtype=np.float32)
    painted = dye(pixels, mask, ink)
    where = mask * figure(kind, mask.shape, float(draw.uniform(14, 30)))
    return Edited(blended(pixels, painted, where), one_of(kinds[kind], draw), f"pattern/{kind}")


def several(scene: Scene, draw: Draw) -> Edited:
    """Put two or three of the thing side by side."""
    count = int(draw.integers(2, 4))
    words = {
        2: ("two of them", "a pair of them", "show two", "a second one beside it"),
        3: ("three of them", "a group of three", "show three"),
    }
    width, height = scene.rgb.size
    canvas = Image.new("RGB", (width, height), _colour(scene.behind))
    box = Image.fromarray((_masked(scene) > 0.5).astype(np.uint8) * 255).getbbox()
    thing = scene.rgb.crop(box) if box else scene.rgb
    scale = min(0.92 * width / count / thing.width, 0.92 * height / thing.height)
    size = (max(1, int(thing.width * scale)), max(1, int(thing.height * scale)))
    copy = thing.resize(size, Image.Resampling.BICUBIC)
    for place in range(count):
        left = int((place + 0.5) * width / count - copy.width / 2)
        canvas.paste(copy, (left, (height - copy.height) // 2))
    return Edited(canvas, one_of(words[count], draw), f"several/{count}")


def background(scene: Scene, draw: Draw) -> Edited:
    """Change the colour behind the thing."""
    name = one_of(tuple(COLOURS), draw)
    words = ("on {a} background", "in front of {a} wall", "with {} behind it")
    pixels, mask = _pixels(scene), _masked(scene)
    wall = np.broadcast_to(np.array(COLOURS[name], dtype=np.float32), pixels.shape)
    shade = np.linspace(1.0, float(draw.uniform(0.7, 1.0)), pixels.shape[0], dtype=np.float32)
    picture = blended(pixels, wall * shade[:, None, None], 1.0 - mask)
    return Edited(picture, _filled(words, name, draw), f"background/{name}")


def further(scene: Scene, draw: Draw) -> Edited:
    """Make the thing smaller in the frame."""
    width, height = scene.rgb.size
    scale = float(draw.uniform(0.4, 0.6))
    copy = scene.rgb.resize((int(width * scale), int(height * scale)), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (width, height), _colour(scene.behind))
    canvas.paste(copy, ((width - copy.width) // 2, (height - copy.height) // 2))
    words = ("from further away", "smaller in the picture", "with more space around it")
    return Edited(canvas, one_of(words, draw), "further")


def night(scene: Scene, draw: Draw) -> Edited:
    """Darken, and keep a little blue."""
    pixels = _pixels(scene) / 255.0
    dark = pixels ** float(draw.uniform(1.6, 2.2)) * float(draw.uniform(0.3, 0.5))
    tinted = dark * np.array([0.75, 0.85, 1.15], dtype=np.float32) * 255.0
    words = ("at night", "but at night", "in the dark", "after dark", "in a dark room")
    return Edited(_image(tinted), one_of(words, draw), "night")


def warm_light(scene: Scene, draw: Draw) -> Edited:
    """Light of a lamp or of a low sun."""
    tinted = _pixels(scene) * np.array([1.12, 0.93, 0.62], dtype=np.float32)
    words = ("in warm light", "at sunset", "by lamp light", "in golden light")
    return Edited(_image(tinted), one_of(words, draw), "warm light")


def black_and_white(scene: Scene, draw: Draw) -> Edited:
    """Take all colour away."""
    words = ("in black and white", "as a black and white photo", "without colour", "monochrome")
    return Edited(
        ImageOps.grayscale(scene.rgb).convert("RGB"), one_of(words, draw), "black and white"
    )


def sketch(scene: Scene, draw: Draw) -> Edited:
    """Dark lines on paper: grey divided by its own blur."""
    grey = ImageOps.grayscale(scene.rgb)
    blurred = np.asarray(
        grey.filter(ImageFilter.GaussianBlur(float(draw.uniform(2, 5)))), np.float32
    )
    ratio = np.asarray(grey, dtype=np.float32) / np.maximum(blurred, 1.0)
    lines = np.clip(ratio, 0.0, 1.0) ** float(draw.uniform(3, 6)) * 255.0
    words = (
        "as a sketch",
        "as a pencil drawing",
        "drawn in pencil",
        "as a line drawing",
        "sketched",
    )
    return Edited(_image(np.repeat(lines[..., None], 3, axis=2)), one_of(words, draw), "sketch")


def cartoon(scene: Scene, draw: Draw) -> Edited:
    """Few flat, bright colours and dark outlines."""
    smooth = scene.rgb.filter(ImageFilter.MedianFilter(7))
    flat = ImageOps.posterize(smooth, int(draw.integers(2, 4))).filter(ImageFilter.ModeFilter(5))
    edges = (
        ImageOps.grayscale(smooth).filter(ImageFilter.FIND_EDGES).filter(ImageFilter.MaxFilter(3))
    )
    outline = edges.point(lambda level: 0 if level > 48 else 255).convert("RGB")
    words = ("as a cartoon", "drawn as a cartoon", "as a comic", "like a cartoon drawing")
    bright = _image(np.asarray(flat, dtype=np.float32) * 1.2 + 12.0)
    return Edited(ImageChops.multiply(bright, outline), one_of(words, draw), "cartoon")


def painting(scene: Scene, draw: Draw) -> Edited:
    """Broad strokes: the most frequent colour of each neighbourhood, on a rough ground."""
    strokes = scene.rgb.filter(ImageFilter.ModeFilter(int(draw.choice([7, 9, 11]))))
    ground = draw.normal(0.0, 9.0, (strokes.height // 2 + 1, strokes.width // 2 + 1))
    canvas = np.kron(ground, np.ones((2, 2)))[: strokes.height, : strokes.width, None]
    rough = np.asarray(strokes, dtype=np.float32) * 1.03 + canvas.astype(np.float32)
    words = ("as a painting", "as an oil painting", "painted", "painted in oil")
    return Edited(_image(rough), one_of(words, draw), "painting")


def closer(scene: Scene, draw: Draw) -> Edited:
    """Crop the middle."""
    width, height = scene.rgb.size
    keep = float(draw.uniform(0.4, 0.6))
    left, top = int(width * (1 - keep) / 2), int(height * (1 - keep) / 2)
    crop = scene.rgb.crop((left, top, width - left, height - top))
    words = ("closer", "from closer", "as a close-up", "show a detail")
    return Edited(
        crop.resize((width, height), Image.Resampling.BICUBIC), one_of(words, draw), "closer"
    )


BACK: Mapping[str, tuple[str, ...]] = {
    "several": ("only one of them", "a single one", "just one", "show one alone"),
    "pattern": ("plain", "without a pattern", "unpatterned", "in a solid colour"),
    "black and white": ("in full colour", "in colour"),
    "night": ("in the daytime", "by day", "in daylight"),
    "closer": ("from further away", "from a distance", "zoomed out"),
    "further": ("from closer", "as a close-up", "zoomed in"),
    "sketch": ("as a photograph", "as a real photo"),
    "cartoon": ("as a photograph", "as a real photo"),
    "painting": ("as a photograph", "as a real photo"),
}
"""What asks for the original of an edited copy, by edit, where words can."""

WHOLE: Mapping[str, Edit] = {
    "night": night,
    "warm light": warm_light,
    "black and white": black_and_white,
    "sketch": sketch,
    "cartoon": cartoon,
    "painting": painting,
    "closer": closer,
}
THING: Mapping[str, Edit] = {
    "recolour": recolour,
    "recolour again": recolour,
    "pattern": pattern,
    "several": several,
    "background": background,
    "further": further,
}


def _mask(pixels: Pixels, behind: Pixels) -> Pixels | None:
    """Soft mask of what differs from the border's colour; None if that is nearly nothing or all."""
    distance = np.abs(pixels - behind).max(axis=2)
    mask = np.clip((distance - 8.0) / 24.0, 0.0, 1.0)
    closed = Image.fromarray((mask * 255).astype(np.uint8))
    closed = closed.filter(ImageFilter.MaxFilter(7)).filter(ImageFilter.MinFilter(7))
    filled = np.asarray(closed, dtype=np.float32) / 255.0
    return filled if 0.04 < float(filled.mean()) < 0.9 else None


def dye(pixels: Pixels, mask: Pixels, colour: Pixels) -> Pixels:
    """Give pixels a colour's hue and mean brightness, keeping their shading."""
    grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    inside = grey[mask > 0.5]
    middle = float(np.median(inside)) if inside.size else 128.0
    shade = np.clip((grey + 24.0) / (middle + 24.0), 0.25, 1.8)[..., None]
    dark, light = np.minimum(shade, 1.0), np.maximum(shade - 1.0, 0.0)
    return np.asarray(colour * dark + (255.0 - colour) * light * 0.6, dtype=np.float32)


def figure(kind: str, shape: tuple[int, ...], period: float) -> Pixels:
    """Where stripes, dots or checks are, (h, w) of 0 and 1."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(period)
    if kind == "stripes":
        return np.asarray((columns + 0.3 * rows) % 1.0 < 0.5, dtype=np.float32)
    if kind == "checks":
        return np.asarray((np.floor(rows) + np.floor(columns)) % 2, dtype=np.float32)
    return np.asarray(np.hypot(rows % 1.0 - 0.5, columns % 1.0 - 0.5) < 0.3, dtype=np.float32)


def blended(below: Pixels, above: Pixels, mask: Pixels) -> Image.Image:
    """One picture over another, as far as a mask (h, w) says."""
    return _image(below + (above - below) * mask[..., None])


def _masked(scene: Scene) -> Pixels:
    if scene.mask is None:
        raise ValueError("this edit needs to know where the thing is, and the border is not plain")
    return scene.mask


def _pixels(scene: Scene) -> Pixels:
    return np.asarray(scene.rgb, dtype=np.float32)


def _image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.clip(pixels, 0.0, 255.0).astype(np.uint8))


def _colour(values: Pixels) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _filled(forms: tuple[str, ...], name: str, draw: Draw) -> str:
    """One of some forms with a colour in its place, after the right article: "an olive wall"."""
    return one_of(forms, draw).format(name, a=with_article(name))


def one_of(choices: tuple[str, ...], draw: Draw) -> str:
    """Draw one."""
    return choices[draw.integers(len(choices))]
