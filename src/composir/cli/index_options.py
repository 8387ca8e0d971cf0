"""The options of `composir index`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from composir.data.remote_paths import is_remote
from composir.limits import MOST_BATCH


def _there(paths: list[Path]) -> list[Path]:
    """Refuse what is not on this machine; what an address names is seen when it is listed."""
    for path in paths:
        if not (is_remote(path) or path.exists()):
            raise typer.BadParameter(f"Path '{path}' does not exist.")
    return paths


Paths = Annotated[
    list[Path],
    typer.Argument(
        metavar="PATH...",
        callback=_there,
        help="Folders (or files) of pictures, or addresses: s3://bucket/folder.",
    ),
]
Metadata = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="CSV, JSONL or Parquet with a column `file` and the columns to filter by.",
    ),
]
Column = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=TYPE",
        help="Type of a metadata column that cannot be inferred: text, number, "
        "number:comma, number:dot, date, date:dmy, date:mdy, date:ymd or bool; repeat.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Skip matching paths, e.g. thumbs; repeatable. Remembered for the next run.",
    ),
]
NoExclude = Annotated[
    bool, typer.Option("--no-exclude", help="First forget the patterns of earlier runs.")
]
RetryFailures = Annotated[
    bool, typer.Option("--retry-failures", help="Retry what could not be read before.")
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=MOST_BATCH,
        show_default="32; of many pictures, what is fastest here, measured once",
        help="Images a model call; a number measures nothing.",
    ),
]
ShardChoice = Annotated[
    str | None,
    typer.Option(
        metavar="K/N",
        help="Only the K-th of N parts of the files, beside the gallery, for `composir merge`.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        metavar="auto|ADDRESS",
        help="Share the files out to the workers of a Ray cluster, and merge. `auto`: this "
        "machine's cluster, else processes here.",
    ),
]
