"""Models of the rest of the shop: lamps, clocks, cushions, gift boxes and handbags."""

from __future__ import annotations

import math

import bpy
import meshes
from meshes import Point2

Part = tuple[bpy.types.Object, str]


def table_lamp(shape: str) -> list[Part]:
    """A lamp that is on: shade, stand and bulb. Metal lamps have a stand of the same metal."""
    foot = meshes.curve([(0.24, 0.0), (0.24, 0.03), (0.05, 0.07), (0.028, 0.14), (0.028, 0.72)])
    stand = meshes.lathe([(0, 0), *foot, (0, 0.72)], segments=48)
    shades: dict[str, list[Point2]] = {
        "cone": [(0.46, 0.6), (0.2, 1.1)],
        "drum": [(0.4, 0.6), (0.4, 1.04)],
        "dome": [(0.48, 0.6), (0.46, 0.72), (0.37, 0.88), (0.22, 0.97), (0.03, 1.0)],
    }
    line = shades[shape]
    shade = meshes.lathe(line if len(line) == 2 else meshes.curve(line, 8))
    thick = shade.modifiers.new("thick", "SOLIDIFY")
    thick.thickness, thick.offset = 0.015, -1.0
    bulb = meshes.ball(0.09, (0, 0, 0.76))
    return [(shade, "shade"), (stand, "stand"), (bulb, "bulb")]


def clock(shape: str) -> list[Part]:
    """A standing clock at ten past ten, facing the camera."""
    r, high = 0.46, 0.52 if shape == "bell" else 0.46
    if shape == "square":
        case = meshes.box((0.92, 0.2, 0.92), (0, 0, high), bevel=0.08)
    else:
        case = meshes.turned(meshes.cylinder(r, -0.1, 0.1), "x", 90)
        case.location.z = high
    dial = meshes.turned(meshes.cylinder(r * 0.86, 0.0, 0.012), "x", 90)
    dial.location = (0, -0.1, high)
    parts: list[Part] = [(case, "body"), (dial, "face"), *_hands(r * 0.86, high)]
    parts += _bells(high) if shape == "bell" else []
    if shape != "square":
        parts += [(meshes.leg((x * 0.3, 0, 0), (x * 0.2, 0, high - r + 0.1), 0.05), "body")
                  for x in (-1, 1)]  # fmt: skip
    return parts


def _hands(r: float, high: float) -> list[Part]:
    marks = [_bar(30 * i, r * 0.78, r * 0.92, 0.018, high) for i in range(12)]
    hour, minute = _bar(305, -0.04, r * 0.5, 0.026, high), _bar(60, -0.04, r * 0.74, 0.02, high)
    cap = meshes.turned(meshes.cylinder(0.035, 0.0, 0.02), "x", 90)
    cap.location = (0, -0.118, high)
    return [(made, "dark") for made in (*marks, hour, minute, cap)]


def _bar(degrees: float, start: float, end: float, half: float, high: float) -> bpy.types.Object:
    """A flat mark on the dial, `degrees` clockwise from twelve."""
    a = math.radians(degrees)
    middle = (start + end) / 2
    at = (middle * math.sin(a), -0.117, high + middle * math.cos(a))
    made = meshes.box((half * 2, 0.008, end - start), at, bevel=0.002)
    made.rotation_euler.y = a
    return made


def _bells(high: float) -> list[Part]:
    parts: list[Part] = []
    for side in (-1, 1):
        dome = meshes.lathe([(0.19 * math.cos(a), 0.16 * math.sin(a))
                             for a in (math.pi / 2 * i / 12 for i in range(13))])  # fmt: skip
        thick = dome.modifiers.new("thick", "SOLIDIFY")
        thick.thickness = 0.02
        dome.location = (side * 0.26, 0, high + 0.44)
        dome.rotation_euler.y = side * math.radians(32)
        post = meshes.leg((side * 0.2, 0, high + 0.36), (side * 0.29, 0, high + 0.5), 0.025)
        parts += [(dome, "body"), (post, "body")]
    handle = [(-0.14, 0, high + 0.46), (-0.12, 0, high + 0.7), (0.12, 0, high + 0.7),
              (0.14, 0, high + 0.46)]  # fmt: skip
    return [*parts, (meshes.tube(handle, 0.022), "body")]


