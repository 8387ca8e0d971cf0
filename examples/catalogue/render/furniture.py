"""Models of furniture: chairs, stools, side tables and armchairs, about one unit high."""

from __future__ import annotations

import math

import bpy
import meshes

Part = tuple[bpy.types.Object, str]


def _body(*objects: bpy.types.Object) -> list[Part]:
    return [(made, "body") for made in objects]


def _four_legs(half: float, top: float, radius: float, splay: float = 0.05
               ) -> list[bpy.types.Object]:  # fmt: skip
    return [
        meshes.leg((x * (half + splay), y * (half + splay), 0), (x * half, y * half, top), radius)
        for x in (-1, 1)
        for y in (-1, 1)
    ]


def chair(shape: str) -> list[Part]:
    """A dining chair facing the camera; the back tells the shapes apart."""
    seat = meshes.box((0.56, 0.54, 0.055), (0, 0, 0.56), bevel=0.025)
    legs = _four_legs(0.22, 0.55, 0.032)
    backs = {"slatted": _slatted_back, "solid": _solid_back, "hoop": _hoop_back}
    return _body(seat, *legs, *backs[shape]())


def _slatted_back() -> list[bpy.types.Object]:
    posts = [meshes.leg((x, 0.31, 1.22), (x, 0.24, 0.55), 0.032) for x in (-0.24, 0.24)]
    slats = [meshes.box((0.48, 0.03, 0.085), (0, 0.25 + (z - 0.55) * 0.1, z), bevel=0.014)
             for z in (0.76, 0.94, 1.12)]  # fmt: skip
    return posts + slats


def _solid_back() -> list[bpy.types.Object]:
    back = meshes.box((0.54, 0.045, 0.62), (0, 0.27, 0.9), bevel=0.02)
    back.rotation_euler.x = math.radians(-6)
    return [back]


def _hoop_back() -> list[bpy.types.Object]:
    hoop = [(-0.24, 0.24, 0.56), (-0.28, 0.27, 0.88), (-0.15, 0.3, 1.17), (0.15, 0.3, 1.17),
            (0.28, 0.27, 0.88), (0.24, 0.24, 0.56)]  # fmt: skip
    rods = [meshes.tube([(x, 0.24, 0.56), (x * 1.1, 0.295, top)], 0.013, straight=True)
            for x, top in ((-0.12, 1.16), (0.0, 1.2), (0.12, 1.16))]  # fmt: skip
    return [meshes.tube(hoop, 0.027), *rods]


def stool(shape: str) -> list[Part]:
    """A stool with four legs; low, bar height, or square."""
    if shape == "square":
        seat = meshes.box((0.62, 0.62, 0.07), (0, 0, 0.66), bevel=0.03)
        bars = [meshes.box((0.5, 0.03, 0.05), (0, y, 0.25), bevel=0.01) for y in (-0.27, 0.27)]
        return _body(seat, *bars, *_four_legs(0.25, 0.64, 0.038, 0.02))
    if shape == "bar":
        seat = meshes.cylinder(0.27, 1.14, 1.22)
        return _body(seat, meshes.ring(0.28, 0.4, 0.02), *_four_legs(0.15, 1.15, 0.028, 0.11))
    return _body(meshes.cylinder(0.38, 0.56, 0.64), *_four_legs(0.21, 0.58, 0.04, 0.08))


