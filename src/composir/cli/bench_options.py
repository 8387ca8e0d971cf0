"""The options of `composir bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from composir.limits import LARGEST_SEED, MOST_RESAMPLES

Root = Annotated[
    Path | None,
    typer.Option("--root", "-r", metavar="FOLDER", help="Folder of annotations and images."),
]
Split = Annotated[str | None, typer.Option("--split", help="Split of the data set.")]
Seed = Annotated[
    int, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Seed of intervals and tests.")
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page to look at.")
]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table.")]
Vectors = Annotated[
    Path | None,
    typer.Option(
        "--vectors", metavar="NPZ", help="Precomputed image vectors: arrays `ids`, `matrix`."
    ),
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Encode all images again, and keep no vectors.")
]
AllowMissing = Annotated[
    bool,
    typer.Option(
        "--allow-missing",
        help="Drop queries with missing or damaged images; the result is marked partial.",
    ),
]
Proxy = Annotated[
    bool,
    typer.Option(
        "--text-proxy", help="Rank captions instead of images: a check, not the benchmark."
    ),
]
Variant = Annotated[
    str | None, typer.Option("--variant", help="Protocol variant; see `composir bench list`.")
]
Datasets = Annotated[
    list[str], typer.Argument(metavar="DATASET...", help="Names, or folders of your own data.")
]
Composers = Annotated[
    list[str] | None,
    typer.Option("--composer", "-c", metavar="NAME[:KEY=VALUE,...]", help="Composer; repeatable."),
]
QueryVectors = Annotated[
    Path | None,
    typer.Option(
        "--query-vectors",
        metavar="NPZ",
        help="Query vectors of your own method, by query id, instead of a composer.",
    ),
]
Tuned = Annotated[
    list[Path] | None,
    typer.Option(
        "--tuned", metavar="FILE", help="Use the settings that `composir bench tune` found."
    ),
]
Submission = Annotated[
    Path | None,
    typer.Option(
        "--submission",
        metavar="FOLDER",
        help="Write the files that the benchmark's server takes.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where result files go.")]
Resamples = Annotated[int, typer.Option(min=100, max=MOST_RESAMPLES, help="Bootstrap resamples.")]
ReadNegation = Annotated[
    bool,
    typer.Option(
        "--read-negation",
        help="Read negations such as `without X` in texts, as searches do.",
    ),
]
