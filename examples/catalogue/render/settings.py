"""Settings: what a thing stands on, what is behind it, and how it is lit.

The camera always looks along +y; a thing turns, the camera only rises. All things are about one
unit tall, so a chair and a mug get the same light.
"""

from __future__ import annotations

import math
import random
from typing import Any

import bpy
import meshes
from materials import Nodes, linear, wood

#: Paper colours of the seamless studio backdrops.
PAPER: dict[str, str] = {
    "white-studio": "#f6f6f5",
    "grey-studio": "#8d8f92",
    "yellow-wall": "#efc233",
    "blue-wall": "#3f7fc8",
}


def build(setting: str, light: str, rng: random.Random) -> None:
    """Adds floor, background and lamps of a setting.

    Args:
        setting: A name of `vocabulary.SETTINGS`.
        light: "soft" or "hard" in the studio; elsewhere the setting's own.
        rng: Source of the small differences between pictures.
    """
    if setting in PAPER:
        _sweep(_paper(PAPER[setting]))
        _studio(light, rng)
    elif setting == "marble":
        _marble()
        _studio(light, rng)
    else:
        PLACES[setting](rng)


def _paper(colour: str) -> bpy.types.Material:
    made = bpy.data.materials.new("paper")
    n = Nodes(made)
    n.finish(n.principled(linear(colour), 0.9))
    return made


def _sweep(material: bpy.types.Material) -> None:
    """Floor and wall in one sheet with a round corner, as photographers hang paper."""
    corner = [(3.2 + 1.5 * math.sin(a), 1.5 - 1.5 * math.cos(a))
              for a in (math.pi / 2 * i / 16 for i in range(17))]  # fmt: skip
    line = [(-12.0, 0.0), *corner, (4.7, 14.0)]
    verts = [(x, y, z) for y, z in line for x in (-16.0, 16.0)]
    faces = [[2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2] for i in range(len(line) - 1)]
    meshes.add_mesh(verts, faces).data.materials.append(material)


def _plane(material: bpy.types.Material, y: tuple[float, float], z: float = 0.0) -> None:
    verts = [(-30.0, y[0], z), (30.0, y[0], z), (30.0, y[1], z), (-30.0, y[1], z)]
    meshes.add_mesh(verts, [[0, 1, 2, 3]], smooth=False).data.materials.append(material)


def _wall(material: bpy.types.Material, y: float) -> None:
    verts = [(-30.0, y, -1.0), (30.0, y, -1.0), (30.0, y, 18.0), (-30.0, y, 18.0)]
    meshes.add_mesh(verts, [[0, 1, 2, 3]], smooth=False).data.materials.append(material)


def _area(at: meshes.Point3, size: float, watts: float, colour: str = "#ffffff") -> None:
    """A square soft box that looks at the things."""
    data = bpy.data.lights.new("area", "AREA")
    data.size, data.energy, data.color = size, watts, linear(colour)[:3]
    lamp = bpy.data.objects.new("area", data)
    lamp.location = at
    aim = meshes.Vector((0, 0, 0.4)) - meshes.Vector(at)
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = aim.to_track_quat("-Z", "Y")
    bpy.context.scene.collection.objects.link(lamp)


def _sun(degrees: tuple[float, float], strength: float, colour: str, soft: float) -> None:
    """A sun, given by its angle from the zenith and its bearing; `soft` is its width in degrees."""
    data = bpy.data.lights.new("sun", "SUN")
    data.energy, data.color, data.angle = strength, linear(colour)[:3], math.radians(soft)
    lamp = bpy.data.objects.new("sun", data)
    lamp.rotation_euler = (math.radians(degrees[0]), 0, math.radians(degrees[1]))
    bpy.context.scene.collection.objects.link(lamp)


def _world(low: str, high: str, strength: float) -> None:
    """Sky: a gradient from the horizon up."""
    world = bpy.data.worlds.new("sky")
    # Sampling the sky as a lamp costs a second a picture and gains nothing: it is smooth.
    world.cycles.sampling_method = "NONE"
    bpy.context.scene.world = world
    n = Nodes(world)
    up = n.add("SeparateXYZ", n.add("TexCoord"), out=2)
    colour = n.ramp(up, [(0.0, low), (0.45, high)])
    n.finish(n.add("Background", colour, strength), "OutputWorld")


