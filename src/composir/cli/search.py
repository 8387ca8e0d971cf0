"""`composir search`: ask a gallery by an image, words, or both."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from composir.cli import models
from composir.cli.options import (
    CommercialOption,
    DeviceOption,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
    finite,
)
from composir.cli.paths import default_gallery, gallery_words
from composir.cli.reference import command_line_references
from composir.cli.terminal import note, printable
from composir.crop import Crop
from composir.errors import DeviceMessageError, QueryError
from composir.limits import MOST_HITS, MOST_RERANKED
from composir.types import Query, SearchResult, SortOrder

if TYPE_CHECKING:
    from composir.cli.render import Form
    from composir.compose.base import Composer
    from composir.gallery import Gallery
    from composir.model.base import EmbeddingModel

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


class Missing(Enum):
    """What becomes of hits whose files are gone."""

    hide = "hide"
    keep = "keep"


class Sort(Enum):
    """The order of the hits."""

    score = "score"
    date = "date"
    oldest = "date:oldest"


NOTHING_MATCHES = 4  # the exit code where --min-confidence is not reached


@app.command(
    epilog='`composir search "a dog on a beach"`\n\n'
    '`composir search --image lamp.jpg "in brass, without the shade"`\n\n'
    '`composir search --image ref.jpg "at night" --not people --where "width > 1000"`\n\n'
    "`composir search --image ref.jpg -k 30 --html hits.html --open`\n\n"
    '`composir search --image ref.jpg "in brass" --rerank embeddinggemma-2`'
)
def search(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORDS]...",
            help="What to look for or, with an image, how the hits should differ from it. "
            "`without the shade`, `no people`, `not red` are understood.",
        ),
    ] = None,
    *,
    images: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            "-i",
            metavar="FILE|-|URL|clipboard:",
            help="The reference image; - is standard input. Repeat to average several.",
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="The part of the reference to use, in pixels or all four in %.",
        ),
    ] = None,
    allow_url: Annotated[
        bool, typer.Option("--allow-url", help="Fetch an https:// reference from the network.")
    ] = False,
    message: Annotated[
        Path | None,
        typer.Option(
            "--message",
            metavar="FILE",
            help="A device's query message, instead of image and words.",
        ),
    ] = None,
    negatives: Annotated[
        list[str] | None,
        typer.Option("--not", metavar="WORDS", help="What hits must not show; repeatable."),
    ] = None,
    literal: Annotated[
        bool,
        typer.Option("--literal", help="Take the text literally: read no negation in it."),
    ] = False,
    count: Annotated[int, typer.Option("-k", min=1, max=MOST_HITS, help="How many hits.")] = 10,
    where: Annotated[
        str | None,
        typer.Option(metavar="FILTER", help="SQL-like, e.g. `width > 1000 AND colour = 'green'`."),
    ] = None,
    composer: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER[:SETTING=VALUE,…]",
            help="How image and text become one query.",
            show_default="the model's",
        ),
    ] = None,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    include_reference: Annotated[
        bool, typer.Option("--include-reference", help="Let the reference itself be a hit.")
    ] = False,
    no_collapse: Annotated[
        bool, typer.Option("--no-collapse", help="Show duplicates one by one.")
    ] = False,
    missing: Annotated[
        Missing,
        typer.Option(help="Leave out hits whose files have been deleted, or show them."),
    ] = Missing.hide,
    sort: Annotated[
        Sort, typer.Option(help="Best first, or the relevant hits by date, newest or oldest first.")
    ] = Sort.score,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            metavar="0…1",
            min=0.0,
            max=1.0,
            callback=finite,
            help=f"Exit with code {NOTHING_MATCHES} if the confidence is lower.",
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER",
            help="Let a joint encoder look at the first hits again, image and words read as one, "
            "and order them. It encodes every picture once: seconds each on a CPU.",
        ),
    ] = None,
    rerank_top: Annotated[
        int,
        typer.Option(min=1, max=MOST_RERANKED, help="How many of the first hits it looks at."),
    ] = 50,
    commercial: CommercialOption = False,
    no_server: Annotated[
        bool, typer.Option("--no-server", help="Do not ask the gallery's running server.")
    ] = False,
    as_json: JsonOption = False,
    paths: Annotated[
        bool, typer.Option("--paths", help="Only the hits' paths on stdout, one per line.")
    ] = False,
    null: Annotated[
        bool,
        typer.Option("--null", "-0", help="Only the paths, each followed by a NUL, for xargs -0."),
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with pictures of the hits.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open that page in the browser.")] = False,
    explain: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write why these are the hits: .html for people, .json for programs.",
        ),
    ] = None,
) -> None:
    """Search a gallery by an image, words, or both."""
    form = _form(as_json=as_json, paths=paths, null=null)
    _check_outputs(html, explain)
    _check_sort(sort, explain)
    _check_rerank(rerank, explain)
    compute = models.Compute(threads, device)
    reranker = None if rerank is None else models.resolve_model(rerank, models.Compute(threads))
    options = SearchOptions(
        count,
        where,
        include_reference,
        not no_collapse,
        missing.value,
        sort.value,
        min_confidence,
        reranker,
        rerank_top,
    )
    query = None
    if message is not None:
        _check_alone(words, images, crop, negatives, explain)
    else:
        query = _query(words or [], negatives or [], images or [], crop, allow_url=allow_url)
        query = replace(query, literal=literal)
    here = html or show or explain or model or threads or commercial or rerank or no_server
    needs_gallery = bool(here) or device != "cpu"
    result = None if query is None or needs_gallery else _served(gallery, query, composer, options)
    if result is None:
        opened = models.existing_gallery(gallery, model, compute)
        if message is None:
            assert query is not None  # made above, as there is no message
            asked = Asked(query, _composer(composer, opened.model))
        else:
            asked = asked_by_message(message, composer, opened.model, literal=literal)
        if commercial:
            used = asked.composer
            known = opened.composer(used) if used is None or isinstance(used, str) else used
            models.refuse_uncommercial(opened.model, known)
            if reranker is not None:
                models.refuse_uncommercial(reranker)
        opened.prepare(asked.query, asked.composer)
        result = options.search(opened, asked)
        if explain is not None:
            _write_explanation(explain, result, opened, asked, options)
        if html or show:
            _write_page(html, result, opened, where, show)
    for notice in result.notices:
        note(f"warning: {printable(notice)}")
    from composir.cli import render

    render.print_in(form, result, gallery_words(gallery))
    if not result.matches:
        raise typer.Exit(NOTHING_MATCHES)


@dataclass(frozen=True, slots=True)
class Asked:
    """A query and who composes it: a name, a folder, None for the model's own, or an open one."""

    query: Query
    composer: str | Composer | None


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What the options of one command say about the hits."""

    count: int
    where: str | None
    include_reference: bool
    collapse_duplicates: bool
    missing: Literal["hide", "keep"] = "hide"
    sort: SortOrder = "score"
    min_confidence: float | None = None
    reranker: EmbeddingModel | None = None
    rerank_top: int = 50

    def search(self, gallery: Gallery, asked: Asked) -> SearchResult:
        """Ask a gallery; re-ranking shows how far it is."""
        from composir.cli.progress import index_progress

        with nullcontext() if self.reranker is None else index_progress() as show:
            return gallery.search(
                asked.query,
                k=self.count,
                where=self.where,
                composer=asked.composer,
                include_reference=self.include_reference,
                collapse_duplicates=self.collapse_duplicates,
                missing=self.missing,
                sort=self.sort,
                min_confidence=self.min_confidence,
                rerank=self.reranker,
                rerank_top=self.rerank_top,
                rerank_progress=show,
            )


def _served(
    gallery: Path | None, query: Query, composer: str | None, options: SearchOptions
) -> SearchResult | None:
    """The answer of the gallery's running server; None where it has none to give."""
    from composir.data.announced import running_server

    server = running_server(gallery or default_gallery())
    if server is None:
        return None
    from composir.cli.served import served_result

    return served_result(server, query, composer, options)


