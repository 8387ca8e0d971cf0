"""`composir triplets`: make synthetic triplets, and look at them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from composir.cli import models
from composir.cli import triplet_options as options
from composir.cli.options import JsonOption, ModelOption, ThreadsOption
from composir.cli.paths import vector_cache
from composir.cli.progress import stage_progress
from composir.cli.terminal import echo, note, print_json, printable
from composir.cli.triplet_writers import (
    EndpointOptions,
    agree_on_budget,
    describe_usage,
    language_model_writer,
)
from composir.data.problems import Problem, summarised
from composir.errors import DatasetError
from composir.limits import LARGEST_SEED, MOST_TRIPLETS

if TYPE_CHECKING:
    from composir.encode.feature_store import FeatureStore
    from composir.model.base import EmbeddingModel
    from composir.triplets import ImageSet, Made, MakeSettings
    from composir.triplets.language_model import LanguageModelWriter
    from composir.triplets.make import TripletMaterial
    from composir.triplets.templates import TemplateWriter

app = typer.Typer(
    name="triplets",
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Make triplets (reference, text, target) to train composers on, and look at them.",
)


@app.command(
    epilog="`composir triplets make --images photos/ --captions captions.jsonl --out triplets/`\n\n"
    "`composir triplets make --data shop/ --vary colour --group title --out triplets/`\n\n"
    "`composir triplets make --data shop/ --out better/ --writer openai "
    "--base-url http://localhost:8000/v1 --language-model NAME`"
)
def make(
    *,
    out: options.Out,
    images: options.Images = None,
    captions: options.Captions = None,
    data: options.Data = None,
    count: options.Count = 1000,
    seed: options.Seed = 0,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    only: options.Only = None,
    split: options.Split = None,
    pairs: options.Pairs = None,
    vary: options.Vary = None,
    group: options.Group = None,
    caption_column: options.CaptionColumn = None,
    neighbours: options.Neighbours = 16,
    margin: options.Margin = 0.0,
    max_similarity: options.MaxSimilarity = 0.97,
    per_reference: options.PerReference = 4,
    writer: options.Writer = options.WriterName.TEMPLATES,
    base_url: options.BaseUrl = "",
    language_model: options.LanguageModel = "",
    key_variable: options.KeyVariable = "OPENAI_API_KEY",
    max_requests: options.MaxRequests = 5000,
    concurrency: options.Concurrency = 8,
    timeout: options.Timeout = 60.0,
    request: options.Request = None,
    price_in: options.PriceIn = None,
    price_out: options.PriceOut = None,
    yes: options.Yes = False,
    no_cache: options.NoCache = False,
    as_json: JsonOption = False,
) -> None:
    """Make triplets from captioned or labelled pictures, as a data set folder to train on.

    Pictures are paired where they look or are described alike, or share all attributes but one;
    templates or a language model write what leads from one to the other. A stopped run resumes.
    """
    from composir.triplets.make import MakeSettings
    from composir.triplets.sieve import FilterSettings

    source = _read(images, captions, data, caption_column or [], only, split)
    settings = MakeSettings(
        count=count,
        seed=seed,
        kinds=tuple(kind.value for kind in dict.fromkeys(pairs or [])),
        vary=tuple(vary or ()),
        group=tuple(group or ()),
        neighbours=neighbours,
        filters=FilterSettings(max_similarity, margin, per_reference),
    )
    asked = EndpointOptions(
        *(base_url, language_model, key_variable, max_requests, concurrency, timeout),
        *(request or [], price_in, price_out, yes),
    )
    endpoint = asked if writer is options.WriterName.OPENAI else None
    encoder = models.resolve_model(model, models.Compute(threads))
    run = _Run(source, settings, encoder, _writer(endpoint, seed), endpoint, vector_cache(no_cache))
    _make(run, out, as_json)


@dataclass(frozen=True, slots=True)
class _Run:
    """Everything that one run needs."""

    source: ImageSet
    settings: MakeSettings
    model: EmbeddingModel
    writer: TemplateWriter | LanguageModelWriter
    endpoint: EndpointOptions | None
    cache: FeatureStore | None


def _read(
    images: Path | None,
    captions: Path | None,
    data: Path | None,
    columns: list[str],
    only: Path | None,
    split: str | None,
) -> ImageSet:
    from composir.triplets import read_captioned, read_data_set

    if data is not None and images is None and captions is None:
        return read_data_set(data, columns=columns, only=only, split=split)
    if data is not None or images is None or captions is None:
        raise DatasetError("say where the pictures are: --images with --captions, or --data alone")
    if split is not None:
        raise DatasetError("--split reads a column of --data; use --only FILE with --images")
    return read_captioned(images, captions, columns=columns, only=only)


def _writer(endpoint: EndpointOptions | None, seed: int) -> TemplateWriter | LanguageModelWriter:
    from composir.triplets.templates import TemplateWriter

    return TemplateWriter(seed) if endpoint is None else language_model_writer(endpoint, seed)


def _make(run: _Run, out: Path, as_json: bool) -> None:
    from composir.data.outputs import withdrawn_if_refused
    from composir.triplets import make_triplets
    from composir.triplets.triplet_folder import RECIPE, claim_folder, recipe_of, write_triplets

    for notice in run.source.notices:
        note(f"note: {notice}")
    recipe = recipe_of(run.source, run.model, run.writer, run.settings)
    is_writing = False

    def ready(prepared: TripletMaterial) -> None:
        nonlocal is_writing
        _before_writing(run, prepared)
        is_writing = True

    try:
        # Or a corrected command would be refused as another recipe.
        with withdrawn_if_refused(out, {RECIPE}, lambda: not is_writing), stage_progress() as show:
            claim_folder(out, recipe)
            made = make_triplets(
                *(run.source, run.model, run.writer, run.settings),
                cache=run.cache,
                progress=show,
                ready=ready,
            )
    except KeyboardInterrupt:
        note("stopped; what was encoded and answered is kept, and the same command resumes")
        raise
    report = _report(run, made)
    write_triplets(out, run.source, made, recipe, report)
    if as_json:
        print_json({"folder": out.absolute(), **report})
    else:
        echo("\n".join(_summary(run, made, out)))


def _before_writing(run: _Run, prepared: TripletMaterial) -> None:
    _tell_columns(prepared)
    if run.endpoint is not None:
        writer = cast("LanguageModelWriter", run.writer)
        agree_on_budget(writer, run.endpoint, prepared, run.settings)


def _tell_columns(prepared: TripletMaterial) -> None:
    for name, share in prepared.seen.items():
        note(f"column {printable(name)}: the model sees it in {100 * share:.0f} % (50 is chance)")
    for grouping in prepared.groupings:
        same = ", ".join((*grouping.titles, *grouping.values)) or "nothing (the look decides)"
        note(f"varied: {printable(grouping.vary)}; the same: {printable(same)}")


def _report(run: _Run, made: Made) -> dict[str, Any]:
    return {
        "triplets": len(made.triplets),
        "images": len(made.images),
        "kinds": dict(Counter(triplet.pair.label for triplet in made.triplets)),
        "dropped": dict(made.dropped),
        "unreadable": len(made.failures),
        "columns_seen": {name: round(share, 3) for name, share in made.seen.items()},
        "notices": list(run.source.notices),
        **(
            {"usage": describe_usage(cast("LanguageModelWriter", run.writer), run.endpoint)}
            if run.endpoint
            else {}
        ),
    }


def _summary(run: _Run, made: Made, out: Path) -> list[str]:
    kinds = Counter(triplet.pair.label for triplet in made.triplets)
    lines = [f"{len(made.triplets):,} triplets in {printable(str(out))}"]
    lines += [f"  {number:>7,}  {printable(kind)}" for kind, number in kinds.most_common()]
    if made.dropped:
        lines.append("dropped on the way:")
        lines += [f"  {number:>7,}  {printable(why)}" for why, number in made.dropped.items()]
    unread = [Problem(str(failure.path), failure.reason) for failure in made.failures]
    lines += [f"cannot be read: {printable(line)}" for line in summarised(unread)]
    if run.endpoint is not None:
        lines.append(describe_usage(cast("LanguageModelWriter", run.writer), run.endpoint))
    if len(made.triplets) < run.settings.count:
        why = "the budget of requests is used up" if run.writer.is_spent else "no pair is left"
        lines.append(f"fewer than the {run.settings.count:,} asked for: {why}")
    return lines


@app.command(epilog="`composir triplets look triplets/ --html sheet.html`")
def look(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, help="Triplets.")],
    *,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many to show.")] = 60,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the random choice.")
    ] = 0,
) -> None:
    """Show triplets: reference, text, target, and where each text comes from."""
    from composir.data.outputs import PAGE, check_file, write_file
    from composir.triplets.triplet_folder import choose_rows, read_rows

    if html is not None:
        check_file(html, PAGE, "--html")
    rows = read_rows(folder)
    chosen = choose_rows(rows, count, seed)
    if html is None:
        for row in chosen:
            words = (row.reference or "", f'"{row.text}"', row.targets[0])
            echo("\t".join(printable(word) for word in words))
        return
    from composir.pages.triplet_sheet import triplet_sheet

    page = write_file(html, triplet_sheet(folder, chosen, len(rows)), PAGE, "--html")
    echo(f"wrote {printable(str(page))}")


@app.command(
    epilog="`composir triplets edit --images photos/ --count 4000 --out edits/`\n\n"
    "`composir triplets edit --data shop/ --count 4000 --out edits/`"
)
def edit(
    *,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", exists=True, help="Folder of pictures; repeatable."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FOLDER", exists=True, help="Data set folder whose gallery is used; repeatable."
        ),
    ] = None,
    out: options.Out,
    count: Annotated[int, typer.Option(min=1, max=MOST_TRIPLETS, help="How many triplets.")] = 1000,
    seed: options.Seed = 0,
) -> None:
    """Make triplets from edited copies of any pictures: no captions, no labels.

    A recoloured, darkened, multiplied or drawn copy differs in exactly what the words say.
    """
    from composir.images.scan import scan
    from composir.triplets.edited import EditSettings, make_edited
    from composir.triplets.region_edits import Regions
    from composir.triplets.source import read_data_set
    from composir.types import Failure

    files = [found.path for found in scan(images or []) if not isinstance(found, Failure)]
    listed = [(folder, one) for folder in data or [] for one in read_data_set(folder).images]
    files += [image.file for _, image in listed]
    known = {image.file: Regions.of_row(folder, image.row) for folder, image in listed}
    regions = {file: found for file, found in known.items() if found is not None}
    with stage_progress() as progress:
        told = partial(progress, "editing")
        made = make_edited(files, out, EditSettings(count, seed), told, regions)
    echo(f"{made.triplets:,} edits in {printable(str(out))}, with ways back")
    for name, number in made.by_edit.items():
        echo(f"  {number:>7,}  {name}")
    skipped = [Problem(file, reason) for file, reason in made.skipped]
    for line in summarised(skipped):
        note(f"skipped {printable(line)}")


@app.command(epilog="`composir triplets texts --captions captions.jsonl --out texts/`")
def texts(
    *,
    captions: Annotated[
        list[Path],
        typer.Option(
            metavar="FILE",
            exists=True,
            help="CSV, JSONL or Parquet of captions, and perhaps of `changed` ones; repeatable.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="New folder for the triplets.")],
    count: options.Count = 300_000,
    seed: options.Seed = 0,
) -> None:
    """Make triplets of texts alone: a caption, what is to change in it, and the changed caption."""
    from composir.triplets.text_triplets import make_texts

    with stage_progress() as progress:
        made = make_texts(captions, out, (count, seed), lambda d, t: progress("writing", d, t))
    echo(f"{sum(made.values()):,} triplets in {printable(str(out))}")
    for name, number in made.most_common():
        echo(f"  {number:>9,}  {printable(name)}")
