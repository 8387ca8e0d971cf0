"""`composir index --shard K/N`: one of many workers, each with its part of the files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from composir.cli.index_notes import failure_lines, index_notes
from composir.cli.interrupts import INTERRUPTED
from composir.cli.progress import index_progress
from composir.cli.terminal import as_document, duration, echo, note, print_json, printable
from composir.errors import DatasetError
from composir.types import IndexReport

if TYPE_CHECKING:
    from composir.gallery.shards import Shard
    from composir.model.base import EmbeddingModel

RunSettings = tuple[tuple[str, ...], bool, bool, int | None]
"""Patterns, whether to forget those of earlier runs and to retry failures, pictures a call."""


def chosen_shard(text: str, metadata: Path | None) -> Shard:
    """What `--shard` says; metadata are for all pictures at once."""
    from composir.gallery.shards import parse_shard

    if metadata is not None:
        raise DatasetError(
            "--metadata is for the whole gallery: run the shards without it, then composir merge, "
            "then composir index with --metadata, which encodes nothing again"
        )
    return parse_shard(text)


def index_one_shard(
    gallery: Path,
    model: EmbeddingModel,
    roots: Sequence[Path],
    shard: Shard,
    settings: RunSettings,
    *,
    as_json: bool,
) -> None:
    """Run a shard and print what it did."""
    from composir.gallery.indexer import IndexSettings
    from composir.gallery.shards import index_shard

    try:
        with index_progress() as show:
            report = index_shard(gallery, model, roots, shard, IndexSettings(*settings), show)
    except KeyboardInterrupt as stop:
        note(f"stopped; what {shard} has encoded is kept; the same command resumes.")
        raise typer.Exit(INTERRUPTED) from stop
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
