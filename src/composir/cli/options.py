"""Options that several verbs share, so that they are called and explained alike."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from composir.cli.paths import named_gallery
from composir.limits import MOST_THREADS


def finite(value: float | None) -> float | None:
    """Callback of options that take real numbers: no bound keeps NaN out."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to compute with")
    return value


def addressed(path: Path | None) -> Path | None:
    """Callback of options that name a gallery: an address keeps its two slashes."""
    return None if path is None else named_gallery(path)


GalleryOption = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="FOLDER",
        callback=addressed,
        show_default="COMPOSIR_GALLERY, else one in your user data folder",
        help="The gallery: a folder, or s3://bucket/gallery.",
    ),
]
GalleryArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[GALLERY]",
        callback=addressed,
        show_default="COMPOSIR_GALLERY, else one in your user data folder",
        help="The gallery: a folder, or s3://bucket/gallery.",
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FOLDER",
        show_default="the gallery's, else mini, the packaged one",
        help="A model that `composir models` lists, or a bundle's folder.",
    ),
]
CommercialOption = Annotated[
    bool,
    typer.Option(
        "--commercial",
        help="Refuse a model or composer whose licence does not allow commercial use.",
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        max=MOST_THREADS,
        show_default="all cores",
        help="Threads the model may use.",
    ),
]
DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|NAME",
        help="Where the model runs: `auto` takes what ONNX Runtime has here (`composir doctor`).",
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="One JSON document on stdout, for programs.")
]
