"""The table of models: the name of a kind and its builder."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import furniture
import goods
import vessels

Part = tuple[bpy.types.Object, str]

BUILDERS: dict[str, Callable[[str], list[Part]]] = {
    "mug": vessels.mug,
    "vase": vessels.vase,
    "bowl": vessels.bowl,
    "teapot": vessels.teapot,
    "bottle": vessels.bottle,
    "table lamp": goods.table_lamp,
    "chair": furniture.chair,
    "stool": furniture.stool,
    "side table": furniture.side_table,
    "armchair": furniture.armchair,
    "clock": goods.clock,
    "candle holder": vessels.candle_holder,
    "plant pot": vessels.plant_pot,
    "cushion": goods.cushion,
    "gift box": goods.gift_box,
    "handbag": goods.handbag,
}


def build(kind: str, shape: str) -> tuple[bpy.types.Object, list[Part]]:
    """Builds one thing.

    Args:
        kind: A kind of `vocabulary.KINDS`.
        shape: The name of one of its shapes.

    Returns:
        An empty that carries the whole thing, standing on z = 0 and facing -y, and its parts.
    """
    parts = BUILDERS[kind](shape)
    holder = bpy.data.objects.new("thing", None)
    bpy.context.scene.collection.objects.link(holder)
    for part, _ in parts:
        part.parent = holder
    return holder, parts
