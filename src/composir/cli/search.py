"""`composir search`: ask a gallery by an image, words, or both."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from composir.cli import models
from composir.cli import search_options as flags
from composir.cli.mirrored import gallery_folder
from composir.cli.options import (
    CommercialOption,
    DeviceOption,
    GalleryOption,
    JsonOption,
    ModelOption,
    ThreadsOption,
)
from composir.cli.paths import gallery_words
from composir.cli.reference import command_line_references
from composir.cli.search_options import check_alone, check_outputs, check_store
from composir.cli.terminal import note, printable
from composir.crop import Crop
from composir.errors import DeviceMessageError, QueryError
from composir.types import Query, SearchOptions, SearchResult

if TYPE_CHECKING:
    from composir.cli.render import Form
    from composir.compose.base import Composer
    from composir.gallery import Gallery
    from composir.model.base import EmbeddingModel
    from composir.scale.served_gallery import ServedGallery

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog='`composir search "a dog on a beach"`\n\n'
    '`composir search --image lamp.jpg "in brass, without the shade"`\n\n'
    '`composir search --image ref.jpg "at night" --not people --where "width > 1000"`\n\n'
    "`composir search --image ref.jpg -k 30 --html hits.html --open`\n\n"
    '`composir search --image ref.jpg "in brass" --rerank embeddinggemma-2`'
)
def search(
    words: flags.Words = None,
    *,
    images: flags.Images = None,
    crop: flags.Crop = None,
    allow_url: flags.AllowUrl = False,
    message: flags.Message = None,
    negatives: flags.Negatives = None,
    literal: flags.Literal = False,
    count: flags.Count = 10,
    where: flags.Where = None,
    composer: flags.Composer = None,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    device: DeviceOption = "cpu",
    include_reference: flags.IncludeReference = False,
    no_collapse: flags.NoCollapse = False,
    missing: flags.WhenMissing = None,
    sort: flags.Sorting = "score",
    min_confidence: flags.MinConfidence = None,
    rerank: flags.Rerank = None,
    rerank_top: flags.RerankTop = 50,
    commercial: CommercialOption = False,
    no_server: flags.NoServer = False,
    store: flags.Store = None,
    as_json: JsonOption = False,
    paths: flags.Paths = False,
    null: flags.Null = False,
    html: flags.Html = None,
    show: flags.Show = False,
    explain: flags.Explain = None,
) -> None:
    """Search a gallery by an image, words, or both."""
    form = _form(as_json=as_json, paths=paths, null=null)
    check_outputs(html, explain, sort, rerank)
    reranker = None if rerank is None else models.resolve_model(rerank, models.Compute(threads))
    options = SearchOptions(
        k=count,
        where=where,
        include_reference=include_reference,
        collapse_duplicates=not no_collapse,
        missing=missing or ("hide" if store is None else "keep"),
        sort=sort,
        min_confidence=min_confidence,
    )
    check_alone(message, words, images, crop, negatives, explain)
    check_store(store, gallery, message, html, explain, rerank, show=show)
    query = message or _query(words, negatives, images, crop, allow_url=allow_url, literal=literal)
    here = html or show or explain or model or threads or commercial or rerank or no_server or store
    folder = Path() if store is not None else gallery_folder(gallery)
    result = None if here or device != "cpu" else _served(folder, query, composer, options)
    if result is None:
        opened = _opened(store, folder, model, models.Compute(threads, device))
        asked = _asked(query, composer, opened.model, literal=literal)
        _refuse_uncommercial(opened, asked.composer, reranker, commercial=commercial)
        result = _searched(opened, asked, options, reranker, rerank_top)
        _write_explanation(explain, result, opened, asked, options)
        _write_page(html, result, opened, where, show)
    _show(result, form, gallery)


def _show(result: SearchResult, form: Form, gallery: Path | None) -> None:
    from composir.cli import render

    for notice in result.notices:
        note(f"warning: {printable(notice)}")
    render.print_in(form, result, gallery_words(gallery))
    if not result.matches:
        raise typer.Exit(flags.NOTHING_MATCHES)


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """A query and who composes it: a name, a folder, None for the model's own, or an open one."""

    query: Query
    composer: str | Composer | None


def _searched(
    gallery: Gallery | ServedGallery,
    asked: AskedQuery,
    options: SearchOptions,
    reranker: EmbeddingModel | None,
    top: int,
) -> SearchResult:
    """Ask a gallery; re-ranking shows how far it is."""
    from composir.cli.progress import index_progress
    from composir.gallery import Gallery

    gallery.prepare(asked.query, asked.composer)
    if not isinstance(gallery, Gallery):
        return gallery.search(asked.query, composer=asked.composer, **options)
    with nullcontext() if reranker is None else index_progress() as show:
        return gallery.search(
            asked.query,
            composer=asked.composer,
            rerank=reranker,
            rerank_top=top,
            rerank_progress=show,
            **options,
        )


