"""`composir export`: write parts of a model, or vectors, for other places and stores."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli import models
from composir.cli.mirrored import gallery_folder
from composir.cli.options import GalleryArgument, GalleryOption, JsonOption, ModelOption
from composir.cli.progress import stage_progress
from composir.cli.terminal import echo, file_size, note, print_json, printable
from composir.errors import QueryError
from composir.limits import MOST_PAGE_PICTURES

if TYPE_CHECKING:
    from composir.compose.spliced import SplicedComposer
    from composir.device.query_export import Export
    from composir.gallery import Gallery
    from composir.scale.upload import UploadReport

app = typer.Typer(
    name="export",
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Export what other devices and stores need.",
)


@app.callback()
def export() -> None:
    """Export what other devices and stores need."""


Target = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="ADDRESS|FILE",
        help="`qdrant://HOST:PORT/COLLECTION`, `postgresql://USER@HOST/DATABASE?table=NAME`, "
        "`lancedb://FOLDER/TABLE`, or a `.parquet` file.",
    ),
]


@app.command(epilog="`composir export vectors --to qdrant://localhost:6333/photos`")
def vectors(*, to: Target, gallery: GalleryOption = None, as_json: JsonOption = False) -> None:
    """Write a gallery's vectors and columns into another store, or a Parquet file.

    Run it again after every change: what the store has already is not sent, and what the gallery no
    longer has is removed. `composir search --store` searches it.
    """
    from composir.gallery import open_gallery

    opened = open_gallery(gallery_folder(gallery))
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


@app.command("query-side", epilog="`composir export query-side --composer isa --out device/`")
def query_side(
    *,
    composer: Annotated[
        str, typer.Option(metavar="NAME|FOLDER", help="A trained composer that takes pixels.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="FOLDER", help="A new or empty folder, or an earlier export.")
    ],
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the query side of a composer: its graph, what to know about it, and a client.

    A phone or a browser turns a picture into pseudo-words with it and sends those, not the picture;
    `composir search --message` answers.
    """
    from composir.device.query_export import export_query_side

    opened = _trained(composer, model)
    written = export_query_side(opened.folder, out)
    if as_json:
        print_json(asdict(written))
        return
    _print(written, opened)


@app.command("page", epilog="`composir export page photos.gallery --out site/ --limit 500`")
def page(
    gallery: GalleryArgument = None,
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="A new or empty folder.")],
    composer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Composes in the browser. [default: one that can]"),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=MOST_PAGE_PICTURES, help="At most so many pictures of it."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a page that searches a gallery without a server, for any host of plain files.

    File names, thumbnails and the columns of your metadata files are in it, originals are not.
    """
    from composir.serve.page_export import export_page

    opened = models.existing_gallery(gallery_folder(gallery), None, models.Compute())
    written = export_page(opened, out, composer=composer, limit=limit)
    if as_json:
        print_json(asdict(written))
        return
    for name, size in written.sizes.items():
        echo(f"{file_size(size):>10}  {printable(str(written.folder / name))}")
    total = sum(written.sizes.values())
    echo(f"{file_size(total):>10}  in all, with {written.images:,} pictures")
    echo(f"try it: python -m http.server --directory {shlex.quote(str(written.folder))}")


def _trained(name: str, model: str | None) -> SplicedComposer:
    from composir.compose import load_composer
    from composir.compose.spliced import SplicedComposer

    composer = load_composer(name, models.resolve_model(model, models.Compute()))
    if not isinstance(composer, SplicedComposer):
        raise QueryError(
            f"the composer {composer.name} is arithmetic: there is nothing of it to export; "
            "give a trained one"
        )
    return composer


def _print(written: Export, composer: SplicedComposer) -> None:
    for name, size in written.sizes.items():
        echo(f"{file_size(size):>10}  {printable(str(written.folder / name))}")
    echo(f"{file_size(sum(written.sizes.values())):>10}  in all")
    for encoding, length in written.message_bytes.items():
        shown = "too long" if length is None else f"{length:,} bytes"
        echo(f"a query as {encoding}: {shown}, and its words")
    if composer.weights.needs_image and not composer.folder.manifest.vector:
        echo("note: this composer blends in the reference's vector; for messages, which have none,")
        echo("the reference's own sentence takes its place (docs/device.md)")
