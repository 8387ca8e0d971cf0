"""`composir forget`: drop folders or files from a gallery; the files themselves are not touched."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from composir.cli.mirrored import changed_gallery
from composir.cli.options import GalleryOption, JsonOption
from composir.cli.paths import default_gallery, gallery_words
from composir.cli.terminal import agree, as_document, echo, note, print_json, printable
from composir.errors import GalleryError

if TYPE_CHECKING:
    from composir.gallery.forget import ForgetReport

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog="`composir forget ~/photos/2019`\n\n"
    "`composir forget /media/old-disk --yes --gallery shop.gallery`"
)
def forget(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Folders or files; they need not exist any more."),
    ],
    *,
    gallery: GalleryOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a gallery forget folders or files: pictures, failures, and remembered patterns.

    It says how many first, and asks. Your files are not touched.
    """
    from composir.gallery import open_gallery

    place = gallery or default_gallery()
    with changed_gallery(place, purge=True) as work:
        opened = open_gallery(work.folder)
        planned = opened.forget(paths, dry_run=True)
        told = _what(planned)
        if not yes:
            name = printable(str(place))
            agree(f"forget {told} of the gallery {name}", "nothing was forgotten", GalleryError)
        report = opened.forget(paths)
    if as_json:
        print_json({"gallery": place.absolute(), **as_document(report)})
        return
    echo(f"forgotten: {_what(report)}; {report.total:,} left")
    for line in _afterwards(report, gallery_words(gallery)):
        note(line)


def _what(report: ForgetReport) -> str:
    """`1,204 pictures, 3 that could not be read, the folder /photos`."""
    pictures = "picture" if report.images == 1 else "pictures"
    parts = [f"{report.images:,} {pictures}"]
    if report.failures:
        parts.append(f"{report.failures:,} that could not be read")
    parts += [f"the folder {printable(str(root))}" for root in report.roots]
    return ", ".join(parts)


def _afterwards(report: ForgetReport, gallery: str) -> Iterator[str]:
    for root in report.covered_by:
        name = printable(shlex.quote(str(root)))
        yield (
            f"what is still there comes back with: composir index {name}{gallery} (unless a "
            "pattern leaves it out: --exclude)"
        )
