"""Materials as shader nodes: what a thing is made of, its colour and its pattern.

Colours are given as sRGB and chosen so that the finished picture reads as the colour's name.
"""

from __future__ import annotations

from typing import Any

import bpy

Colour = tuple[float, float, float]

#: sRGB values of the colour words.
SRGB: dict[str, str] = {
    "red": "#c4161c",
    "orange": "#ee7411",
    "yellow": "#f5c90a",
    "green": "#1f8a3b",
    "blue": "#1b4fc4",
    "purple": "#6f2fa0",
    "pink": "#f07fae",
    "white": "#eeeeec",
    "black": "#08080a",
}

#: Base colour and roughness of the metals.
METALS: dict[str, tuple[Colour, float]] = {
    "brass": ((0.80, 0.52, 0.14), 0.22),
    "copper": ((0.82, 0.33, 0.18), 0.2),
    "steel": ((0.62, 0.63, 0.65), 0.24),
}

#: Roughness, coat and sheen of the materials that take any colour.
SURFACES: dict[str, tuple[float, float, float]] = {
    "ceramic": (0.22, 0.6, 0.0),
    "plastic": (0.38, 0.1, 0.0),
    "fabric": (0.95, 0.0, 0.4),
    "leather": (0.42, 0.15, 0.0),
    "cardboard": (0.7, 0.0, 0.0),
}

#: Plain helpers that are the same on every thing: sRGB colour and roughness.
FIXED: dict[str, tuple[str, float]] = {
    "dark": ("#101012", 0.5),
    "dark-wood": ("#2d1a10", 0.45),
    "earth": ("#2e1c12", 0.95),
    "leaf": ("#2f7a34", 0.55),
    "leaf-dark": ("#1c5526", 0.7),
    "petal": ("#e85a9b", 0.6),
    "wax": ("#f3ead6", 0.5),
    "cork": ("#b98a58", 0.9),
    "tan": ("#a8672f", 0.5),
    "face": ("#f4f2ec", 0.5),
}