def cushion(shape: str) -> list[Part]:
    """A stuffed cushion: square and leaning back, round with a button, or a bolster."""
    if shape == "bolster":
        return _bolster()
    if shape == "round":
        profile = [(0.0, 0.0), (0.3, 0.0), (0.5, 0.06), (0.56, 0.16), (0.5, 0.27), (0.3, 0.34),
                   (0.06, 0.32), (0.0, 0.29)]  # fmt: skip
        body = meshes.lathe(meshes.curve(profile, 8))
        _lean(body, 62, lift=0.5, back=0.12)
        button = meshes.ball(0.045, (0, 0, 0), 0.6)
        # The button sits in the dimple: the same tilt about the same point.
        button.location = _tilted((0, 0, 0.31), 62, lift=0.5, back=0.12)
        button.rotation_euler.x = math.radians(62)
        return [(body, "body"), (button, "body")]

    def height(u: float, v: float) -> float:
        return 0.24 * math.sqrt(max(0.0, (1 - abs(u) ** 2.6) * (1 - abs(v) ** 2.6)))

    def outline(u: float, v: float) -> Point2:
        pinch = 0.93 + 0.07 * abs(u * v) ** 1.5
        return (0.55 * u * pinch, 0.55 * v * pinch)

    body = meshes.pillow(height, outline)
    body.rotation_euler.x = math.radians(-20)
    body.location = (0, 0.1, 0.53)
    return [(body, "body")]


def _tilted(point: meshes.Point3, degrees: float, lift: float, back: float) -> meshes.Point3:
    a = math.radians(degrees)
    x, y, z = point
    return (x, y * math.cos(a) - z * math.sin(a) + back,
            y * math.sin(a) + z * math.cos(a) + lift)  # fmt: skip


def _lean(made: bpy.types.Object, degrees: float, lift: float, back: float) -> None:
    made.location = _tilted((0, 0, 0), degrees, lift, back)
    made.rotation_euler.x = math.radians(degrees)


def _bolster() -> list[Part]:
    half, r = 0.62, 0.24
    profile = [(0.0, -half), (0.12, -half - 0.01), (0.21, -half + 0.03), (r, -half + 0.1),
               (r, 0.0), (r, half - 0.1), (0.21, half - 0.03), (0.12, half + 0.01),
               (0.0, half)]  # fmt: skip
    body = meshes.turned(meshes.lathe(meshes.curve(profile, 6)), "y", 90)
    body.location.z = r
    buttons = [meshes.ball(0.04, (x, 0, r), 1.0) for x in (-half, half)]
    return [(body, "body"), *((b, "body") for b in buttons)]


def gift_box(shape: str) -> list[Part]:
    """A box with a lid, tied with a ribbon and a bow."""
    if shape == "round":
        return _hat_box()
    x, y, z = (0.8, 0.8, 0.72) if shape == "cube" else (1.15, 0.8, 0.26)
    body = meshes.box((x, y, z), (0, 0, z / 2), bevel=0.012)
    lid_high = 0.16 if shape == "cube" else 0.1
    lid = meshes.box((x + 0.04, y + 0.04, lid_high), (0, 0, z - lid_high / 2 + 0.02), bevel=0.012)
    top = z + 0.026
    across = meshes.box((0.11, y + 0.055, top), (0, 0, top / 2), bevel=0.005)
    along = meshes.box((x + 0.055, 0.11, top), (0, 0, top / 2), bevel=0.005)
    return [(body, "body"), (lid, "body"), (across, "ribbon"), (along, "ribbon"), *_bow(top)]


