"""Verbs of `composir triplets` that make triplets without a model."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from composir.cli import triplet_options as options
from composir.cli.progress import stage_progress
from composir.cli.terminal import echo, note, printable
from composir.data.problems import Problem, summarised
from composir.limits import MOST_TRIPLETS

_HowMany = Annotated[int, typer.Option(min=1, max=MOST_TRIPLETS, help="How many triplets.")]


def edit(
    *,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", exists=True, help="Folder of pictures; repeatable."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", exists=True, help="Data set folder whose gallery is used; repeatable."
        ),
    ] = None,
    out: options.Out,
    count: _HowMany = 1000,
    seed: options.Seed = 0,
) -> None:
    """Make triplets from edited copies of any pictures: no captions, no labels.

    A recoloured, darkened, multiplied or drawn copy differs in exactly what the words say.
    """
    from composir.images.scan import scan
    from composir.triplets.edited import EditSettings, make_edited
    from composir.triplets.region_edits import Regions
    from composir.triplets.source import read_data_set
    from composir.types import Failure

    files = [found.path for found in scan(images or []) if not isinstance(found, Failure)]
    listed = [(folder, one) for folder in data or [] for one in read_data_set(folder).images]
    files += [image.file for _, image in listed]
    known = {image.file: Regions.of_row(folder, image.row) for folder, image in listed}
    regions = {file: found for file, found in known.items() if found is not None}
    with stage_progress() as progress:
        told = partial(progress, "editing")
        made = make_edited(files, out, EditSettings(count, seed), told, regions)
    echo(f"{made.triplets:,} edits in {printable(str(out))}, with ways back")
    for name, number in made.by_edit.items():
        echo(f"  {number:>7,}  {name}")
    _note_skipped(made.skipped)


def stage(
    *,
    data: Annotated[
        list[Path],
        typer.Option(
            metavar="FOLDER",
            exists=True,
            help="Data set folder whose gallery names masks and regions; repeatable.",
        ),
    ],
    out: options.Out,
    count: _HowMany = 1000,
    seed: options.Seed = 0,
) -> None:
    """Make triplets from things cut out of pictures by region masks, and staged anew.

    Each is shown twice: dyed, patterned, counted, lit or set on another ground as the words say.
    """
    from composir.triplets.staged.props import masked_pictures
    from composir.triplets.staged.staged_set import StageSettings, make_staged

    with stage_progress() as progress:
        told = partial(progress, "cutting out"), partial(progress, "staging")
        made = make_staged(masked_pictures(data), out, StageSettings(count, seed), told)
    echo(
        f"{made.triplets:,} triplets in {printable(str(out))}, of {made.things:,} things cut out "
        f"of {made.pictures:,} pictures; what changes (some twice):"
    )
    for name, number in made.by_change.items():
        echo(f"  {number:>7,}  {name}")
    for why, number in made.left_out.items():
        note(f"left out {number:,} regions: {why}")
    _note_skipped(made.skipped)


def _note_skipped(skipped: Iterable[tuple[str, str]]) -> None:
    for line in summarised([Problem(file, reason) for file, reason in skipped]):
        note(f"skipped {printable(line)}")


def texts(
    *,
    captions: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            exists=True,
            help="CSV, JSONL or Parquet of captions, and perhaps of `changed` ones; repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder for the triplets.")],
    count: options.Count = 300_000,
    seed: options.Seed = 0,
) -> None:
    """Make triplets of texts alone: a caption, what is to change in it, and the changed caption."""
    from composir.triplets.text_triplets import make_texts

    with stage_progress() as progress:
        made = make_texts(captions, out, (count, seed), lambda d, t: progress("writing", d, t))
    echo(f"{sum(made.values()):,} triplets in {printable(str(out))}")
    for name, number in made.most_common():
        echo(f"  {number:>9,}  {printable(name)}")
