"""Renders the sample catalogue with Blender's Python module (`bpy`) and Cycles on the CPU.

All pictures come out of one process; a picture that exists is skipped, so an interrupted run goes
on where it stopped. The same seed and the same `bpy` give the same pictures.

    python render.py                       # everything that is missing
    python render.py --only mug-tall-*     # some pictures
    python render.py --jsonl               # only the metadata and the queries (needs no bpy)
    python render.py --training FOLDER     # pictures and triplets to train on, into FOLDER
"""

from __future__ import annotations

import argparse
import fnmatch
import itertools
import math
import random
import sys
import time
from pathlib import Path

import plan
import training

CATALOGUE = Path(__file__).resolve().parent.parent

#: Elevation of the camera in degrees: lowest and highest, and how far a thing is turned.
CAMERA: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "front": ((9.0, 13.0), (-7.0, 7.0)),
    "three-quarter": ((24.0, 30.0), (30.0, 42.0)),
    "above": ((60.0, 66.0), (12.0, 30.0)),
}


def main() -> None:
    """Reads the command line and renders."""
    args = _arguments()
    source = plan if args.training is None else training
    folder = args.training or CATALOGUE
    source.write(folder)
    if args.jsonl:
        return
    out, planned = args.out or folder / "images", source.pictures()
    todo = [p for p in _bases_first(planned) if fnmatch.fnmatch(p.id, args.only)]
    part, parts = (int(number) for number in args.part.split("/"))
    todo = todo[part - 1 :: parts * args.every]
    todo = [p for p in todo if args.again or not _path(out, p).exists()]
    out.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for done, picture in enumerate(todo, 1):
        render(picture, _path(out, picture), args.size, args.samples, int(parts > 1))
        spent = time.monotonic() - start
        print(f"{done}/{len(todo)} {spent / done:.2f} s a picture, "
              f"{spent / done * (len(todo) - done) / 60:.1f} min left", flush=True)  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="*", help="render ids that match this pattern")
    parser.add_argument("--every", type=int, default=1, help="render every n-th, for a quick look")
    parser.add_argument("--again", action="store_true", help="render pictures that exist, too")
    parser.add_argument("--jsonl", action="store_true", help="write metadata and queries only")
    parser.add_argument("--out", type=Path, help="folder of pictures (else images/)")
    parser.add_argument("--training", type=Path, help="a data set to train on, into this folder")
    parser.add_argument("--size", type=int, default=plan.SIZE, help="edge in pixels")
    parser.add_argument("--samples", type=int, default=4, help="samples a pixel")
    parser.add_argument("--part", default="1/1", help="i/n: the i-th of n processes side by side")
    return parser.parse_args()


def _bases_first(planned: list[plan.Picture]) -> list[plan.Picture]:
    """The pictures one a family in turn, so that a mistake in a model shows early."""
    families: dict[str, list[plan.Picture]] = {}
    for picture in planned:
        families.setdefault(picture.family, []).append(picture)
    turns = itertools.zip_longest(*families.values())
    return [picture for turn in turns for picture in turn if picture is not None]


def _path(folder: Path, picture: plan.Picture) -> Path:
    return folder / f"{picture.id}.jpg"


def render(picture: plan.Picture, path: Path, size: int, samples: int, threads: int) -> None:
    """Renders one picture; the file appears only when it is whole."""
    import stage  # noqa: PLC0415  # needs bpy, which --jsonl does without

    rng = random.Random(f"{plan.SEED} {picture.id}")
    stage.clear(size, samples, threads)
    (low, high), (turn_low, turn_high) = CAMERA[picture.angle]
    turn = rng.uniform(turn_low, turn_high) * (1 if picture.angle == "front" else _side(picture))
    stage.place(picture, math.radians(turn), rng)
    stage.set_camera(math.radians(rng.uniform(low, high)), picture)
    stage.set_light(picture, rng)
    part = path.with_suffix(".part.jpg")
    stage.shoot(part)
    part.write_bytes(without_comments(part.read_bytes()))
    part.replace(path)


def without_comments(jpeg: bytes) -> bytes:
    """Drops the comments, where Blender writes the date: the same picture is the same bytes."""
    kept, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:  # start of scan: pixels from here on
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        kept += b"" if jpeg[at + 1] == 0xFE else jpeg[at:end]
        at = end
    return bytes(kept + jpeg[at:])


def _side(picture: plan.Picture) -> int:
    """A family shows all its three-quarter views from the same side."""
    return random.Random(f"side {picture.family}").choice((-1, 1))


if __name__ == "__main__":
    sys.exit(main())