def _hat_box() -> list[Part]:
    body, lid = meshes.cylinder(0.5, 0.0, 0.56), meshes.cylinder(0.525, 0.4, 0.58)
    band = meshes.lathe([(0.512, 0.17), (0.512, 0.28)])
    strip = meshes.box((0.11, 1.06, 0.012), (0, 0, 0.585), bevel=0.003)
    return [(body, "body"), (lid, "body"), (band, "ribbon"), (strip, "ribbon"), *_bow(0.59)]


def _bow(high: float) -> list[Part]:
    parts: list[Part] = []
    for turn in (35, 145, 215, 325):
        loop = _ribbon_loop(0.27, 0.1)
        loop.location.z = high
        loop.rotation_euler.z = math.radians(turn)
        parts.append((loop, "ribbon"))
    return [*parts, (meshes.ball(0.06, (0, 0, high + 0.04), 0.8), "ribbon")]


def _ribbon_loop(length: float, wide: float) -> bpy.types.Object:
    steps = 20
    verts, faces = [], []
    for i in range(steps + 1):
        a = 2 * math.pi * i / steps
        far = (1 - math.cos(a)) / 2
        x, z = length * far, 0.06 + 0.09 * math.sin(a) * (0.4 + far)
        verts += [(x, -wide / 2, z), (x, wide / 2, z)]
    for i in range(steps):
        faces.append([2 * i, 2 * i + 1, 2 * i + 3, 2 * i + 2])
    made = meshes.add_mesh(verts, faces)
    made.modifiers.new("thick", "SOLIDIFY").thickness = 0.012
    return made


def handbag(shape: str) -> list[Part]:
    """A bag with handles; tote, bucket, or box with a flap and a clasp."""
    if shape == "bucket":
        body = meshes.vessel([(0.36, 0.0), (0.38, 0.03), (0.44, 0.7)], wall=0.03)
        strap = meshes.tube([(-0.42, 0, 0.62), (-0.36, 0, 1.1), (0, 0, 1.3), (0.36, 0, 1.1),
                             (0.42, 0, 0.62)], 0.028)  # fmt: skip
        band = meshes.lathe([(0.438, 0.58), (0.452, 0.66)])
        return [(body, "body"), (strap, "strap"), (band, "strap")]
    if shape == "box":
        body = meshes.box((1.0, 0.42, 0.68), (0, 0, 0.34), bevel=0.07)
        flap = meshes.box((1.01, 0.05, 0.4), (0, -0.21, 0.48), bevel=0.024)
        clasp = meshes.box((0.14, 0.03, 0.09), (0, -0.245, 0.32), bevel=0.012)
        handle = _handle(0.0, 0.24, 0.66, 0.95)
        return [(body, "body"), (flap, "body"), (clasp, "metal"), (handle, "strap")]
    body = _tapered((0.86, 0.34), (1.06, 0.38), 0.82)
    handles = [_handle(y, 0.24, 0.7, 1.3) for y in (-0.2, 0.2)]
    return [(body, "body"), *((h, "strap") for h in handles)]


def _handle(y: float, half: float, low: float, high: float) -> bpy.types.Object:
    points = [(-half, y, low), (-half * 0.9, y, (low + 2 * high) / 3), (0, y, high),
              (half * 0.9, y, (low + 2 * high) / 3), (half, y, low)]  # fmt: skip
    return meshes.tube(points, 0.026)


def _tapered(foot: Point2, top: Point2, high: float) -> bpy.types.Object:
    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    verts = [(i * w / 2, j * d / 2, z) for (w, d), z in ((foot, 0.0), (top, high))
             for i, j in corners]  # fmt: skip
    faces = [[3, 2, 1, 0], [4, 5, 6, 7], *([i, (i + 1) % 4, (i + 1) % 4 + 4, i + 4]
                                           for i in range(4))]  # fmt: skip
    made = meshes.add_mesh(verts, faces)
    edge = made.modifiers.new("edge", "BEVEL")
    edge.width, edge.segments, edge.harden_normals = 0.06, 5, True
    return made
