"""Everything that can be staged, collected from pictures whose regions are known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from composir.errors import DatasetError, ImageReadError
from composir.images import read_image
from composir.triplets.made_folder import Progress, in_blocks, none_readable
from composir.triplets.region_edits import Regions
from composir.triplets.source import read_data_set
from composir.triplets.staged.backdrops import (
    BACKDROPS,
    MOST_PATCHES,
    Patch,
    Patches,
    best_patches,
    usable_patches,
)
from composir.triplets.staged.cut_outs import NO_CUT_OUT, CutOut, cut_out, patch_of
from composir.triplets.staged.masks import Mask
from composir.triplets.words import plain

_ENOUGH, _MOST = 640, 1280
_BACKDROP_OF = {region: name for name, regions in BACKDROPS.items() for region in regions}


@dataclass(frozen=True, slots=True)
class MaskedPicture:
    """A picture whose regions are known; `id` is unique over all data sets."""

    id: str
    file: Path
    regions: Regions


def masked_pictures(folders: Sequence[Path]) -> list[MaskedPicture]:
    """Pictures of data set folders whose gallery rows name regions."""
    listed = [(folder, one) for folder in folders for one in read_data_set(folder).images]
    found = [(folder, one, Regions.of_row(folder, one.row)) for folder, one in listed]
    return [
        MaskedPicture(f"{folder.absolute().name}/{one.id}", one.file, regions)
        for folder, one, regions in found
        if regions is not None
    ]


@dataclass(frozen=True, slots=True)
class Props:
    """What was cut out.

    Attributes:
        things: Things, in the order of the pictures.
        patches: Real backdrops by name.
        left_out: Why regions make no thing, and how many.
        skipped: Pictures that were not read, with the reason.
    """

    things: tuple[CutOut, ...]
    patches: Patches
    left_out: Mapping[str, int]
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Cut:
    things: list[CutOut]
    patches: list[tuple[str, Patch]]
    left_out: list[str]


def collect_props(pictures: Sequence[MaskedPicture], progress: Progress | None) -> Props:
    """Cut all things and backdrops out; of no thing a DatasetError says why."""
    things: list[CutOut] = []
    patches: dict[str, list[Patch]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    skipped: list[tuple[str, str]] = []
    for picture, cut in in_blocks(pictures, _cut, progress):
        if isinstance(cut, str):
            skipped.append((str(picture.file), cut))
            continue
        things += cut.things
        left_out.update(cut.left_out)
        _keep_best(patches, cut.patches)
    if len(skipped) == len(pictures):
        raise none_readable(len(pictures), skipped)
    if not things:
        raise _no_thing(len(pictures), left_out)
    usable = usable_patches({name: best_patches(found) for name, found in patches.items()})
    return Props(tuple(things), usable, dict(left_out.most_common()), tuple(skipped))


def _keep_best(patches: dict[str, list[Patch]], new: Sequence[tuple[str, Patch]]) -> None:
    """Add patches, and forget those that will not be used before memory is full of them."""
    for name, patch in new:
        patches[name].append(patch)
        if len(patches[name]) > 2 * MOST_PATCHES:
            patches[name] = best_patches(patches[name])


def _no_thing(pictures: int, left_out: Counter[str]) -> DatasetError:
    told = "; ".join(f"{number:,} {why}" for why, number in left_out.most_common())
    return DatasetError(
        f"no thing can be cut out of the regions of {pictures:,} pictures "
        f"({told or 'their masks show none'}); docs/triplets.md says what can"
    )


def _cut(picture: MaskedPicture) -> _Cut | str:
    """What one picture yields; or why it cannot be read."""
    try:
        small = read_image(picture.file, min_side=_ENOUGH).rgb
        small.thumbnail((_MOST, _MOST), Image.Resampling.BICUBIC)
        values = picture.regions.at(small.size)
    except (ImageReadError, OSError) as error:
        return str(error)
    rgb, cut = np.asarray(small), _Cut([], [], [])
    for region, value in sorted(picture.regions.values.items()):
        name, mask = plain(region), values == value
        if name in _BACKDROP_OF:
            patch = patch_of(rgb, mask)
            cut.patches.extend([(_BACKDROP_OF[name], patch)] if patch else [])
        thing = _thing(name, picture.id, rgb, mask)
        if isinstance(thing, str):
            cut.left_out.append(thing)
        else:
            cut.things.append(thing)
    return cut


def _thing(name: str, picture: str, rgb: NDArray[np.uint8], mask: Mask) -> CutOut | str:
    if not name or name in NO_CUT_OUT:
        return "whose name is of no single thing (wall, sky, person, ...)"
    return cut_out(name, picture, rgb, mask)
