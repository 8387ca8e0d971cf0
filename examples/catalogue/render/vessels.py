"""Models of things that hold something: mugs, vases, bowls, teapots, bottles, pots, candles.

A builder takes the name of a shape and returns parts: objects with the slot of the material that
they get. `body` is what the attributes colour, material and pattern speak about.
"""

from __future__ import annotations

import math
import random

import bpy
import meshes
from meshes import Point2

Part = tuple[bpy.types.Object, str]

MUGS: dict[str, list[Point2]] = {
    "straight": [(0.36, 0.0), (0.40, 0.02), (0.41, 0.06), (0.41, 0.45), (0.41, 0.86)],
    "tall": [(0.25, 0.0), (0.29, 0.02), (0.30, 0.06), (0.32, 0.6), (0.35, 1.12)],
    "round": [(0.24, 0.0), (0.28, 0.02), (0.43, 0.22), (0.47, 0.42), (0.42, 0.64), (0.37, 0.78)],
}

VASES: dict[str, list[Point2]] = {
    "slender": [(0.17, 0), (0.2, 0.02), (0.27, 0.3), (0.24, 0.6), (0.1, 0.92), (0.09, 1.15),
                (0.14, 1.3)],
    "round": [(0.2, 0), (0.25, 0.02), (0.47, 0.3), (0.5, 0.5), (0.38, 0.78), (0.17, 0.92),
              (0.16, 1.0), (0.21, 1.08)],
    "flared": [(0.24, 0), (0.26, 0.02), (0.2, 0.18), (0.18, 0.3), (0.24, 0.62), (0.36, 0.9),
               (0.5, 1.08)],
}  # fmt: skip

BOWLS: dict[str, list[Point2]] = {
    "deep": [(0.24, 0), (0.28, 0.02), (0.46, 0.16), (0.56, 0.38), (0.6, 0.62)],
    "shallow": [(0.3, 0), (0.34, 0.02), (0.52, 0.07), (0.7, 0.18), (0.8, 0.3)],
    "footed": [(0.3, 0), (0.31, 0.03), (0.16, 0.1), (0.13, 0.22), (0.17, 0.32), (0.42, 0.4),
               (0.56, 0.55), (0.61, 0.74)],
}  # fmt: skip

TEAPOTS: dict[str, list[Point2]] = {
    "round": [(0.26, 0), (0.32, 0.02), (0.5, 0.24), (0.52, 0.42), (0.4, 0.64), (0.26, 0.72)],
    "tall": [(0.34, 0), (0.38, 0.02), (0.39, 0.1), (0.35, 0.5), (0.28, 0.9), (0.25, 1.02)],
    "squat": [(0.42, 0), (0.5, 0.02), (0.64, 0.16), (0.63, 0.27), (0.45, 0.42), (0.28, 0.48)],
}

BOTTLES: dict[str, list[Point2]] = {
    "slim": [(0.17, 0), (0.2, 0.02), (0.21, 0.06), (0.21, 0.7), (0.19, 0.85), (0.09, 1.05),
             (0.08, 1.3)],
    "round": [(0.18, 0), (0.24, 0.02), (0.42, 0.24), (0.44, 0.42), (0.3, 0.66), (0.11, 0.8),
              (0.09, 1.02)],
}  # fmt: skip

POTS: dict[str, list[Point2]] = {
    "cactus": [(0.26, 0), (0.29, 0.02), (0.33, 0.25), (0.38, 0.5)],
    "snake-plant": [(0.3, 0), (0.34, 0.02), (0.35, 0.06), (0.35, 0.3), (0.35, 0.56)],
    "bush": [(0.22, 0), (0.26, 0.02), (0.4, 0.18), (0.42, 0.3), (0.36, 0.46)],
}

HOLDERS: dict[str, list[Point2]] = {
    "tall": [(0.26, 0), (0.26, 0.03), (0.1, 0.08), (0.06, 0.16), (0.09, 0.3), (0.05, 0.44),
             (0.05, 0.62), (0.11, 0.7), (0.11, 0.76)],
    "low": [(0.36, 0), (0.42, 0.04), (0.46, 0.1), (0.42, 0.1), (0.34, 0.05), (0.14, 0.05),
            (0.13, 0.08), (0.13, 0.26)],
    "ball": [(0.12, 0), (0.18, 0.02), (0.32, 0.16), (0.35, 0.32), (0.28, 0.5), (0.13, 0.6),
             (0.12, 0.63)],
}  # fmt: skip


