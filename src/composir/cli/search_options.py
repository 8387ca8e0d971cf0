"""The options of `composir search`, and which of them do not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from composir.cli.options import finite
from composir.errors import QueryError
from composir.limits import MOST_HITS, MOST_RERANKED
from composir.types import Missing, SortOrder

NOTHING_MATCHES = 4  # the exit code where --min-confidence is not reached

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[WORDS]...",
        help="What to look for or, with an image, how the hits should differ from it. "
        "`without the shade`, `no people`, `not red` are understood.",
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image",
        "-i",
        metavar="FILE|-|URL|clipboard:",
        help="The reference image; - is standard input. Repeat to average several.",
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,W,H",
        help="The part of the reference to use, in pixels or all four in %.",
    ),
]
AllowUrl = Annotated[
    bool, typer.Option("--allow-url", help="Fetch an https:// reference from the network.")
]
Message = Annotated[
    Path | None,
    typer.Option(
        "--message",
        metavar="FILE",
        help="A device's query message, instead of image and words.",
    ),
]
Negatives = Annotated[
    list[str] | None,
    typer.Option("--not", metavar="WORDS", help="What hits must not show; repeatable."),
]
Literal = Annotated[
    bool,
    typer.Option("--literal", help="Take the text literally: read no negation in it."),
]
Count = Annotated[int, typer.Option("-k", min=1, max=MOST_HITS, help="How many hits.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="FILTER", help="SQL-like, e.g. `width > 1000 AND colour = 'green'`."),
]
Composer = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER[:SETTING=VALUE,…]",
        help="How image and text become one query.",
        show_default="the model's",
    ),
]
IncludeReference = Annotated[
    bool, typer.Option("--include-reference", help="Let the reference itself be a hit.")
]
NoCollapse = Annotated[bool, typer.Option("--no-collapse", help="Show duplicates one by one.")]
WhenMissing = Annotated[
    Missing | None,
    typer.Option(
        help="Leave out hits whose files have been deleted, or show them.",
        show_default="hide; keep with --store",
    ),
]
Sorting = Annotated[
    SortOrder,
    typer.Option(help="Best first, or the relevant hits by date, newest or oldest first."),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        metavar="0…1",
        min=0.0,
        max=1.0,
        callback=finite,
        help=f"Exit with code {NOTHING_MATCHES} if the confidence is lower.",
    ),
]
Rerank = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FOLDER",
        help="Let a joint encoder look at the first hits again, image and words read as one, "
        "and order them. It encodes every picture once: seconds each on a CPU.",
    ),
]
RerankTop = Annotated[
    int,
    typer.Option(min=1, max=MOST_RERANKED, help="How many of the first hits it looks at."),
]
NoServer = Annotated[
    bool, typer.Option("--no-server", help="Do not ask the gallery's running server.")
]
Store = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Search a store that `composir export vectors` has filled, instead of a gallery.",
    ),
]
Paths = Annotated[
    bool, typer.Option("--paths", help="Only the hits' paths on stdout, one per line.")
]
Null = Annotated[
    bool,
    typer.Option("--null", "-0", help="Only the paths, each followed by a NUL, for xargs -0."),
]
Html = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a page with pictures of the hits.")
]
Show = Annotated[bool, typer.Option("--open", help="Open that page in the browser.")]
Explain = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write why these are the hits: .html for people, .json for programs.",
    ),
]


def check_alone(
    message: Path | None,
    words: list[str] | None,
    images: list[str] | None,
    crop: str | None,
    negatives: list[str] | None,
    explain: Path | None,
) -> None:
    """Refuse beside a device's message what it brings itself, or cannot give."""
    if message is None:
        return
    if words or images or crop or negatives:
        raise QueryError("--message brings its own picture, words and --not: leave those out")
    if explain is not None:
        raise QueryError("--explain needs the picture, which a message does not hold: use --image")


def check_store(
    store: str | None,
    gallery: Path | None,
    message: Path | None,
    html: Path | None,
    explain: Path | None,
    rerank: str | None,
    *,
    show: bool,
) -> None:
    """Refuse with a store what needs a gallery's folder."""
    given = {"gallery": gallery, "message": message, "html": html, "explain": explain}
    for option, value in (given | {"rerank": rerank, "open": show}).items():
        if store is not None and value:
            raise QueryError(
                f"--{option} needs a gallery's folder, and --store asks a store: leave one of the "
                "two out"
            )


def check_outputs(
    html: Path | None, explain: Path | None, sort: SortOrder, rerank: str | None
) -> None:
    """Refuse what may not be written, or explained, before anything is searched."""
    if html is not None:
        from composir.data.outputs import PAGE, check_file

        check_file(html, PAGE, "--html")
    if explain is not None:
        from composir.pages.explanation_page import check_explanation

        check_explanation(explain, "--explain")
    if explain is not None and sort != "score":
        raise QueryError(
            f"--explain tells why hits score best, and --sort {sort} orders them otherwise: "
            "leave one of the two out"
        )
    if explain is not None and rerank is not None:
        raise QueryError(
            "--explain tells why hits score best in the gallery, and --rerank orders them by "
            "another model: leave one of the two out"
        )