def linear(srgb: str) -> tuple[float, float, float, float]:
    """A hex colour as linear RGBA, the form that shaders take."""
    channels = [int(srgb[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return (r, g, b, 1.0)


class Nodes:
    """A short way to write a node tree: `n.add(type, input=value or socket)` returns an output."""

    def __init__(self, material: bpy.types.Material | bpy.types.World) -> None:
        material.use_nodes = True
        self.tree = material.node_tree
        self.tree.nodes.clear()

    def add(self, kind: str, *sockets: Any, out: int = 0, **settings: Any) -> Any:
        """Adds a node, connects its inputs in order (None skips one), returns one output."""
        node = self.tree.nodes.new(f"ShaderNode{kind}")
        inputs = settings.pop("inputs", {})
        for name, value in settings.items():
            setattr(node, name, value)
        for key, value in [*enumerate(sockets), *inputs.items()]:
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            elif value is not None:
                node.inputs[key].default_value = value
        return node.outputs[out] if node.outputs else None

    def math(self, operation: str, *values: Any) -> Any:
        """A Math node."""
        return self.add("Math", *values, operation=operation)

    def mix(self, factor: Any, a: Any, b: Any) -> Any:
        """Mixes two colours."""
        return self.add("MixRGB", factor, a, b)

    def ramp(self, factor: Any, stops: list[tuple[float, str]]) -> Any:
        """Maps a value to colours between the given stops."""
        out = self.add("ValToRGB", factor)
        elements = out.node.color_ramp.elements
        while len(elements) < len(stops):
            elements.new(0.5)
        for element, (position, colour) in zip(elements, stops, strict=True):
            element.position, element.color = position, linear(colour)
        return out

    def finish(self, shader: Any, output: str = "OutputMaterial") -> None:
        """Makes the shader the result."""
        self.add(output, shader)

    def principled(self, colour: Any, roughness: Any, **inputs: Any) -> Any:
        """A Principled BSDF; extra inputs by name with `_` for spaces."""
        named = {key.replace("_", " "): value for key, value in inputs.items()}
        return self.add(
            "BsdfPrincipled", inputs={"Base Color": colour, "Roughness": roughness, **named}
        )


def fixed(slot: str) -> bpy.types.Material:
    """The material of a helper slot such as `leaf`, `flame` or `ribbon`."""
    made = bpy.data.materials.new(slot)
    n = Nodes(made)
    if slot == "flame":
        n.finish(n.add("Emission", linear("#ffb050"), 6.0))
    elif slot == "bulb":
        n.finish(n.add("Emission", linear("#ffd9a0"), 8.0))
    elif slot == "metal":
        n.finish(n.principled((0.80, 0.55, 0.2, 1), 0.25, Metallic=1.0))
    else:
        colour, roughness = FIXED[slot]
        n.finish(n.principled(linear(colour), roughness))
    return made


def body(colour: str, material: str, pattern: str) -> bpy.types.Material:
    """The material that the attributes speak about."""
    made = bpy.data.materials.new(f"{colour} {material} {pattern}")
    n = Nodes(made)
    if material == "wood":
        n.finish(wood(n, ["#8a5a2e", "#6b3f1c", "#a8743f"]))
    elif material in METALS:
        rgb, roughness = METALS[material]
        n.finish(n.principled((*rgb, 1), roughness, Metallic=1.0))
    elif material == "glass":
        n.finish(_glass(n, colour))
    else:
        n.finish(_coated(n, material, _patterned(n, colour, pattern)))
    return made


def shade(colour: str, pattern: str) -> bpy.types.Material:
    """Cloth of a lamp shade: like fabric, and light shines through."""
    made = bpy.data.materials.new("shade")
    n = Nodes(made)
    cloth = _patterned(n, colour, pattern)
    n.finish(n.add("MixShader", 0.35, n.add("BsdfDiffuse", cloth), n.add("BsdfTranslucent", cloth)))
    return made


def _coated(n: Nodes, material: str, colour: Any) -> Any:
    roughness, coat, sheen = SURFACES[material]
    inputs: dict[str, Any] = {"Coat_Weight": coat, "Coat_Roughness": 0.05, "Sheen_Weight": sheen}
    if material in ("fabric", "leather"):
        inputs["Normal"] = _grain(n, 90.0 if material == "fabric" else 45.0,
                                  0.25 if material == "fabric" else 0.12)  # fmt: skip
    return n.principled(colour, roughness, **inputs)


def _grain(n: Nodes, scale: float, strength: float) -> Any:
    place = n.add("TexCoord", out=3)
    noise = n.add("TexNoise", inputs={"Vector": place, "Scale": scale, "Detail": 2.0})
    return n.add("Bump", inputs={"Strength": strength, "Distance": 0.03, "Height": noise})


def _glass(n: Nodes, colour: str) -> Any:
    """Tinted glass whose shadow lets light through, as a renderer without caustics needs."""
    tint = linear(SRGB[colour])
    # Light crosses four surfaces of a hollow thing, so each takes only a root of the tint.
    clear = tuple(c ** (0.13 if colour == "pink" else 0.2) for c in tint[:3])
    glass = n.add("BsdfGlass", (*clear, 1), 0.0, 1.45)
    # A little opacity keeps blue glass blue in front of a yellow wall.
    tinted = n.add("MixShader", 0.22, glass, n.principled(tint, 0.1))
    shadow = n.add("BsdfTransparent", (*(0.35 + 0.65 * c for c in tint[:3]), 1.0))
    is_shadow = n.add("LightPath", out=1)
    return n.add("MixShader", is_shadow, tinted, shadow)


def _patterned(n: Nodes, colour: str, pattern: str) -> Any:
    """The colour, or a mix of it and white (grey on white things), cell by cell."""
    first = linear(SRGB[colour])
    if pattern == "plain":
        return first
    # White takes grey: black would make the same checks as a black thing with white.
    second = linear("#7d8086" if colour == "white" else "#f4f4f0")
    parts = n.add("SeparateXYZ", n.add("TexCoord", out=2))
    u, v = parts, parts.node.outputs[1]
    masks = {"striped": lambda n, _, v: _stripes(n, v), "dotted": _dots, "checked": _checks}
    return n.mix(masks[pattern](n, u, v), first, second)


def _stripes(n: Nodes, v: Any) -> Any:
    half = n.math("MULTIPLY", v, 0.5)
    return n.math("GREATER_THAN", n.math("FRACT", half), 0.5)


def _dots(n: Nodes, u: Any, v: Any) -> Any:
    """Dots on a staggered grid: every other row is shifted by half a cell."""
    u, v = n.math("MULTIPLY", u, 0.5), n.math("MULTIPLY", v, 0.577)
    odd = n.math("FLOORED_MODULO", n.math("FLOOR", v), 2.0)
    shifted = n.math("ADD", u, n.math("MULTIPLY", odd, 0.5))
    x = n.math("MULTIPLY", n.math("SUBTRACT", n.math("FRACT", shifted), 0.5), 1.15)
    y = n.math("SUBTRACT", n.math("FRACT", v), 0.5)
    square = n.math("ADD", n.math("MULTIPLY", x, x), n.math("MULTIPLY", y, y))
    return n.math("LESS_THAN", square, 0.29**2)


def _checks(n: Nodes, u: Any, v: Any) -> Any:
    total = n.math("ADD", n.math("FLOOR", u), n.math("FLOOR", v))
    return n.math("FLOORED_MODULO", total, 2.0)


def wood(n: Nodes, tones: list[str], scale: float = 1.0, place: Any = None) -> Any:
    """Wood with grain along z (or along x of the coordinates given)."""
    stretch = (14.0, 14.0, 1.1) if place is None else (0.9, 14.0, 14.0)
    place = n.add("TexCoord", out=3) if place is None else place
    size = tuple(s * scale for s in stretch)
    along = n.add("Mapping", inputs={"Vector": place, "Scale": size})
    noise = n.add("TexNoise", inputs={"Vector": along, "Scale": 1.0, "Detail": 5.0,
                                      "Distortion": 0.6})  # fmt: skip
    colour = n.ramp(noise, [(0.33, tones[1]), (0.5, tones[0]), (0.66, tones[2])])
    return n.principled(colour, 0.42, Coat_Weight=0.12)