def mug(shape: str) -> list[Part]:
    """An open cup with one handle."""
    outer = MUGS[shape]
    high, r = outer[-1][1], outer[len(outer) // 2][0]
    body = meshes.vessel(meshes.curve(outer), wall=0.035)
    low, top = high * 0.22, high * 0.8
    loop = [(r * 0.93, low), (r + 0.2, low + 0.02), (r + 0.27, (low + top) / 2), (r + 0.2, top),
            (r * 0.9, top)]  # fmt: skip
    return [(body, "body"), (meshes.tube([(x, 0, z) for x, z in loop], 0.05), "trim")]


def vase(shape: str) -> list[Part]:
    """A turned vase."""
    return [(meshes.vessel(meshes.curve(VASES[shape], 10), wall=0.03), "body")]


def bowl(shape: str) -> list[Part]:
    """A turned bowl; the footed one keeps its foot solid."""
    floor = 0.4 if shape == "footed" else 0.05
    return [(meshes.vessel(meshes.curve(BOWLS[shape], 10), wall=0.035, floor=floor), "body")]


def teapot(shape: str) -> list[Part]:
    """Body and lid in one turn, a knob, a spout and a handle."""
    outer = TEAPOTS[shape]
    neck, high = outer[-1]
    lid = [(neck, high), (neck, high), (neck + 0.02, high + 0.02), (neck * 0.8, high + 0.07),
           (0.06, high + 0.12), (0.0, high + 0.125)]  # fmt: skip
    body = meshes.lathe([(0.0, 0.0), *meshes.curve(outer, 10), *meshes.curve(lid)])
    knob = meshes.ball(0.07, (0, 0, high + 0.17))
    wide = max(r for r, _ in outer)
    return [(body, "body"), (knob, "trim"), (_spout(wide, high), "trim"),
            (_pot_handle(wide, neck, high), "trim")]  # fmt: skip


def _spout(wide: float, high: float) -> bpy.types.Object:
    reach = wide + 0.3
    made = meshes.tube(
        [(wide * 0.72, 0, high * 0.3), (wide + 0.08, 0, high * 0.46), (reach, 0, high * 0.98)],
        0.075,
    )
    for point, size in zip(made.data.splines[0].bezier_points, (1.5, 1.05, 0.6), strict=True):
        point.radius = size
    return made


def _pot_handle(wide: float, neck: float, high: float) -> bpy.types.Object:
    points = [(-wide * 0.8, 0, high * 0.3), (-wide - 0.2, 0, high * 0.34),
              (-wide - 0.24, 0, high * 0.72), (-neck * 0.95, 0, high * 0.9)]  # fmt: skip
    return meshes.tube(points, 0.042)


def bottle(shape: str) -> list[Part]:
    """A stoppered bottle; glass ones are hollow."""
    if shape == "square":
        return _square_bottle()
    outer = BOTTLES[shape]
    high, r = outer[-1][1], outer[-1][0]
    body = meshes.vessel(meshes.curve(outer, 10), wall=0.025)
    return [(body, "body"), (meshes.cylinder(r * 0.85, high - 0.1, high + 0.1), "cork")]


def _square_bottle() -> list[Part]:
    body = meshes.box((0.5, 0.5, 0.78), (0, 0, 0.39), bevel=0.08)
    neck = meshes.lathe([(0.2, 0.74), (0.13, 0.8), (0.1, 0.86), (0.1, 1.0), (0.13, 1.0),
                         (0.13, 1.05), (0.1, 1.06), (0.0, 1.06)])  # fmt: skip
    return [(body, "body"), (neck, "body"), (meshes.cylinder(0.085, 1.0, 1.16), "cork")]


def candle_holder(shape: str) -> list[Part]:
    """A holder with a lit candle in it."""
    outer = HOLDERS[shape]
    top_r, top = outer[-1]
    body = meshes.lathe([(0.0, 0.0), *meshes.curve(outer, 8), (0.0, top)])
    high = top + (0.5 if shape == "low" else 0.42)
    candle = meshes.cylinder(top_r * 0.8, top - 0.02, high)
    wick = meshes.tube([(0, 0, high), (0, 0, high + 0.05)], 0.008, straight=True)
    shape_of_flame = [(0.0, 0.0), (0.028, 0.03), (0.034, 0.06), (0.02, 0.11), (0.0, 0.17)]
    flame = meshes.lathe(meshes.curve(shape_of_flame), segments=24)
    flame.location.z = high + 0.03
    return [(body, "body"), (candle, "wax"), (wick, "dark"), (flame, "flame")]


def plant_pot(shape: str) -> list[Part]:
    """A pot of earth with a plant in it."""
    outer = POTS[shape]
    top_r, top = outer[-1]
    pot = meshes.vessel(meshes.curve(outer, 8), wall=0.04)
    earth = meshes.cylinder(top_r - 0.035, top - 0.12, top - 0.05)
    plants = {"cactus": _cactus, "snake-plant": _snake_plant, "bush": _bush}
    return [(pot, "body"), (earth, "earth"), *plants[shape](top - 0.06)]


def _cactus(low: float) -> list[Part]:
    parts = [_ribbed(0.17, low, 0.62, (0.0, 0.0)), _ribbed(0.09, low, 0.32, (0.2, -0.05))]
    spots = [(0.0, 0.0, low + 0.64, 0.05), (0.2, -0.05, low + 0.33, 0.035)]
    return [(p, "leaf") for p in parts] + [
        (meshes.ball(r, (x, y, z), 0.7), "petal") for x, y, z, r in spots
    ]


def _ribbed(r: float, low: float, high: float, at: Point2) -> bpy.types.Object:
    steps = [i / 16 for i in range(17)]
    profile = [(r * math.sin(math.acos(max(0, 2 * t - 1.0))) if t > 0.5 else r * (0.85 + 0.3 * t),
                low + high * t) for t in steps]  # fmt: skip
    made = meshes.lathe(profile, segments=80)
    for vertex in made.data.vertices:
        swell = 1 + 0.09 * math.cos(10 * math.atan2(vertex.co.y, vertex.co.x))
        vertex.co.x, vertex.co.y = vertex.co.x * swell, vertex.co.y * swell
    made.location = (*at, 0.0)
    return made


def _snake_plant(low: float) -> list[Part]:
    rng = random.Random("snake plant")
    return [(_blade(rng, low, 2 * math.pi * i / 9), "leaf") for i in range(9)]


def _blade(rng: random.Random, low: float, turn: float) -> bpy.types.Object:
    high, out, wide = rng.uniform(0.55, 0.95), rng.uniform(0.1, 0.22), rng.uniform(0.07, 0.1)
    rows = [i / 10 for i in range(11)]
    verts, faces = [], []
    for t in rows:
        half = wide * math.sin(math.pi * (0.18 + 0.82 * t)) ** 0.7
        reach = 0.1 + out * t**2
        for side, dip in ((-1, 0.03), (0, 0.0), (1, 0.03)):
            x, y = reach - dip, side * half
            verts.append((x * math.cos(turn) - y * math.sin(turn),
                          x * math.sin(turn) + y * math.cos(turn), low + high * t))  # fmt: skip
    for i in range(10):
        a = 3 * i
        faces += [[a, a + 1, a + 4, a + 3], [a + 1, a + 2, a + 5, a + 4]]
    return meshes.add_mesh(verts, faces)


def _bush(low: float) -> list[Part]:
    trunk = meshes.cylinder(0.035, low, low + 0.35)
    rng = random.Random("bush")
    centre, r = low + 0.55, 0.34
    verts, faces = [], []
    for _ in range(900):
        z, a = rng.uniform(-1, 1), rng.uniform(0, 2 * math.pi)
        flat = math.sqrt(1 - z * z)
        out = r * rng.uniform(0.82, 1.05)
        at = (out * flat * math.cos(a), out * flat * math.sin(a), centre + out * z)
        first = len(verts)
        for _ in range(4):
            verts.append(tuple(c + rng.uniform(-0.06, 0.06) for c in at))
        faces.append([first, first + 1, first + 2, first + 3])
    leaves = meshes.add_mesh(verts, faces, smooth=False)
    core = meshes.ball(r * 0.86, (0, 0, centre))
    return [(trunk, "earth"), (leaves, "leaf"), (core, "leaf-dark")]
