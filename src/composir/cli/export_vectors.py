"""`composir export vectors`: a gallery's vectors for another store, or as a table."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli.options import GalleryOption, JsonOption
from composir.cli.paths import default_gallery
from composir.cli.progress import stage_progress
from composir.cli.terminal import note, print_json

if TYPE_CHECKING:
    from composir.gallery import Gallery
    from composir.scale.upload import UploadReport

Target = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="ADDRESS|FILE",
        help="`qdrant://HOST:PORT/COLLECTION`, `postgresql://USER@HOST/DATABASE?table=NAME`, "
        "`lancedb://FOLDER/TABLE`, or a `.parquet` file.",
    ),
]


def vectors(*, to: Target, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Write a gallery's vectors and columns into another store, or a Parquet file.

    Run it again after every change: what the store has already is not sent, and what the gallery no
    longer has is removed. `composir search --store` searches it.
    """
    from composir.gallery import open_gallery

    opened = open_gallery(gallery or default_gallery())
    with stage_progress() as show:
        report = _export(opened, to, lambda done, total: show("exporting", done, total))
    if as_json:
        print_json(asdict(report))
    else:
        counts = f"{report.written:,} written, {report.unchanged:,} unchanged"
        note(f"{counts}, {report.removed:,} removed")


def _export(opened: Gallery, to: str, show: Callable[[int, int], None]) -> UploadReport:
    from composir.scale import is_address, open_store

    if is_address(to):
        from composir.scale.upload import upload

        with closing(open_store(to)) as store:
            return upload(opened, store, show)
    from composir.scale.vector_table import write_parquet

    return write_parquet(opened, Path(to), show)
