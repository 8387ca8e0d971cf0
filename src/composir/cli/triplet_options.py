"""The options of `composir triplets make`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from composir.cli.options import finite
from composir.limits import LARGEST_SEED, MOST_TRIPLETS


class WriterName(StrEnum):
    """Who writes the texts."""

    TEMPLATES = "templates"
    OPENAI = "openai"


class PairName(StrEnum):
    """Which pictures are paired."""

    ATTRIBUTE = "attribute"
    IMAGE = "image"
    CAPTION = "caption"


Out = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="New data set; an unfinished run there is resumed."),
]
Images = Annotated[
    Path | None, typer.Option(metavar="FOLDER", exists=True, help="Folder of pictures.")
]
Captions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="CSV, JSONL or Parquet that describes the pictures."),
]
Data = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", exists=True, help="Data set folder with gallery.jsonl."),
]
Count = Annotated[int, typer.Option(min=1, max=MOST_TRIPLETS, help="How many triplets, at most.")]
Seed = Annotated[
    int,
    typer.Option(min=0, max=LARGEST_SEED, help="Seed: the same one gives the same triplets."),
]
Only = Annotated[
    Path | None, typer.Option(metavar="FILE", exists=True, help="Ids to use, one per line.")
]
Split = Annotated[str | None, typer.Option(help="Use only this split of --data.")]
Pairs = Annotated[
    list[PairName] | None,
    typer.Option(help="Kinds of pairs; repeatable. Default: all that the data allows."),
]
Vary = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="What differs within a pair, e.g. colour; repeatable."),
]
Group = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="What is the same within a pair, e.g. title; repeatable."),
]
CaptionColumn = Annotated[
    list[str] | None,
    typer.Option(metavar="COLUMN", help="Columns of descriptions; default: caption(s), ..."),
]
Neighbours = Annotated[
    int, typer.Option(min=1, max=100, help="How many nearest pictures a target is chosen from.")
]
Margin = Annotated[
    float,
    typer.Option(
        min=-10.0,
        max=10.0,
        callback=finite,
        help="How much better (cosine) the text must fit the target than the reference.",
    ),
]
MaxSimilarity = Annotated[
    float,
    typer.Option(
        min=0.0,
        max=1.01,
        callback=finite,
        help="Cosine from which two pictures are near duplicates.",
    ),
]
PerReference = Annotated[int, typer.Option(min=1, max=10_000, help="Most triplets per reference.")]
Writer = Annotated[WriterName, typer.Option(help="What writes the texts.")]
BaseUrl = Annotated[
    str, typer.Option(metavar="URL", help="For --writer openai, e.g. http://localhost:8000/v1.")
]
LanguageModel = Annotated[
    str,
    typer.Option(metavar="NAME", help="For --writer openai: the model, as the endpoint names it."),
]
KeyVariable = Annotated[
    str,
    typer.Option(metavar="VARIABLE", help="Environment variable that holds the endpoint's key."),
]
MaxRequests = Annotated[int, typer.Option(min=1, max=10**8, help="Budget of requests.")]
Concurrency = Annotated[int, typer.Option(min=1, max=128, help="Concurrent requests.")]
Timeout = Annotated[
    float,
    typer.Option(min=0.1, max=86_400.0, callback=finite, help="Seconds to wait for one answer."),
]
Request = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Additional field of each request; null removes one."),
]
PriceIn = Annotated[
    float | None,
    typer.Option(min=0.0, max=1e9, callback=finite, help="Price of a million input tokens."),
]
PriceOut = Annotated[
    float | None,
    typer.Option(min=0.0, max=1e9, callback=finite, help="Price of a million output tokens."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the budget without being asked.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Keep no vectors.")]