def asked_by_message(
    path: Path, composer: str | None, model: EmbeddingModel, *, literal: bool = False
) -> Asked:
    """Read a device's message; the composer is the one it names unless another is given."""
    from composir.compose import composer_names, load_composer
    from composir.device.message import read_message
    from composir.device.server import message_composer

    message = read_message(path)
    if composer is None and message.composer not in composer_names(model):
        # A name from outside must never be taken for a path of this machine.
        raise DeviceMessageError(
            f"the query message needs the composer {message.composer!r}, which the model "
            f"{model.name} does not bring: name that composer's folder with --composer"
        )
    chosen = _composer(composer, model) or message.composer
    opened = load_composer(chosen, model) if isinstance(chosen, str) else chosen
    bound = message_composer(message, opened)
    query = Query(text=message.text, negatives=message.negatives, from_device=True, literal=literal)
    return Asked(query, bound)


def _composer(text: str | None, model: EmbeddingModel) -> str | Composer | None:
    """What `--composer` says; opened here only where it comes with settings."""
    from composir.compose import load_composer, parse_composer

    if text is None:
        return None
    name, settings = parse_composer(text)
    return load_composer(name, model, **settings) if settings else name


def _check_alone(
    words: list[str] | None,
    images: list[str] | None,
    crop: str | None,
    negatives: list[str] | None,
    explain: Path | None,
) -> None:
    if words or images or crop or negatives:
        raise QueryError("--message brings its own picture, words and --not: leave those out")
    if explain is not None:
        raise QueryError("--explain needs the picture, which a message does not hold: use --image")


