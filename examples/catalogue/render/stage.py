"""The photographer's work in Blender: clear the stage, place the things, frame, light, shoot."""

from __future__ import annotations

import contextlib
import math
import os
import random
from collections.abc import Iterator
from pathlib import Path

import bpy
import materials
import numpy as np
import plan
import settings
import things
from mathutils import Vector

#: Share of the picture that one, two or three things fill, at most.
FILL = (0.74, 0.84, 0.9)

#: Ribbon of a gift box: white, unless the box is white.
RIBBON = {"white": "red"}


def clear(size: int, samples: int, threads: int = 0) -> None:
    """Empties the scene (the grass is kept) and sets the renderer."""
    for group in (bpy.data.objects, bpy.data.meshes, bpy.data.curves, bpy.data.lights,
                  bpy.data.materials, bpy.data.worlds, bpy.data.cameras):  # fmt: skip
        for block in list(group):
            if not block.use_fake_user:
                group.remove(block)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.resolution_percentage = 100
    scene.render.threads_mode = "FIXED" if threads else "AUTO"
    scene.render.threads = threads or 1
    scene.render.image_settings.file_format = "JPEG"
    scene.render.image_settings.quality = 86
    scene.view_settings.view_transform = "Standard"
    scene.view_settings.look = "None"
    scene.cycles.device, scene.cycles.seed = "CPU", plan.SEED
    scene.cycles.samples, scene.cycles.use_denoising = samples, True
    # Denoising would cost more than rendering at this size; this is its quickest clean form.
    scene.cycles.denoising_quality, scene.cycles.denoising_prefilter = "BALANCED", "FAST"
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.max_bounces, scene.cycles.transmission_bounces = 7, 7
    scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces = 2, 3
    # After the first bounce, ambient occlusion stands in for light: nearly the same picture.
    scene.cycles.use_fast_gi, scene.cycles.fast_gi_method = True, "REPLACE"
    scene.cycles.ao_bounces_render = 1
    scene.cycles.use_light_tree = False
    scene.cycles.sample_clamp_indirect = 6.0
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False


def place(picture: plan.Picture, turn: float, rng: random.Random) -> None:
    """Builds the things, dresses them and sets them side by side."""
    slots = _slots(picture)
    holders = []
    for _ in range(picture.count):
        holder, parts = things.build(picture.kind, picture.shape)
        for part, slot in parts:
            part.data.materials.append(slots[slot])
        holder.rotation_euler.z = turn + rng.uniform(-0.12, 0.12) * (picture.count > 1)
        holders.append(holder)
    bpy.context.view_layer.update()
    spots = _spots(picture.count, float(np.ptp(_points()[:, 0])))
    for holder, (x, y) in zip(holders, spots, strict=True):
        holder.location = (x, y + rng.uniform(-0.04, 0.04), 0.0)
    bpy.context.view_layer.update()


def _spots(count: int, width: float) -> list[tuple[float, float]]:
    gap = width * 1.04 + 0.02
    spots = [[(0.0, 0.0)], [(-gap / 2, 0.05), (gap / 2, -0.05)],
             [(-gap, 0.0), (0.0, -0.12), (gap, 0.0)]]  # fmt: skip
    return spots[count - 1]


def _slots(picture: plan.Picture) -> dict[str, bpy.types.Material]:
    """The material of every slot that a builder may name."""
    body = materials.body(picture.colour, picture.material, picture.pattern)
    trim = materials.body(picture.colour, picture.material, "plain")
    stand, cloth = trim, body
    if picture.material == "fabric":
        stand = materials.fixed("dark")
        cloth = materials.shade(picture.colour, picture.pattern)
    ribbon = materials.body(RIBBON.get(picture.colour, "white"), "fabric", "plain")
    strap = materials.fixed("dark-wood" if picture.colour != "black" else "tan")
    fixed = {slot: materials.fixed(slot) for slot in
             (*materials.FIXED, "flame", "bulb", "metal")}  # fmt: skip
    return {**fixed, "body": body, "trim": trim, "stand": stand, "shade": cloth,
            "ribbon": ribbon, "strap": strap}  # fmt: skip


def _points() -> np.ndarray:
    """Every vertex of the things in the world: float, shape (n, 3)."""
    graph = bpy.context.evaluated_depsgraph_get()
    clouds = []
    for part in [o for o in bpy.context.scene.objects if o.parent is not None]:
        mesh = part.evaluated_get(graph).to_mesh()
        flat = np.empty(len(mesh.vertices) * 3)
        mesh.vertices.foreach_get("co", flat)
        world = np.array(part.matrix_world)
        clouds.append(flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3])
        part.evaluated_get(graph).to_mesh_clear()
    return np.concatenate(clouds)


def set_camera(elevation: float, picture: plan.Picture) -> None:
    """Looks at the middle of the things from far enough to hold them all."""
    data = bpy.data.cameras.new("camera")
    data.lens, data.sensor_width = 62.0, 36.0
    camera = bpy.data.objects.new("camera", data)
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    camera.rotation_euler = (math.pi / 2 - elevation, 0, 0)
    back = Vector((0, -math.cos(elevation), math.sin(elevation)))
    up = Vector((0, math.sin(elevation), math.cos(elevation)))
    points = _points()
    across, rise, near = points[:, 0], points @ np.array(up), points @ np.array(back)
    middle_x, middle_up = (across.min() + across.max()) / 2, (rise.min() + rise.max()) / 2
    half = FILL[picture.count - 1] * data.sensor_width / data.lens / 2
    off = np.maximum(np.abs(across - middle_x), np.abs(rise - middle_up))
    distance = float((off / half + near).max())
    camera.location = Vector((middle_x, 0, 0)) + up * middle_up + back * distance
    data.dof.use_dof, data.dof.focus_distance = True, distance - float(near.max()) - 0.1
    data.dof.aperture_fstop = 0.9 / (distance / 4.0)


def set_light(picture: plan.Picture, rng: random.Random) -> None:
    """Adds the setting with its lamps."""
    settings.build(picture.setting, picture.light, rng)


def shoot(path: Path) -> None:
    """Renders into `path` and keeps Blender's own chatter away."""
    bpy.context.scene.render.filepath = str(path)
    with _quiet():
        bpy.ops.render.render(write_still=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Sends the process's standard output to nowhere: Blender writes there in C."""
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
