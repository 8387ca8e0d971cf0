"""`composir models`: which models there are; add, check and remove them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from composir.cli.options import JsonOption, finite
from composir.cli.paths import default_gallery
from composir.cli.terminal import (
    agree,
    echo,
    file_size,
    is_asked_by_people,
    note,
    print_json,
    printable,
)
from composir.data.places import user_folder
from composir.errors import BundleError, GalleryError, ModelError

if TYPE_CHECKING:
    from composir.model.checking import CheckedModel
    from composir.model.listing import ModelEntry


class Quantise(Enum):
    """How weights may be made smaller."""

    int8 = "int8"


Name = Annotated[str, typer.Argument(metavar="NAME", help="As `composir models` lists it.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A checkpoint's folder or its model.safetensors, a bundle's folder, ORG/NAME "
        "(or ORG/NAME@REVISION) of the Hugging Face hub, open_clip:ARCHITECTURE/TAG; "
        "any of these behind joint: is a joint encoder, and so is an endpoint, "
        "http://127.0.0.1:8000/v1#NAME.",
    ),
]
NewName = Annotated[
    str | None,
    typer.Option(metavar="NAME", show_default="the source's", help="What to call it."),
]
Quantised = Annotated[
    Quantise | None,
    typer.Option(help="Quantise for speed, unless that changes the ranking."),
]
AcceptLicence = Annotated[
    bool,
    typer.Option("--accept-licence", help="Accept a licence that restricts use."),
]
AllowPickle = Annotated[
    bool,
    typer.Option(
        "--allow-pickle",
        help="Read weights from a pickle where there are no safetensors: only from where you "
        "trust.",
    ),
]
Instruction = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        show_default="what is known to suit it",
        help="For a joint encoder: the instruction that goes with each query.",
    ),
]
AllowRemote = Annotated[
    bool,
    typer.Option(
        "--allow-remote",
        help="For an endpoint on another machine: send it every picture that is indexed, and "
        "the pictures and words of every search.",
    ),
]
KeyVariable = Annotated[
    str | None,
    typer.Option(
        metavar="VARIABLE",
        help="Environment variable that holds the endpoint's key; the key is not stored.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File that holds the endpoint's key; the key is not stored."),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=86_400.0,
        callback=finite,
        help="Seconds to wait for one answer of the endpoint.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
NameOrFolder = Annotated[
    str, typer.Argument(metavar="NAME|FOLDER", help="A model, or a bundle's folder.")
]
Against = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="The original, to compare with it anew (needs the extra `foundation`).",
    ),
]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    epilog="`composir models`\n\n`composir models add ./my-clip --name my-clip`\n\n"
    "`composir index ~/photos --model my-clip --gallery clip.gallery`",
)


@app.callback(invoke_without_command=True)
def models(ctx: typer.Context, *, as_json: JsonOption = False) -> None:
    """List models: packaged, added, and known ones that you can add."""
    if ctx.invoked_subcommand is not None:
        return
    from composir.model.installed import models_folder
    from composir.model.listing import list_models

    found = list_models()
    if as_json:
        entries = [asdict(entry) for entry in found]
        print_json({"folder": models_folder().absolute(), "models": entries})
        return
    for state, title in (
        ("packaged", "packaged with composir:"),
        ("installed", f"added, in {models_folder()}:"),
        ("known", "known, not here yet:"),
    ):
        group = [entry for entry in found if entry.state == state]
        if group:
            echo(printable(title))
        for entry in group:
            echo("\n".join(f"  {printable(line)}" for line in _lines(entry)))


@app.command(
    epilog="`composir models add openai/clip-vit-large-patch14`\n\n"
    "`composir models add open_clip:ViT-B-32/laion2b_s34b_b79k`\n\n"
    "`composir models add ./my-clip --name my-clip --quantise int8`\n\n"
    "`composir models add runs/mine/bundle --name mine`"
)
def add(
    source: Source,
    *,
    name: NewName = None,
    quantise: Quantised = None,
    accept_licence: AcceptLicence = False,
    allow_pickle: AllowPickle = False,
    instruction: Instruction = None,
    allow_remote: AllowRemote = False,
    key_variable: KeyVariable = None,
    key_file: KeyFile = None,
    timeout: Timeout = 120.0,
    as_json: JsonOption = False,
) -> None:
    """Add a model: afterwards its name works wherever `--model` does.

    Checkpoints of CLIP, SigLIP and BLIP, as transformers keeps them, of CLIP and MobileCLIP2, as
    open_clip does, and joint encoders need the extra `foundation`, endpoints the extra `joint`; a
    bundle is copied as it is. Whatever goes wrong, nothing half-added remains.
    """
    from composir.model.adding import add_model
    from composir.model.listing import bundle_entry
    from composir.model.sources import parse_source
    from composir.model.wishes import Wishes

    found = parse_source(source)
    wishes = Wishes(
        name=found.name if name is None else name,
        quantise=quantise.value if quantise else None,
        accepts=(lambda _licence: True) if accept_licence else _accepts,
        say=lambda line: note(printable(line)),
        allow_pickle=allow_pickle,
        instruction=instruction,
        allow_remote=allow_remote,
        key_variable=key_variable,
        key_file=key_file,
        timeout=timeout,
    )
    bundle = add_model(found, wishes)
    entry = bundle_entry(bundle)
    if as_json:
        print_json({**asdict(entry), "training": bundle.manifest.training})
        return
    echo("\n".join(["added:", *(f"  {printable(line)}" for line in _lines(entry))]))
    note(f"use it: composir index FOLDER --model {entry.name} --gallery NEW")


@app.command(epilog="`composir models remove my-clip --yes`")
def remove(
    name: Name,
    *,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> None:
    """Remove an added model; its galleries stay, but cannot be searched without it."""
    from composir.model.catalogue import added_folder
    from composir.model.installed import remove_model

    folder = added_folder(name)
    galleries = galleries_of(folder)
    for gallery in galleries:
        note(f"the gallery {printable(str(gallery))} was made with it, and will need it again")
    if not yes:
        what = f"remove the model {name} ({printable(str(folder))})"
        agree(what, "nothing was removed", ModelError)
    remove_model(name)
    if as_json:
        print_json({"removed": name, "folder": folder, "galleries": galleries})
    else:
        echo(f"removed: {name}")


@app.command(
    epilog="`composir models check mini`\n\n`composir models check my-clip --against ./my-clip`"
)
def check(
    name: NameOrFolder,
    *,
    against: Against = None,
    as_json: JsonOption = False,
) -> None:
    """Verify every file of a model, and compare its outputs with the original's."""
    from composir.model.checking import check_model

    checked = check_model(name, against, say=lambda line: note(printable(line)))
    if as_json:
        print_json(asdict(checked))
    else:
        echo("\n".join(printable(line) for line in _checked(checked)))


