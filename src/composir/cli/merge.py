"""`composir merge`, and what it joins: `composir index --shard K/N` and `--ray`."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from composir.cli.index_notes import (
    failure_lines,
    index_notes,
    print_report,
    told_changes,
    told_counts,
)
from composir.cli.mirrored import merged_gallery, shard_workplace
from composir.cli.options import GalleryArgument, JsonOption
from composir.cli.paths import default_gallery
from composir.cli.progress import resumable_progress
from composir.cli.terminal import echo, printable
from composir.data.remote_paths import is_remote
from composir.errors import DatasetError, GalleryError
from composir.types import IndexReport

if TYPE_CHECKING:
    from composir.gallery.indexer import IndexSettings
    from composir.gallery.shards import MergeReport, Shard
    from composir.gallery.shards.ray_cluster import Load
    from composir.model.base import EmbeddingModel

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)
Part: TypeAlias = "Shard | str"
"""One shard, or the address of a Ray cluster that runs all."""


@app.command(
    epilog="`composir merge G`, after `composir index /data/photos --shard 1/64 --gallery G` and "
    "the 63 others\n\n"
    "`composir merge G --allow-missing`"
)
def merge(
    gallery: GalleryArgument = None,
    *,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Merge what is complete; the others can follow later."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the shards of `composir index --shard` part of their gallery, in one commit.

    Missing shards are named and nothing is merged then. A merge may be stopped or killed at any
    time and repeated: nothing is merged twice.
    """
    from composir.gallery.shards import merge_shards

    place = gallery or default_gallery()
    told = "stopped; the same command goes on."
    with merged_gallery(place) as work, resumable_progress(lambda: told) as show:
        report = merge_shards(work.folder, allow_missing=allow_missing, progress=show)
    print_merge(report, place, as_json=as_json)


def print_merge(report: MergeReport, folder: Path, *, as_json: bool) -> None:
    """Say what a merge did."""
    if as_json:
        print_report(report, folder)
        return
    echo("\n".join([*_summary(report, folder), *failure_lines(report.failures)]))


def _summary(report: MergeReport, folder: Path) -> Iterator[str]:
    place = printable(str(folder))
    if not report.merged:
        yield f"nothing to merge: {place} has all that its shards have made"
    else:
        yield f"{len(report.merged):,} of {report.shards:,} shards merged into {place}"
    counts = {
        "new": report.added,
        "changed": report.replaced,
        "in the gallery already": report.unchanged,
    }
    yield f"{report.total:,} pictures; {told_counts(counts, report.seconds)}"
    if report.merged_before:
        yield f"merged before: {', '.join(map(str, report.merged_before))}"
    for number, reason in report.missing.items():
        yield f"missing: shard {number} ({reason})"


def chosen_part(shard: str | None, ray: str | None, metadata: Path | None) -> Part | None:
    """What `--shard` or `--ray` says; metadata are for all pictures at once."""
    if shard is None and ray is None:
        return None
    if metadata is not None:
        raise DatasetError(
            "--metadata is for the whole gallery: run the shards without it, then composir merge, "
            "then composir index with --metadata, which encodes nothing again"
        )
    if shard is not None and ray is not None:
        raise GalleryError("--ray runs all shards by itself: leave --shard out")
    from composir.gallery.shards import parse_shard

    return parse_shard(shard) if shard is not None else ray


def index_in_parts(
    gallery: Path,
    models: tuple[EmbeddingModel, Load],
    roots: Sequence[Path],
    part: Part,
    settings: IndexSettings,
    *,
    cpus: int | None,
    as_json: bool,
) -> None:
    """Run one shard, or all of them on Ray, and print what was done.

    `models` are the model, and what gives it to another process; `cpus` are each Ray worker's.
    """
    from composir.gallery.shards import index_shard
    from composir.gallery.shards.ray_cluster import RayPlace, index_on_ray

    told = "stopped; what has been encoded is kept; the same command resumes."
    if isinstance(part, str):
        _refuse_store(gallery)
        with resumable_progress(lambda: told) as show:
            place = RayPlace(part, cpus)
            merged = index_on_ray(gallery, models[1], roots, settings, place, show)
        print_merge(merged, gallery, as_json=as_json)
        return
    with (
        shard_workplace(gallery, part, models[0]) as work,
        resumable_progress(lambda: told) as show,
    ):
        shown = work.publishing(show)
        report = index_shard(work.folder, models[0], roots, part, settings, shown)
    _print_shard(report, part, gallery, as_json=as_json)


def _refuse_store(gallery: Path) -> None:
    if is_remote(gallery):
        raise GalleryError(
            f"--ray shares out a folder that all workers see, and {gallery} is in an object store: "
            "run --shard 1/N to N/N there, on any machines, then composir merge"
        )


def _print_shard(report: IndexReport, shard: Shard, gallery: Path, *, as_json: bool) -> None:
    if as_json:
        print_report(report, gallery, shard=shard.number, of=shard.of)
        return
    merge = f"composir merge {shlex.quote(str(gallery))}"
    lines = [
        f"{shard}: {report.total:,} pictures wait to be merged; {told_changes(report)}",
        printable(f"when all {shard.of} are done: {merge}"),
        *index_notes(report),
        *failure_lines(report.failures),
    ]
    echo("\n".join(lines))
