"""What options of `composir search` do not go together, told before anything is searched."""

from __future__ import annotations

from pathlib import Path

from composir.errors import QueryError
from composir.types import SortOrder


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
