"""Building blocks: turned profiles, rounded boxes, tubes and pillows as Blender objects.

Every block carries UV coordinates counted in pattern cells, so that one stripe, dot or check has
about the same size on every thing. Lengths are in scene units; a thing is about one unit tall.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import bpy
from mathutils import Vector

Point2 = tuple[float, float]
Point3 = tuple[float, float, float]

#: Edge of one pattern cell in scene units.
CELL = 0.14


def add_mesh(
    verts: Sequence[Point3],
    faces: Sequence[Sequence[int]],
    uvs: Sequence[Point2] | None = None,
    smooth: bool = True,
) -> bpy.types.Object:
    """Adds a mesh object; `uvs` holds one coordinate for each face corner, in face order."""
    mesh = bpy.data.meshes.new("part")
    mesh.from_pydata(verts, [], faces)
    layer = mesh.uv_layers.new(name="cells")
    if uvs is None:
        _box_uvs(mesh, layer)
    else:
        layer.data.foreach_set("uv", [x for uv in uvs for x in uv])
    mesh.polygons.foreach_set("use_smooth", [smooth] * len(mesh.polygons))
    mesh.update()
    thing = bpy.data.objects.new("part", mesh)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def _box_uvs(mesh: bpy.types.Mesh, layer: bpy.types.MeshUVLoopLayer) -> None:
    """Projects each face along its dominant axis."""
    for polygon in mesh.polygons:
        normal = [abs(x) for x in polygon.normal]
        axes = [(1, 2), (0, 2), (0, 1)][normal.index(max(normal))]
        for loop in polygon.loop_indices:
            point = mesh.vertices[mesh.loops[loop].vertex_index].co
            layer.data[loop].uv = (point[axes[0]] / CELL, point[axes[1]] / CELL)


def curve(points: Sequence[Point2], steps: int = 6) -> list[Point2]:
    """A smooth line through the points (Catmull-Rom); a doubled point stays a corner."""
    line = [points[0], *points, points[-1]]
    out: list[Point2] = []
    for a, b, c, d in zip(line, line[1:], line[2:], line[3:], strict=False):
        if b == c:
            continue
        out += [_spline(a, b, c, d, i / steps) for i in range(steps)]
    return [*out, points[-1]]


def _spline(a: Point2, b: Point2, c: Point2, d: Point2, t: float) -> Point2:
    def axis(i: int) -> float:
        return 0.5 * (
            2 * b[i]
            + (c[i] - a[i]) * t
            + (2 * a[i] - 5 * b[i] + 4 * c[i] - d[i]) * t**2
            + (3 * b[i] - a[i] - 3 * c[i] + d[i]) * t**3
        )

    return (max(axis(0), 0.0), axis(1))


def lathe(profile: Sequence[Point2], segments: int = 72) -> bpy.types.Object:
    """Turns a profile of (radius, height) points about the z axis."""
    widest = max(r for r, _ in profile)
    around = max(6, 2 * round(math.pi * widest / CELL))
    verts = [
        (r * math.cos(a), r * math.sin(a), z)
        for r, z in profile
        for a in (2 * math.pi * i / segments for i in range(segments))
    ]
    along = [0.0]
    for p, q in itertools.pairwise(profile):
        along.append(along[-1] + math.dist(p, q) / CELL)
    faces, uvs = [], []
    for row in range(len(profile) - 1):
        for i in range(segments):
            j = (i + 1) % segments
            low, high = row * segments, (row + 1) * segments
            faces.append([low + i, low + j, high + j, high + i])
            left, right = i * around / segments, (i + 1) * around / segments
            uvs += [(left, along[row]), (right, along[row])]
            uvs += [(right, along[row + 1]), (left, along[row + 1])]
    made = add_mesh(verts, faces, uvs)
    _flat_uvs(made.data)
    return made


def _flat_uvs(mesh: bpy.types.Mesh) -> None:
    """Lays the pattern straight over level faces, where turning would make it a star."""
    for polygon in mesh.polygons:
        if abs(polygon.normal.z) > 0.97:
            for loop in polygon.loop_indices:
                x, y, _ = mesh.vertices[mesh.loops[loop].vertex_index].co
                mesh.uv_layers[0].data[loop].uv = (x / CELL, y / CELL)


def vessel(outer: Sequence[Point2], wall: float = 0.035, floor: float = 0.05) -> bpy.types.Object:
    """Turns an open vessel from its outer profile (bottom to rim), with a wall and a round rim."""
    top_r, top_z = outer[-1]
    rim = [
        (top_r - wall / 2 + wall / 2 * math.cos(a), top_z + wall / 2 * math.sin(a))
        for a in (math.pi * i / 6 for i in range(1, 6))
    ]
    inner = [(max(r - wall, 0.0), max(z, floor)) for r, z in reversed(outer)]
    inner = [p for p in inner if p[1] > floor] + [(max(inner[-1][0], 0.01), floor), (0.0, floor)]
    return lathe([(0.0, outer[0][1]), *outer, *rim, *inner])


def cylinder(r: float, low: float, high: float, r_top: float | None = None) -> bpy.types.Object:
    """A solid cylinder or cone with slightly rounded edges."""
    top = r if r_top is None else r_top
    e = min(0.02, r / 4, top / 4, (high - low) / 3)
    side = [(r - e, low), (r - e * 0.3, low + e * 0.3), (r, low + e)]
    cap = [(top, high - e), (top - e * 0.3, high - e * 0.3), (top - e, high)]
    return lathe([(0.0, low), *side, *cap, (0.0, high)], segments=48)


def ball(r: float, at: Point3, squash: float = 1.0) -> bpy.types.Object:
    """A ball, or an ellipsoid of height `squash` times its width."""
    steps = [math.pi * i / 24 for i in range(25)]
    made = lathe([(r * math.sin(a), -r * squash * math.cos(a)) for a in steps], segments=48)
    made.location = at
    return made


def box(size: Point3, at: Point3, bevel: float = 0.03, soft: bool = False) -> bpy.types.Object:
    """A box with rounded edges, standing with its centre at `at`; `soft` bulges it."""
    x, y, z = (s / 2 for s in size)
    verts = [(i * x, j * y, k * z) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)]
    faces = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    made = add_mesh(verts, faces)
    made.location = at
    edge = made.modifiers.new("edge", "BEVEL")
    edge.width, edge.segments = min(bevel, min(size) * 0.45), 5
    edge.harden_normals = not soft
    if soft:
        made.modifiers.new("soft", "SUBSURF").render_levels = 2
        made.modifiers["soft"].levels = 2
    return made


def tube(
    points: Sequence[Point3], radius: float, closed: bool = False, straight: bool = False
) -> bpy.types.Object:
    """A round bar along the points: smooth, or with corners if `straight`."""
    data = bpy.data.curves.new("bar", "CURVE")
    data.dimensions, data.bevel_depth, data.bevel_resolution = "3D", radius, 6
    data.use_fill_caps, data.resolution_u = True, 16
    if straight:
        line = data.splines.new("POLY")
        line.points.add(len(points) - 1)
        for knot, point in zip(line.points, points, strict=True):
            knot.co = (*point, 1.0)
    else:
        line = data.splines.new("BEZIER")
        line.bezier_points.add(len(points) - 1)
        for handle, point in zip(line.bezier_points, points, strict=True):
            handle.co = point
            handle.handle_left_type = handle.handle_right_type = "AUTO"
    line.use_cyclic_u = closed
    made = bpy.data.objects.new("bar", data)
    bpy.context.scene.collection.objects.link(made)
    return made


def ring(r: float, z: float, radius: float) -> bpy.types.Object:
    """A horizontal ring of bar `radius`."""
    angles = [2 * math.pi * i / 8 for i in range(8)]
    points = [(r * math.cos(a), r * math.sin(a), z) for a in angles]
    return tube(points, radius, closed=True)


def pillow(height: Callable[[float, float], float], outline: Callable[[float, float], Point2]
           ) -> bpy.types.Object:  # fmt: skip
    """A closed pillow over the square [-1, 1]²: `outline` bends it, `height` is half its depth.

    It lies in the x-z plane (upright, facing -y); the caller tilts it.
    """
    n = 40
    ticks = [math.sin(math.pi / 2 * (2 * i / n - 1)) for i in range(n + 1)]
    verts: list[Point3] = []
    for side in (-1, 1):
        for v in ticks:
            for u in ticks:
                x, z = outline(u, v)
                verts.append((x, side * height(u, v), z))
    faces, uvs = [], []
    for side in (0, 1):
        base = side * (n + 1) ** 2
        for j in range(n):
            for i in range(n):
                a = base + j * (n + 1) + i
                corner = [a, a + 1, a + n + 2, a + n + 1]
                face = corner if side == 0 else corner[::-1]
                faces.append(face)
                uvs += [(verts[k][0] / CELL, verts[k][2] / CELL) for k in face]
    return add_mesh(verts, faces, uvs)


def turned(made: bpy.types.Object, axis: str, degrees: float) -> bpy.types.Object:
    """Turns an object about one axis through its origin, in place."""
    setattr(made.rotation_euler, axis, math.radians(degrees))
    return made


def leg(foot: Point3, top: Point3, radius: float) -> bpy.types.Object:
    """A round, tapering leg from `foot` to `top`."""
    a, b = Vector(foot), Vector(top)
    made = cylinder(radius * 0.7, 0.0, (b - a).length, radius)
    made.location = a
    made.rotation_mode = "QUATERNION"
    made.rotation_quaternion = (b - a).to_track_quat("Z", "Y")
    return made
