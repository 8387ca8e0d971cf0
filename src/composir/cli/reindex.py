"""`composir reindex`: another model for a gallery: prepared, compared, switched to, taken back."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composir.cli import models
from composir.cli.mirrored import Workplace, changed_gallery, gallery_folder
from composir.cli.options import DeviceOption, GalleryArgument, JsonOption, ThreadsOption
from composir.cli.paths import default_gallery
from composir.cli.progress import resumable_progress
from composir.cli.terminal import as_document, echo, print_json, printable, shortened
from composir.errors import GalleryError

if TYPE_CHECKING:
    from composir.gallery.comparison import ComparedQuery
    from composir.gallery.manifest import BundleIdentity
    from composir.gallery.reindex import KeptModel, ModelsOfGallery
    from composir.model.base import EmbeddingModel
    from composir.types import Query, SearchResult

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)

_STOPPED = "stopped; what has been encoded is kept, the gallery stays; the same command goes on."
_SHOWN_HITS, _SHOWN_WORDS = 3, 60


@app.command(
    epilog="`composir reindex photos.gallery --model OTHER`\n\n"
    "`composir reindex photos.gallery --compare queries.txt`, or `--sample`\n\n"
    "`composir reindex photos.gallery --switch`, then `--rollback` or `--discard`"
)
def reindex(
    gallery: GalleryArgument = None,
    *,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FOLDER",
            help="Encode all pictures with this model beside; the gallery stays as it is.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Ask both models the queries of a file: words by lines, or JSON Lines of `image` "
            "and `text`.",
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Compare them by some pictures of the gallery.")
    ] = False,
    switch: Annotated[
        bool, typer.Option("--switch", help="Make it the prepared model's gallery.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Make it the former model's gallery again.")
    ] = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Remove what is kept of other models.")
    ] = False,
    threads: ThreadsOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Give a gallery another model in steps, and back; without an option, say how it stands."""
    asked = [model is not None, compare is not None, sample, switch, rollback, discard]
    if sum(asked) > 1:
        steps = "--model, --compare, --sample, --switch, --rollback, --discard"
        raise GalleryError(f"one step at a time: {steps}")
    place, compute = gallery or default_gallery(), models.Compute(threads, device)
    if compare is not None or sample:
        _compare(gallery_folder(place), compare, compute, as_json=as_json)
        return
    if not any(asked):
        from composir.gallery.reindex import models_of

        _show(models_of(gallery_folder(place)), place, as_json=as_json)
        return
    with changed_gallery(place, purge=discard) as work:
        if model is not None:
            report = _prepared(work, models.resolve_model(model, compute))
        else:
            report = _stepped(work, compute, switch=switch, rollback=rollback)
    _show(report, place, as_json=as_json)


def _prepared(work: Workplace, model: EmbeddingModel) -> ModelsOfGallery:
    from composir.gallery.reindex import prepare_model

    models.note_receiver(model)
    with resumable_progress(lambda: _STOPPED) as show:
        return prepare_model(work.folder, model, work.publishing(show))


def _stepped(
    work: Workplace, compute: models.Compute, *, switch: bool, rollback: bool
) -> ModelsOfGallery:
    from composir.gallery.comparison import table_beside
    from composir.gallery.reindex import discard_others, roll_back, switch_to_prepared

    if switch:
        other = _model_of(table_beside(work.folder).bundle, work.folder, compute)
        with resumable_progress(lambda: _STOPPED) as show:
            return switch_to_prepared(work.folder, other, work.publishing(show))
    return roll_back(work.folder) if rollback else discard_others(work.folder)


def _model_of(bundle: BundleIdentity, folder: Path, compute: models.Compute) -> EmbeddingModel:
    from composir.gallery.origin import load_origin

    return load_origin(bundle, folder, lambda name: models.resolve_model(str(name), compute))


def _compare(folder: Path, asked: Path | None, compute: models.Compute, *, as_json: bool) -> None:
    from composir.gallery.comparison import (
        compare_models,
        read_queries,
        sampled_queries,
        table_beside,
    )

    queries = sampled_queries(folder) if asked is None else read_queries(asked)
    beside = table_beside(folder)
    if not queries:
        raise GalleryError("there are no queries to compare the models by")
    both = (
        models.gallery_model(folder, None, compute),
        _model_of(beside.bundle, folder, compute),
    )
    compared = list(compare_models(folder, both, queries))
    if as_json:
        print_json(_document(compared, both))
    else:
        echo("\n".join(_lines(compared, both)))


def _document(
    compared: Sequence[ComparedQuery], both: tuple[EmbeddingModel, EmbeddingModel]
) -> dict[str, Any]:
    def found(result: SearchResult) -> dict[str, Any]:
        hits = [{"id": hit.id, "path": hit.path, "score": hit.score} for hit in result.hits]
        return {"confidence": result.confidence.value, "hits": hits}

    return {
        "own": both[0].name,
        "other": both[1].name,
        "common": mean(one.common for one in compared),
        "queries": [
            {
                "query": _words(one.query),
                "common": one.common,
                "own": found(one.own),
                "other": found(one.other),
            }
            for one in compared
        ],
    }


def _lines(
    compared: Sequence[ComparedQuery], both: tuple[EmbeddingModel, EmbeddingModel]
) -> list[str]:
    width = max(len(model.name) for model in both)
    lines = []
    for one in compared:
        most = max(len(one.own.hits), len(one.other.hits))
        lines.append(f"{_words(one.query)}  ({one.common} of {most} in common)")
        for model, result in zip(both, (one.own, one.other), strict=True):
            names = ", ".join(hit.path.name for hit in result.hits[:_SHOWN_HITS])
            lines.append(f"  {model.name:<{width}}  {result.confidence.value:.2f}  {names}")
    share = mean(one.common for one in compared)
    lines.append(f"{len(compared):,} queries, {share:.1f} first hits in common on average")
    return [printable(line) for line in lines]


def _words(query: Query) -> str:
    image = Path(query.image).name if isinstance(query.image, str | Path) else ""
    return shortened(" + ".join(filter(None, (image, query.text))), _SHOWN_WORDS)


def _show(found: ModelsOfGallery, place: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({"gallery": place.absolute(), **as_document(found)})
        return
    words = f"composir reindex {shlex.quote(str(place))}"
    lines = [f"{place} is the model {found.current.name}'s"]
    lines += _kept("prepared", found.prepared, lambda: f"{words} --sample, or --switch")
    lines += _kept("former", found.former, lambda: f"{words} --rollback, or --discard")
    if found.prepared is None and found.former is None:
        lines.append(f"no other model's vectors are kept; {words} --model NAME makes some")
    echo("\n".join(map(printable, lines)))


def _kept(what: str, kept: KeptModel | None, next_step: Callable[[], str]) -> list[str]:
    if kept is None:
        return []
    lacking = f", {kept.lacking:,} came later" if kept.lacking else ""
    return [f"{what}: {kept.bundle.name}, {kept.images:,} pictures{lacking}; {next_step()}"]
