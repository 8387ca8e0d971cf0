"""`composir train`: make models; needs the extra `train`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from composir.cli.terminal import note
from composir.errors import MissingExtraError

app = typer.Typer(
    name="train", no_args_is_help=True, help="Train models (needs the extra `train`)."
)


@app.callback()
def needs_torch() -> None:
    """Train models (needs the extra `train`)."""
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train")


@app.command(
    epilog="`composir train foundation --data data/ --out runs/mini`\n\n"
    "`composir train foundation --config mini.toml --set joint_loop.steps=200 --out runs/longer`"
)
def foundation(
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Run folder; a run there goes on.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", exists=True, help="Folder of the data set folders."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="TOML", help="Settings; see the run's config.json.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one setting; repeat."),
    ] = None,
) -> None:
    """Train the packaged foundation model `mini` on data set folders.

    Features of the frozen trunk are cached first, then both heads are trained, then the upper
    stages with them. Stop it at any time: the same command goes on from the last checkpoint.
    """
    from composir.train.config import read_config
    from composir.train.foundation.recipe import FoundationConfig, train_foundation

    chosen = [*([f"data={data}"] if data else []), *(assignments or [])]
    settings = read_config(FoundationConfig, config, chosen)
    try:
        train_foundation(settings, out, note)
    except KeyboardInterrupt:
        note(f"stopped; the same command goes on from the last checkpoint in {out}")
        raise
