"""`composir info`: what a gallery holds, and which model made it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composir.cli import models
from composir.cli.mirrored import gallery_folder
from composir.cli.options import GalleryOption, JsonOption, ModelOption
from composir.cli.terminal import as_document, echo, file_size, print_json, printable
from composir.errors import ModelError

if TYPE_CHECKING:
    from composir.gallery import Gallery, GalleryInfo
    from composir.model.base import EmbeddingModel
    from composir.model.bundle import Bundle
    from composir.model.joint.joint_bundle import JointBundle


app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    epilog="`composir info`\n\n`composir info --failures --gallery shop.gallery`\n\n"
    "`composir info --model-card`"
)
def info(
    *,
    gallery: GalleryOption = None,
    model: ModelOption = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Every picture that could not be read, and why.")
    ] = False,
    model_card: Annotated[
        bool, typer.Option("--model-card", help="The model's card: data, licences, figures.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what a gallery holds and which model made it."""
    if model_card:
        _print_card(_bundled(models.resolve_model(model, models.Compute())), as_json)
        return
    from composir.gallery import open_gallery

    opened = open_gallery(gallery_folder(gallery))
    if failures:
        _print_failures(opened, as_json)
        return
    held = opened.info()
    copied = _copied(opened.path)
    facts = _model_facts(lambda: models.gallery_model(opened.path, model, models.Compute()))
    if as_json:
        print_json({**as_document(held), **copied, "model": facts})
    else:
        told = {name.replace("_", " "): value for name, value in copied.items()}
        _print_facts({**_for_people(held), **told, **facts})


def _copied(folder: Path) -> dict[str, str]:
    """Where the gallery is that this machine has a copy of, if it is one."""
    from composir.gallery.mirror_note import mirror_note

    note = mirror_note(folder)
    return {} if note is None else {"copy_of": note.address}


def _bundled(loaded: EmbeddingModel) -> Bundle | JointBundle:
    from composir.model.catalogue import bundle_of

    bundle = bundle_of(loaded)
    if bundle is None:
        raise ModelError(f"the model {loaded.name} is no bundle and has no card")
    return bundle


def _print_card(bundle: Bundle | JointBundle, as_json: bool) -> None:
    from composir.data.untrusted_json import MANIFEST_LIMIT, read_text

    if as_json:
        print_json(bundle.manifest.model_dump(mode="json", exclude={"files"}))
        return
    missing = f"the bundle {bundle.folder} has no card (README.md)"
    text = read_text(bundle.folder / "README.md", ModelError, limit=MANIFEST_LIMIT, missing=missing)
    echo("\n".join(map(printable, text.split("\n"))))


def _print_failures(gallery: Gallery, as_json: bool) -> None:
    found = gallery.failures()
    if as_json:
        print_json({"failures": found})
        return
    for failure in found:
        echo(f"{printable(str(failure.path))}: {printable(failure.reason)}")
    if not found:
        echo("every picture could be read")


def _for_people(held: GalleryInfo) -> dict[str, str]:
    unread = f"{held.failures:,}"
    return {
        "gallery": str(held.path),
        "pictures": f"{held.images:,}",
        "not readable": f"{unread} (add --failures to see why)" if held.failures else unread,
        "on disk": file_size(held.bytes),
        "folders": ", ".join(_with_patterns(root, held.excludes[root]) for root in held.roots),
        "metadata": _typed(held, held.columns) or "none (composir index --metadata FILE)",
        "of the files": _typed(held, [n for n in held.column_types if n not in held.columns]),
        "created": held.created,
        "updated": held.updated,
        "made by": f"{held.bundle} {held.fingerprint}, {held.dimension} numbers a vector",
        **({} if held.bundle_folder is None else {"its bundle": str(held.bundle_folder)}),
    }


def _with_patterns(root: Path, patterns: Sequence[str]) -> str:
    return f"{root} (without {shlex.join(patterns)})" if patterns else str(root)


def _typed(held: GalleryInfo, names: Sequence[str]) -> str:
    """Columns for filters: `colour (text), price (numbers)`."""
    known = [name for name in names if name in held.column_types]
    return ", ".join(f"{name} ({held.column_types[name]})" for name in known)


def _model_facts(load: Callable[[], EmbeddingModel]) -> dict[str, Any]:
    """What the bundle's manifest says; that the model is not at hand is told, and no error."""
    from composir.compose import composer_names

    try:
        model = load()
        manifest = _bundled(model).manifest
    except ModelError as error:
        return {"model": str(error)}
    return {
        "composers": list(composer_names(model)),
        "default composer": manifest.default_composer,
        "licence": manifest.licence,
        "trained with": ", ".join(f"{one.name} ({one.licence})" for one in manifest.sources),
    }


def _print_facts(facts: dict[str, Any]) -> None:
    width = max(map(len, facts))
    for name, value in facts.items():
        told = ", ".join(value) if isinstance(value, list) else str(value)
        echo(f"{name:<{width}}  {printable(told)}")