def _query(
    words: list[str],
    negatives: list[str],
    images: list[str],
    crop: str | None,
    *,
    allow_url: bool,
) -> Query:
    part = None if crop is None else Crop.parse(crop)
    references = command_line_references(images, allow_url=allow_url)
    text = " ".join(words)
    return Query(image=references or None, text=text, negatives=tuple(negatives), crop=part)


def _form(*, as_json: bool, paths: bool, null: bool) -> Form:
    """What to print the hits as; of several asked for, none is dropped in silence."""
    if as_json and (paths or null):
        raise QueryError("--json and --paths both want stdout: choose one")
    if null:
        return "null"
    return "paths" if paths else "json" if as_json else "table"


def _write_page(
    html: Path | None, result: SearchResult, gallery: Gallery, where: str | None, show: bool
) -> None:
    from composir.cli.passing_page import passing_page
    from composir.pages.contact_sheet import gather, write_contact_sheet

    destination = html or passing_page()
    title = result.query.text.strip() or "Pictures like this one"
    page = write_contact_sheet(
        destination, [gather(result, gallery, where=where)], title=title, option="--html"
    )
    kept = "" if html else " (for this once: --html FILE keeps one)"
    note(f"page: {printable(str(page))}{kept}")
    if show and typer.launch(page.as_uri()) != 0:
        if html is None:
            page.unlink(missing_ok=True)
        note("no browser could be opened; write the page to a file of yours with --html FILE")


def _check_sort(sort: Sort, explain: Path | None) -> None:
    if sort is not Sort.score and explain is not None:
        raise QueryError(
            f"--explain tells why hits score best, and --sort {sort.value} orders them otherwise: "
            "leave one of the two out"
        )


def _check_rerank(rerank: str | None, explain: Path | None) -> None:
    if rerank is not None and explain is not None:
        raise QueryError(
            "--explain tells why hits score best in the gallery, and --rerank orders them by "
            "another model: leave one of the two out"
        )


def _check_outputs(html: Path | None, explain: Path | None) -> None:
    """Refuse what may not be written before anything is searched."""
    if html is not None:
        from composir.data.outputs import PAGE, check_file

        check_file(html, PAGE, "--html")
    if explain is not None:
        from composir.pages.explanation_page import check_explanation

        check_explanation(explain, "--explain")


def _write_explanation(
    destination: Path,
    result: SearchResult,
    gallery: Gallery,
    asked: Asked,
    options: SearchOptions,
) -> None:
    from composir.explain import ExplainSettings, explain_search
    from composir.pages.explanation_page import write_explanation

    settings = ExplainSettings(
        options.where, options.include_reference, options.collapse_duplicates, options.missing
    )
    explanation = explain_search(result, gallery, asked.composer, settings)
    written = write_explanation(destination, explanation, "--explain")
    note(f"explanation: {printable(str(written))}")