def _studio(light: str, rng: random.Random) -> None:
    side = rng.choice((-1, 1))
    if light == "hard":
        _world("#ffffff", "#ffffff", 0.22)
        _sun((52, side * 58), 4.2, "#fff4e2", 0.8)
        return
    _world("#ffffff", "#ffffff", 0.42)
    _area((side * rng.uniform(3.0, 3.6), -2.4, 3.8), 2.6, rng.uniform(330, 370))
    _area((-side * 4.0, -1.5, 2.4), 3.0, 90)
    _area((0, 1.5, 5.0), 2.5, 120)


def _planks(tones: list[str], roughness_of: str) -> bpy.types.Material:
    """Boards side by side, each with its own piece of grain."""
    made = bpy.data.materials.new(roughness_of)
    n = Nodes(made)
    place = n.add("TexCoord", out=3)
    parts = n.add("SeparateXYZ", place)
    board = n.math("FLOOR", n.math("MULTIPLY", parts.node.outputs[1], 1.35))
    shift = n.add("CombineXYZ", n.math("MULTIPLY", board, 7.31), 0.0, board)
    shader = wood(n, tones, 0.55, n.add("VectorMath", place, shift, operation="ADD"))
    seam = n.math("FRACT", n.math("MULTIPLY", parts.node.outputs[1], 1.35))
    dark = n.add("BsdfDiffuse", linear("#2c1a0e"))
    n.finish(n.add("MixShader", n.math("LESS_THAN", seam, 0.02), shader, dark))
    return made


def _wooden_table(rng: random.Random) -> None:
    """Boards, and a softly lit room far behind."""
    _plane(_planks(["#b98550", "#9c6a3a", "#cc9d69"], "table"), (-12, 4.2))
    _wall(_paper("#d9d2c4"), 9.0)
    for x, colour in ((-4.2, "#8fa39a"), (3.6, "#b9a48a")):
        made = meshes.box((2.6, 0.6, 5.0), (x + rng.uniform(-0.6, 0.6), 8.4, 1.2))
        made.data.materials.append(_paper(colour))
    _world("#fff6ea", "#ffffff", 0.45)
    side = rng.choice((-1, 1))
    _area((side * 3.8, -1.0, 3.4), 2.4, 360, "#fff5e6")
    _area((-side * 4.0, -2.5, 2.6), 3.0, 90)
    _area((0.0, 6.0, 6.0), 4.0, 260)


def _marble() -> None:
    """White stone with grey veins before a pale wall."""
    made = bpy.data.materials.new("marble")
    n = Nodes(made)
    place = n.add("TexCoord", out=3)
    bend = n.add("TexNoise", inputs={"Vector": place, "Scale": 0.55, "Detail": 5.0,
                                     "Distortion": 1.4})  # fmt: skip
    vein = n.math("ABSOLUTE", n.math("SUBTRACT", bend, 0.5))
    colour = n.ramp(vein, [(0.0, "#a3a6ab"), (0.014, "#cfd0d2"), (0.05, "#e9e9e7")])
    n.finish(n.principled(colour, 0.16))
    _plane(made, (-12, 3.0))
    _wall(_paper("#c9d3d0"), 6.0)


def _brick_wall(rng: random.Random) -> None:
    """Red bricks behind a concrete ledge."""
    made = bpy.data.materials.new("brick")
    n = Nodes(made)
    place = n.add("TexCoord", out=3)
    flat = n.add("Mapping", inputs={"Vector": place, "Rotation": (math.pi / 2, 0, 0)})
    texture = n.add("TexBrick", inputs={
        "Vector": flat, "Color1": linear("#93442f"), "Color2": linear("#743223"),
        "Mortar": linear("#b5aca0"), "Scale": 1.5, "Mortar Size": 0.018})  # fmt: skip
    height = n.math("SUBTRACT", 1.0, texture.node.outputs[1])
    bump = n.add("Bump", inputs={"Strength": 0.6, "Distance": 0.05, "Height": height})
    n.finish(n.principled(texture, 0.85, Normal=bump))
    _wall(made, 1.9)
    _plane(_speckled("#8f8c87", "#a5a29c", 9.0), (-12, 1.95))
    _world("#ffffff", "#ffffff", 0.4)
    _area((rng.choice((-1, 1)) * 3.2, -3.0, 4.0), 2.0, 480, "#fff6ea")


