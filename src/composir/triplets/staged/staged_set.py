"""Triplets of staged things, as a data set folder: both pictures of each lie in its `images/`.

A thing is cut out of a picture along its region and shown twice: in the target, one thing or two
differ (`stagings`), and the text says which. The same thing comes again in each round, staged anew.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from composir.data.row_examples import MASKED_ROW
from composir.errors import DatasetError
from composir.triplets.made_folder import (
    Progress,
    copy_of,
    identity,
    in_blocks,
    own_folder,
    row_of_copy,
    save_copy,
    write_set,
)
from composir.triplets.records import pair_rng
from composir.triplets.staged.cut_outs import CutOut
from composir.triplets.staged.props import MaskedPicture, Props, collect_props
from composir.triplets.staged.stage import paint_pair
from composir.triplets.staged.stagings import CHANGES, draw_pair
from composir.triplets.staged.wordings import words_of

SETTINGS = "staged.json"


@dataclass(frozen=True, slots=True)
class StageSettings:
    """What determines the result, together with the pictures and their regions."""

    count: int = 4000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class MadeStaged:
    """What came of it.

    Attributes:
        triplets: How many.
        things: How many were staged; `pictures` is how many these come from.
        by_kind: Triplets by what changes, e.g. `colour+count`.
        left_out: Regions that make no thing, by the reason.
        skipped: Pictures that were not read, with the reason.
    """

    triplets: int
    things: int
    pictures: int
    by_kind: Mapping[str, int]
    left_out: Mapping[str, int]
    skipped: tuple[tuple[str, str], ...]

    @property
    def by_change(self) -> dict[str, int]:
        """Triplets in which something changes; one of two changes counts for both."""
        parts = [(kind.split("+"), number) for kind, number in self.by_kind.items()]
        return {
            change: sum(number for changed, number in parts if change in changed)
            for change in CHANGES
        }


def make_staged(
    pictures: Sequence[MaskedPicture],
    out: Path,
    settings: StageSettings,
    progress: tuple[Progress, Progress] | None = None,
) -> MadeStaged:
    """Cut things out of pictures, stage them and write a data set folder.

    Stopped at any time, the same call goes on: finished pictures are kept.

    Args:
        pictures: Pictures whose regions are known; of one file that comes twice the first counts.
        out: A new folder, or one of the same call.
        settings: How many triplets, and the seed.
        progress: Told of cutting out, and of staging.

    Raises:
        DatasetError: If no picture has regions, or nothing can be cut out of them.
    """
    chosen = list({picture.file.resolve(): picture for picture in reversed(pictures)}.values())
    chosen.sort(key=lambda picture: (picture.id, str(picture.file)))
    if not chosen:
        raise DatasetError(f"no gallery row names regions; {MASKED_ROW} (see docs/triplets.md)")
    cutting, staging = progress or (None, None)
    with own_folder(out, SETTINGS, asdict(settings) | _identified(chosen), "staged things"):
        props = collect_props(chosen, cutting)
        jobs = range(settings.count)
        made = in_blocks(jobs, lambda number: _make(number, settings.seed, props, out), staging)
        rows = [row for _, row in made]
        told = _told(rows, props)
        _write(out, rows, settings, told)
        return told


def _identified(pictures: Sequence[MaskedPicture]) -> dict[str, Any]:
    """What the result depends on: pictures, masks, and what the regions are called."""
    files = [file for one in pictures for file in (one.file, one.regions.mask)]
    named = [(one.id, sorted(one.regions.values.items())) for one in pictures]
    regions = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    return {"pictures": len(pictures), "files": identity(files), "regions": regions}


def _make(number: int, seed: int, props: Props, out: Path) -> dict[str, Any]:
    """One triplet's row, and its pictures where they are not there yet."""
    pair = draw_pair(
        _thing(number, seed, props.things), props.patches, pair_rng(seed, str(number), "pair")
    )
    names = f"reference-{number:06d}", f"target-{number:06d}"
    places = [copy_of(out, name) for name in names]
    if not all(place.exists() for place in places):
        draws = (pair_rng(seed, str(number), name) for name in names)
        for place, picture in zip(places, paint_pair(pair, *draws), strict=True):
            save_copy(place, picture)
    text = words_of(pair, pair_rng(seed, str(number), "words"))
    return {
        "id": f"q{number:06d}",
        "reference": names[0],
        "text": text,
        "targets": [names[1]],
        "type": f"staged:{pair.kind}",
        "provenance": {
            "writer": "stage",
            "change": pair.kind,
            "thing": pair.thing.name,
            "picture": pair.thing.picture,
            "seed": seed,
        },
        "group": pair.thing.group,
    }


def _thing(number: int, seed: int, things: Sequence[CutOut]) -> CutOut:
    """Every round takes all things, each time in another order."""
    turn, place = divmod(number, len(things))
    return things[int(np.random.default_rng((seed, turn)).permutation(len(things))[place])]


def _told(rows: Sequence[Mapping[str, Any]], props: Props) -> MadeStaged:
    kinds = Counter(row["provenance"]["change"] for row in rows)
    return MadeStaged(
        triplets=len(rows),
        things=len({row["group"] for row in rows}),
        pictures=len({row["provenance"]["picture"] for row in rows}),
        by_kind=dict(sorted(kinds.items())),
        left_out=props.left_out,
        skipped=props.skipped,
    )


def _write(
    out: Path, rows: Sequence[Mapping[str, Any]], settings: StageSettings, made: MadeStaged
) -> None:
    card = {
        "description": f"Staged things, seed {settings.seed}: the text says what differs.",
        "reference": "composir triplets stage",
        "images_from": "things and backgrounds cut out of pictures and put together anew, in "
        "images/; of the pictures' own licences",
        "recipe": asdict(settings),
        "report": {
            "triplets": made.triplets,
            "kinds": made.by_kind,
            "things": made.things,
            "pictures": made.pictures,
            "skipped": len(made.skipped),
        },
    }
    names = [row["reference"] for row in rows] + [row["targets"][0] for row in rows]
    write_set(out, card, [row_of_copy(name) for name in names], rows)
