"""`composir index --shard K/N` and `--ray`: workers, each with its part of the files."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import typer

from composir.cli.index_notes import failure_lines, index_notes
from composir.cli.interrupts import INTERRUPTED
from composir.cli.merge import print_merge
from composir.cli.progress import index_progress
from composir.cli.terminal import as_document, duration, echo, note, print_json, printable
from composir.errors import DatasetError, GalleryError
from composir.types import IndexReport

if TYPE_CHECKING:
    from composir.gallery.progress import ProgressCallback
    from composir.gallery.shards import Shard
    from composir.gallery.shards.ray_cluster import Load
    from composir.model.base import EmbeddingModel

Part: TypeAlias = "Shard | str"
"""One shard, or the address of a Ray cluster that runs all."""
RunSettings = tuple[tuple[str, ...], bool, bool, int | None]
"""Patterns, whether to forget those of earlier runs and to retry failures, pictures a call."""


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
    settings: RunSettings,
    *,
    cpus: int | None,
    as_json: bool,
) -> None:
    """Run one shard, or all of them on Ray, and print what was done.

    Args:
        gallery: The gallery's folder.
        models: The model, and what gives it to another process.
        roots: Folders and files.
        part: A shard, or the address of a cluster.
        settings: Of the run.
        cpus: Of each worker of a cluster.
        as_json: Whether to print JSON.
    """
    from composir.gallery.indexer import IndexSettings
    from composir.gallery.shards import index_shard
    from composir.gallery.shards.ray_cluster import RayPlace, index_on_ray

    made = IndexSettings(*settings)
    if isinstance(part, str):
        with _resumable() as show:
            place = RayPlace(part, cpus)
            merged = index_on_ray(gallery, models[1], roots, made, place, show)
        print_merge(merged, gallery, as_json=as_json)
        return
    with _resumable() as show:
        report = index_shard(gallery, models[0], roots, part, made, show)
    _print_shard(report, part, gallery, as_json=as_json)


@contextmanager
def _resumable() -> Iterator[ProgressCallback]:
    """Show progress; Ctrl-C ends the command."""
    try:
        with index_progress() as show:
            yield show
    except KeyboardInterrupt as stop:
        note("stopped; what has been encoded is kept; the same command resumes.")
        raise typer.Exit(INTERRUPTED) from stop


def _print_shard(report: IndexReport, shard: Shard, gallery: Path, *, as_json: bool) -> None:
    if as_json:
        told = {**as_document(report), "seconds": round(report.seconds, 3)}
        print_json({"gallery": gallery.absolute(), "shard": shard.number, "of": shard.of, **told})
        return
    lines = [*_told(report, shard, gallery), *index_notes(report), *failure_lines(report.failures)]
    echo("\n".join(lines))


def _told(report: IndexReport, shard: Shard, gallery: Path) -> list[str]:
    counts = {
        "new": report.added,
        "known by content": report.reused,
        "unchanged": report.unchanged,
        "gone": report.dropped,
    }
    changes = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    merge = f"composir merge {shlex.quote(str(gallery))}"
    return [
        f"{shard}: {report.total:,} pictures wait to be merged; {changes or 'nothing new'}; "
        f"took {duration(report.seconds)}",
        printable(f"when all {shard.of} are done: {merge}"),
    ]