def _speckled(dark: str, bright: str, scale: float, bump: float = 0.1) -> bpy.types.Material:
    made = bpy.data.materials.new("speckled")
    n = Nodes(made)
    place = n.add("TexCoord", out=3)
    noise = n.add("TexNoise", inputs={"Vector": place, "Scale": scale, "Detail": 8.0})
    colour = n.ramp(noise, [(0.35, dark), (0.65, bright)])
    normal = n.add("Bump", inputs={"Strength": bump, "Distance": 0.1, "Height": noise})
    n.finish(n.principled(colour, 0.9, Normal=normal))
    return made


def _night(rng: random.Random) -> None:
    """A dark room: one warm lamp from the side, lights of the town in the window."""
    _plane(_planks(["#8a5c34", "#6d4424", "#9c6c40"], "night table"), (-12, 4.2))
    _wall(_paper("#1c2438"), 12.0)
    _world("#1b2440", "#0b1020", 0.35)
    side = rng.choice((-1, 1))
    _area((side * 2.6, -1.6, 2.3), 0.7, 290, "#ffbd7c")
    _area((-side * 3.4, 2.4, 2.6), 1.5, 80, "#7f98ff")
    for _ in range(16):
        spot = meshes.ball(rng.uniform(0.05, 0.1), (rng.uniform(-4, 4), 10.5, rng.uniform(-2.2, 4)))
        spot.data.materials.append(_glow(rng.choice(("#ffb050", "#ff8a3c", "#ffe0a0", "#8fb6ff"))))


def _glow(colour: str) -> bpy.types.Material:
    made = bpy.data.materials.new("glow")
    n = Nodes(made)
    n.finish(n.add("Emission", linear(colour), 14.0))
    return made


def _lawn(rng: random.Random) -> None:
    """Grass in the sun, a hedge far behind."""
    grass = bpy.data.objects.new("grass", _grass_mesh())
    bpy.context.scene.collection.objects.link(grass)
    _plane(_speckled("#2c5a1c", "#3f7426", 3.0), (-12, 14), z=-0.02)
    _wall(_speckled("#27501f", "#5d8c3f", 0.9), 14.0)
    _world("#dcecf8", "#7fb4ea", 0.75)
    _sun((46, rng.choice((-1, 1)) * rng.uniform(35, 60)), 3.6, "#fff1d6", 1.5)


def _grass_mesh() -> bpy.types.Mesh:
    """Blades of grass, made once and kept for all the pictures."""
    if "grass" in bpy.data.meshes:
        return bpy.data.meshes["grass"]
    rng = random.Random("grass")
    verts: list[Any] = []
    for _ in range(60000):
        # More blades near the camera: depth is drawn evenly in perspective, not in metres.
        y = -4.0 + 14.0 * rng.random() ** 1.6
        x, a = rng.uniform(-1, 1) * (3.0 + 0.35 * (y + 4)), rng.uniform(0, math.pi)
        wide, high, lean = rng.uniform(0.008, 0.016), rng.uniform(0.05, 0.13), rng.gauss(0, 0.05)
        dx, dy = wide * math.cos(a), wide * math.sin(a)
        verts += [(x - dx, y - dy, -0.02), (x + dx, y + dy, -0.02)]
        verts += [(x + lean, y + rng.gauss(0, 0.04), high)]
    mesh = bpy.data.meshes.new("grass")
    mesh.from_pydata(verts, [], [[i, i + 1, i + 2] for i in range(0, len(verts), 3)])
    mesh.materials.append(_speckled("#3d7a22", "#6aa636", 5.0, bump=0.0))
    mesh.materials[0].use_fake_user = mesh.use_fake_user = True
    return mesh


def _beach(rng: random.Random) -> None:
    """Sand, the sea and a bright sky."""
    _plane(_speckled("#cfb283", "#e6cfa3", 7.0, bump=0.35), (-12, 6.5))
    sea = bpy.data.materials.new("sea")
    n = Nodes(sea)
    noise = n.add("TexNoise", inputs={"Vector": n.add("TexCoord", out=3), "Scale": 1.6})
    bump = n.add("Bump", inputs={"Strength": 0.3, "Distance": 0.2, "Height": noise})
    n.finish(n.principled(linear("#2f86a8"), 0.2, Normal=bump))
    _plane(sea, (6.4, 300), z=0.02)
    _world("#e8f3fb", "#5fa3e6", 0.75)
    _sun((44, rng.choice((-1, 1)) * rng.uniform(35, 60)), 3.4, "#fff3dc", 1.2)


PLACES = {
    "wooden-table": _wooden_table,
    "brick-wall": _brick_wall,
    "night": _night,
    "lawn": _lawn,
    "beach": _beach,
}