def _accepts(licence: str) -> bool:
    """Ask whether a licence is accepted; programs say so beforehand."""
    question = f"its licence restricts the use: {printable(licence)}; do you accept it?"
    return is_asked_by_people() and typer.confirm(question, err=True)


def _lines(entry: ModelEntry) -> list[str]:
    """One model for people."""
    facts = [
        entry.family,
        "" if entry.width is None else f"{entry.width} numbers a vector",
        "" if entry.parameters is None else f"{entry.parameters / 1e6:.3g} M parameters",
        "" if entry.bytes is None else file_size(entry.bytes),
    ]
    lines = [f"{entry.name}: {', '.join(filter(None, facts))}".rstrip(": ")]
    if entry.licence:
        lines.append(f"    {_licence(entry.licence, entry.commercial)}")
    if entry.good_for:
        lines.append(f"    good for: {entry.good_for}")
    if entry.sends_to is not None:
        lines.append(f"    sends pictures and words to: {entry.sends_to}")
    if entry.problem is not None:
        told = "cannot be added" if entry.state == "known" else "broken"
        lines.append(f"    {told}: {entry.problem}")
    elif entry.state == "known":
        lines.append(f"    to add it: composir models add {entry.source}")
    return lines


def _checked(checked: CheckedModel) -> list[str]:
    lines = [
        f"{checked.name} {checked.fingerprint}, in {checked.folder}",
        f"{checked.files:,} files, {file_size(checked.bytes)}: every checksum is right",
        _licence(checked.licence, checked.commercial),
    ]
    tables: list[tuple[str, dict[str, Any]]] = [
        ("differences from the code it was made from, stored when it was made", checked.stored),
        ("the same, measured now", checked.measured or {}),
    ]
    for title, figures in tables:
        lines += [f"{title}:"] * bool(figures)
        width = max(map(len, figures), default=0)
        lines += [f"  {what:<{width}}  {_figure(value)}" for what, value in figures.items()]
    if checked.answers is not None:
        return [*lines, *(f"{what}: {value:.5g}" for what, value in checked.answers.items())]
    if not checked.stored:
        lines.append("no differences from the code it was made from are stored")
    return lines


def _licence(text: str, commercial: str) -> str:
    return f"licence: {text} (--commercial {'takes' if commercial == 'allowed' else 'refuses'} it)"


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def galleries_of(bundle: Path) -> list[Path]:
    """Galleries that a bundle made: of the default one and those in the user data folder.

    Galleries elsewhere are known to nobody but their owners.
    """
    from composir.gallery.manifest import read_manifest
    from composir.model.catalogue import open_bundle

    try:
        fingerprint = open_bundle(bundle).fingerprint
    except BundleError:
        return []
    found = []
    for gallery in dict.fromkeys(_known_galleries()):
        try:
            if read_manifest(gallery).bundle.fingerprint == fingerprint:
                found.append(gallery)
        except GalleryError:
            continue
    return found


def _known_galleries() -> Iterator[Path]:
    yield default_gallery()
    below = user_folder() / "galleries"
    if below.is_dir():
        yield from sorted(path for path in below.iterdir() if path.is_dir())
