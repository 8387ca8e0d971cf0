"""`composir merge`: the shards of a gallery become part of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli.index_notes import failure_lines
from composir.cli.interrupts import INTERRUPTED
from composir.cli.options import GalleryArgument, JsonOption
from composir.cli.paths import default_gallery
from composir.cli.progress import index_progress
from composir.cli.terminal import as_document, duration, echo, note, print_json, printable

if TYPE_CHECKING:
    from composir.gallery.shards import MergeReport

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


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

    folder = gallery or default_gallery()
    try:
        with index_progress() as show:
            report = merge_shards(folder, allow_missing=allow_missing, progress=show)
    except KeyboardInterrupt as stop:
        note("stopped; the same command goes on.")
        raise typer.Exit(INTERRUPTED) from stop
    print_merge(report, folder, as_json=as_json)


def print_merge(report: MergeReport, folder: Path, *, as_json: bool) -> None:
    """Say what a merge did."""
    if as_json:
        told = {**as_document(report), "seconds": round(report.seconds, 3)}
        print_json({"gallery": folder.absolute(), **told})
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
    changes = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    yield f"{report.total:,} pictures; {changes or 'nothing new'}; took {duration(report.seconds)}"
    if report.merged_before:
        yield f"merged before: {', '.join(map(str, report.merged_before))}"
    for number, reason in report.missing.items():
        yield f"missing: shard {number} ({reason})"
