"""`composir search`: ask a gallery by an image, words, or both."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli import models
from composir.cli.options import GalleryOption, JsonOption, ModelOption, ThreadsOption
from composir.cli.terminal import note, printable
from composir.errors import ImageReadError, QueryError
from composir.types import Query, SearchResult

if TYPE_CHECKING:
    from composir.gallery import Gallery

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog='`composir search "a dog on a beach"`\n\n'
    '`composir search --image lamp.jpg "in brass, without the shade"`\n\n'
    '`composir search --image ref.jpg "at night" --not people --where "width > 1000"`\n\n'
    "`composir search --image ref.jpg -k 30 --html hits.html --open`"
)
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORDS]...",
            help="What to look for; with an image: how the hits differ from it.",
        ),
    ] = None,
    *,
    image: Annotated[
        Path | None, typer.Option("--image", "-i", metavar="FILE", help="The reference image.")
    ] = None,
    negatives: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="WORDS", help="What must not be there; repeat for more."),
    ] = None,
    count: Annotated[int, typer.Option("-k", min=1, help="How many hits.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="SQL-like, e.g. `width > 1000 AND colour = 'green'`."),
    ] = None,
    composer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How image and words become one query.", show_default="the model's"
        ),
    ] = None,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    include_reference: Annotated[
        bool, typer.Option("--include-reference", help="Let the reference be among the hits.")
    ] = False,
    no_collapse: Annotated[
        bool, typer.Option("--no-collapse", help="Show duplicates one by one.")
    ] = False,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures of the hits.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open that page in the browser.")] = False,
) -> None:
    """Search a gallery by an image, words, or both."""
    query = _query(words or [], image, negatives or [])
    opened = models.existing_gallery(gallery, model, threads)
    try:
        result = opened.search(
            query,
            k=count,
            where=where,
            composer=composer,
            include_reference=include_reference,
            collapse_duplicates=not no_collapse,
        )
    except ImageReadError as error:
        raise QueryError(f"cannot read the reference image {image}: {error}") from error
    if html or show:
        _write_page(html, result, opened, where, show)
    _print(result, as_json)


def _query(words: list[str], image: Path | None, negatives: list[str]) -> Query:
    if image is not None and not image.exists():
        raise QueryError(f"the reference image {image} does not exist; check the path")
    if image is not None and not image.is_file():
        raise QueryError(f"the reference image {image} is not a file")
    reference = None if image is None else str(image)
    return Query(image=reference, text=" ".join(words), negatives=tuple(negatives))


def _print(result: SearchResult, as_json: bool) -> None:
    from composir.cli import render

    if as_json:
        render.print_result_json(result)
    else:
        render.print_result(result)


def _write_page(
    html: Path | None, result: SearchResult, gallery: Gallery, where: str | None, show: bool
) -> None:
    from composir.sheet import gather, write_contact_sheet

    destination = html or Path(tempfile.mkdtemp(prefix="composir-")) / "hits.html"
    title = result.query.text.strip() or "Pictures like this one"
    page = write_contact_sheet(destination, [gather(result, gallery, where=where)], title=title)
    note(f"page: {printable(str(page))}")
    if show:
        typer.launch(page.as_uri())
