"""`composir repair`: keep everything of a damaged gallery that can still be read."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from composir.cli import models
from composir.cli.options import GalleryOption, JsonOption, addressed
from composir.cli.paths import default_gallery
from composir.cli.terminal import as_document, echo, print_json, printable, quiet_native_code
from composir.data.object_store import check_address
from composir.data.remote_paths import RemotePath, is_remote
from composir.errors import GalleryError
from composir.gallery.repair import RepairReport, repair_gallery

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog="`composir repair`\n\n`composir repair shop.gallery`\n\n"
    "`composir repair shop.gallery --model mini`"
)
def repair(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[GALLERY]", callback=addressed, help="The gallery; as --gallery."),
    ] = None,
    *,
    gallery: GalleryOption = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|FOLDER",
            help="The model that made the gallery, if the gallery no longer says so.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep everything of a damaged gallery that can still be read, and count what is lost.

    Vectors, thumbnails and metadata are kept; pictures are read again only by the next `composir
    index`, and only those that were lost. The old state is moved aside, nothing is deleted. A
    gallery that is not damaged stays as it is.
    """
    if folder is not None and gallery is not None and folder != gallery:
        raise GalleryError(f"two galleries are named, {folder} and {gallery}: name one")
    chosen = folder or gallery or default_gallery()
    if is_remote(chosen):
        check_address(RemotePath(chosen))
        raise GalleryError(
            f"repair works on a folder: delete this machine's copy of {chosen} (`composir info "
            "--gallery` names it), and it is fetched again whole"
        )
    made_by = None if model is None else models.resolve_model(model, models.Compute())
    with quiet_native_code():
        report = repair_gallery(chosen, made_by)
    if as_json:
        print_json({**as_document(report), "next": _next_command(report)})
    else:
        echo("\n".join(_lines(report)))


def _next_command(report: RepairReport) -> str | None:
    """What reads the lost pictures again."""
    if report.lost == 0:
        return None
    roots = " ".join(shlex.quote(str(root)) for root in report.roots) or "FOLDER"
    return f"composir index {roots} --gallery {shlex.quote(str(report.path))}"


def _lines(report: RepairReport) -> list[str]:
    if not report.faults:
        return [f"nothing is damaged in {_shown(report.path)}: {report.images:,} pictures"]
    lines = [f"damaged: {printable(fault)}" for fault in report.faults]
    lines.append(f"{report.images:,} pictures are in {_shown(report.path)}")
    if report.lost != 0:
        count = "some may be" if report.lost is None else f"{report.lost:,} are"
        lines.append(f"{count} lost; to read them again: {printable(str(_next_command(report)))}")
    if report.without_metadata:
        lines.append(
            f"{report.without_metadata:,} lost their metadata; to bring it back, index again with "
            "--metadata FILE"
        )
    if report.aside is not None:
        lines.append(f"the old state is kept in {_shown(report.aside)}; remove it when you like")
    return lines


def _shown(path: Path) -> str:
    return printable(str(path))