def side_table(shape: str) -> list[Part]:
    """A small table: round on three legs, square on four, or on one central foot."""
    if shape == "square":
        top = meshes.box((0.9, 0.9, 0.06), (0, 0, 0.75), bevel=0.02)
        shelf = meshes.box((0.78, 0.78, 0.04), (0, 0, 0.25), bevel=0.015)
        return _body(top, shelf, *_four_legs(0.39, 0.73, 0.035, 0.0))
    if shape == "pedestal":
        foot = meshes.curve([(0.34, 0.0), (0.34, 0.03), (0.12, 0.08), (0.055, 0.2), (0.05, 0.6),
                             (0.11, 0.72), (0.12, 0.74)])  # fmt: skip
        return _body(meshes.lathe([(0, 0), *foot]), meshes.cylinder(0.5, 0.73, 0.79))
    legs = [meshes.leg((0.5 * math.cos(a), 0.5 * math.sin(a), 0),
                       (0.27 * math.cos(a), 0.27 * math.sin(a), 0.74), 0.035)
            for a in (math.radians(90 + 120 * i) for i in range(3))]  # fmt: skip
    return _body(meshes.cylinder(0.54, 0.73, 0.79), *legs)


def armchair(shape: str) -> list[Part]:
    """An upholstered chair with small dark feet."""
    if shape == "tub":
        return _tub()
    back_high = 1.3 if shape == "high" else 0.86
    arm_high, arm_wide = (0.56, 0.16) if shape == "high" else (0.6, 0.22)
    half = 0.37 + arm_wide / 2
    base = meshes.box((0.9, 0.82, 0.26), (0, 0.02, 0.25), bevel=0.05)
    seat = meshes.box((0.7, 0.72, 0.2), (0, -0.05, 0.44), bevel=0.08)
    back = meshes.box((0.9, 0.22, back_high - 0.12), (0, 0.36, back_high / 2 + 0.06), bevel=0.09)
    back.rotation_euler.x = math.radians(-7)
    arms = [meshes.box((arm_wide, 0.86, arm_high - 0.12), (x, 0, arm_high / 2 + 0.06), bevel=0.07)
            for x in (-half, half)]  # fmt: skip
    wings = (-0.43, 0.43) if shape == "high" else ()
    sides = [meshes.box((0.1, 0.3, 0.5), (x, 0.28, 0.95), bevel=0.045) for x in wings]
    return _body(base, seat, back, *arms, *sides) + _feet(0.36)


def _tub() -> list[Part]:
    """A wall of constant height wrapped about a round seat, open at the front."""
    seat = meshes.cylinder(0.46, 0.12, 0.48)
    steps = 40
    angles = [math.radians(-35 + 250 * i / steps) for i in range(steps + 1)]
    verts, faces = [], []
    for a, i in zip(angles, range(steps + 1), strict=True):
        top = 0.62 + 0.28 * math.sin(math.pi * i / steps) ** 1.5
        for r, z in ((0.44, 0.12), (0.59, 0.12), (0.6, top), (0.46, top)):
            verts.append((r * math.cos(a), r * math.sin(a), z))
    for i in range(steps):
        for k in range(4):
            a, b = 4 * i + k, 4 * i + (k + 1) % 4
            faces.append([a, b, b + 4, a + 4])
    faces += [[3, 2, 1, 0], [4 * steps + k for k in range(4)]]
    wall = meshes.add_mesh(verts, faces, _wrap_uvs(verts, faces))
    edge = wall.modifiers.new("edge", "BEVEL")
    edge.width, edge.segments = 0.05, 5
    edge.limit_method, edge.angle_limit = "ANGLE", math.radians(40)
    return _body(seat, wall) + _feet(0.3)


def _wrap_uvs(verts: list[meshes.Point3], faces: list[list[int]]) -> list[meshes.Point2]:
    def uv(index: int) -> meshes.Point2:
        x, y, z = verts[index]
        angle = (math.atan2(y, x) + math.radians(60)) % (2 * math.pi)
        return (angle * 0.55 / meshes.CELL, (z + math.hypot(x, y)) / meshes.CELL)

    return [uv(index) for face in faces for index in face]


def _feet(half: float) -> list[Part]:
    return [(meshes.leg((x * half, y * half, 0), (x * half, y * half, 0.14), 0.04), "dark-wood")
            for x in (-1, 1) for y in (-1, 1)]  # fmt: skip