def _refuse_uncommercial(
    gallery: Gallery | ServedGallery,
    composer: str | Composer | None,
    reranker: EmbeddingModel | None,
    *,
    commercial: bool,
) -> None:
    if not commercial:
        return
    models.refuse_uncommercial(gallery.model, gallery.composer(composer))
    if reranker is not None:
        models.refuse_uncommercial(reranker)


def _served(
    folder: Path, query: Query | Path, composer: str | None, options: SearchOptions
) -> SearchResult | None:
    """The answer of the gallery's running server; None where it has none to give."""
    from composir.data.announced import running_server

    server = None if isinstance(query, Path) else running_server(folder)
    if server is None or isinstance(query, Path):
        return None
    from composir.cli.served import served_result

    return served_result(server, query, composer, options)


def _asked(
    query: Query | Path, composer: str | None, model: EmbeddingModel, *, literal: bool
) -> AskedQuery:
    """A query, or a device's message: its composer is the one it names unless another is given."""
    if isinstance(query, Query):
        return AskedQuery(query, _composer(composer, model))
    from composir.compose import composer_names, load_composer
    from composir.device.message import read_message
    from composir.device.server import message_composer

    message = read_message(query)
    if composer is None and message.composer not in composer_names(model):
        # A name from outside must never be taken for a path of this machine.
        raise DeviceMessageError(
            f"the query message needs the composer {message.composer!r}, which the model "
            f"{model.name} does not bring: name that composer's folder with --composer"
        )
    chosen = _composer(composer, model) or message.composer
    opened = load_composer(chosen, model) if isinstance(chosen, str) else chosen
    bound = message_composer(message, opened)
    said = Query(text=message.text, negatives=message.negatives, from_device=True, literal=literal)
    return AskedQuery(said, bound)


def _composer(text: str | None, model: EmbeddingModel) -> str | Composer | None:
    """What `--composer` says; opened here only where it comes with settings."""
    from composir.compose import load_composer, parse_composer

    if text is None:
        return None
    name, settings = parse_composer(text)
    return load_composer(name, model, **settings) if settings else name


def _opened(
    store: str | None, folder: Path, model: str | None, compute: models.Compute
) -> Gallery | ServedGallery:
    if store is None:
        return models.existing_gallery(folder, model, compute)
    return models.open_served(store, model, compute)


def _query(
    words: list[str] | None,
    negatives: list[str] | None,
    images: list[str] | None,
    crop: str | None,
    *,
    allow_url: bool,
    literal: bool,
) -> Query:
    part = None if crop is None else Crop.parse(crop)
    references = command_line_references(images or [], allow_url=allow_url)
    text, unwanted = " ".join(words or []), tuple(negatives or ())
    return Query(references or None, text, negatives=unwanted, crop=part, literal=literal)


def _form(*, as_json: bool, paths: bool, null: bool) -> Form:
    """What to print the hits as; of several asked for, none is dropped in silence."""
    if as_json and (paths or null):
        raise QueryError("--json and --paths both want stdout: choose one")
    if null:
        return "null"
    return "paths" if paths else "json" if as_json else "table"


def _write_page(
    html: Path | None,
    result: SearchResult,
    gallery: Gallery | ServedGallery,
    where: str | None,
    show: bool,
) -> None:
    if not (html or show):
        return
    from composir.cli.paths import passing_page
    from composir.gallery import Gallery
    from composir.pages.contact_sheet import gather, write_contact_sheet

    assert isinstance(gallery, Gallery)  # with a store, pages are refused
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


def _write_explanation(
    destination: Path | None,
    result: SearchResult,
    gallery: Gallery | ServedGallery,
    asked: AskedQuery,
    options: SearchOptions,
) -> None:
    if destination is None:
        return
    from composir.gallery import Gallery

    assert isinstance(gallery, Gallery)  # with a store, explanations are refused
    from composir.explain import ExplainSettings, explain_search
    from composir.pages.explanation_page import write_explanation

    where, missing = options["where"], options["missing"]
    alone, alike = options["include_reference"], options["collapse_duplicates"]
    settings = ExplainSettings(where, alone, alike, missing)
    explanation = explain_search(result, gallery, asked.composer, settings)
    written = write_explanation(destination, explanation, "--explain")
    note(f"explanation: {printable(str(written))}")
