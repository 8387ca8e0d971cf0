"""`composir doctor`: is everything needed there, and does it work?"""

from __future__ import annotations

from typing import Annotated

import typer

from composir.cli.checks import Check, all_checks
from composir.cli.options import GalleryOption, JsonOption, ModelOption, ThreadsOption
from composir.cli.paths import default_gallery
from composir.cli.terminal import echo, print_json, printable

_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "red")}

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def doctor(
    gallery: GalleryOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read and check every row of the gallery.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check versions, machine, model and gallery; exit with 1 if something needed is broken."""
    found: list[Check] = []
    for check in all_checks(gallery or default_gallery(), model, threads, deep=deep):
        found.append(check)
        if not as_json:
            _print(check)
    healthy = all(check.state != "broken" for check in found)
    if as_json:
        print_json({"healthy": healthy, "checks": found})
    else:
        echo("everything needed works" if healthy else "something needed is broken, see above")
    raise typer.Exit(0 if healthy else 1)


def _print(check: Check) -> None:
    word, colour = _MARKS[check.state]
    told = f"  {check.name:<13} {printable(check.detail)}"
    echo(told, lead=f"{word:<6}", colour=colour)
    if check.remedy:
        echo(f"{'':23}→ {printable(check.remedy)}")
