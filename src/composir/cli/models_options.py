"""The options of `composir models`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from composir.cli.options import finite


class Quantise(Enum):
    """How weights may be made smaller."""

    int8 = "int8"


Name = Annotated[str, typer.Argument(metavar="NAME", help="As `composir models` lists it.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A checkpoint's folder or its model.safetensors, a bundle's folder, ORG/NAME "
        "(or ORG/NAME@REVISION) of the Hugging Face hub, open_clip:ARCHITECTURE/TAG; "
        "any of these behind joint: is a joint encoder, and so is an endpoint, "
        "http://127.0.0.1:8000/v1#NAME.",
    ),
]
NewName = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="the source's", help="What to call it."),
]
Quantised = Annotated[
    Quantise | None,
    typer.Option(help="Quantise for speed, unless that changes the ranking."),
]
AcceptLicence = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept a licence that restricts use."),
]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Read weights from a pickle where there are no safetensors: only from where you "
        "trust.",
    ),
]
Instruction = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        show_default="what is known to suit it",
        help="For a joint encoder: the instruction that goes with each query.",
    ),
]
AllowRemote = Annotated[
    bool,
    typer.Option(
        "--allow-remote",
        help="For an endpoint on another machine: send it every picture that is indexed, and "
        "the pictures and words of every search.",
    ),
]
KeyVariable = Annotated[
    str | None,
    typer.Option(
        metavar="VARIABLE",
        help="Environment variable that holds the endpoint's key; the key is not stored.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File that holds the endpoint's key; the key is not stored."),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=86_400.0,
        callback=finite,
        help="Seconds to wait for one answer of the endpoint.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
NameOrFolder = Annotated[
    str, typer.Argument(metavar="NAME|FOLDER", help="A model, or a bundle's folder.")
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="The original, to compare with it anew (needs the extra `foundation`).",
    ),
]
