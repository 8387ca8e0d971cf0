"""`composir train`: make models; needs the extra `train`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from composir.cli.models import DEFAULT_MODEL
from composir.cli.terminal import note
from composir.errors import MissingExtraError

app = typer.Typer(
    name="train",
    add_completion=False,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    help="Train models (needs the extra `train`).",
)


@app.callback()
def needs_torch() -> None:
    """Train models (needs the extra `train`)."""
    if find_spec("torch") is None:
        raise MissingExtraError("torch", "train")


@app.command(
    epilog="`composir train compose --from runs/map --triplets triplets/ --out runs/compose`\n\n"
    "`composir train compose --from runs/map --triplets clicks.jsonl --set images=photos/ "
    "--out runs/own`\n\n"
    "`composir train compose --from runs/map --from runs/isa --triplets triplets/ --out runs/both`"
    "\n\n"
    "`composir search --composer runs/compose/composer …`"
)
def compose(
    *,
    out: Out,
    triplets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FOLDER|FILE",
            help="Data set folder, or JSONL/CSV with reference, text, targets (or clicked, shown); "
            "repeat.",
        ),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FOLDER|NAME",
            help="Stage 1: a run, or a packaged composer; default: the model's own. Repeat for one "
            "text encoder that serves several.",
        ),
    ] = None,
    model: Model = DEFAULT_MODEL,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Teach a trained composer to compose, from triplets or click logs (Map-to-Compose, stage 2).

    Triplets are checked and split by reference; the run ends with a table of held-out triplets
    before and after. Of several starts each becomes a composer: OUT/composer the first,
    OUT/composer-NAME the others. Stop it at any time: the same command resumes from the last
    checkpoint.
    """
    from composir.train.composing.compose_config import ComposeConfig
    from composir.train.composing.recipe import train_composing
    from composir.train.config import read_config

    named = {
        "triplets": triplets,
        "start": start,
        "model": model if model != DEFAULT_MODEL else None,
    }
    chosen = [f"{key}={_toml(value)}" for key, value in named.items() if value]
    settings = read_config(ComposeConfig, config, [*chosen, *(assignments or [])])
    with _resumable(out):
        train_composing(settings, out, note)


Model = Annotated[str, typer.Option(metavar="NAME|FOLDER", help="The foundation model.")]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER", exists=True, help="Data set folder, or a folder of them; repeatable."
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(metavar="FOLDER|GLOB|TAR|PARQUET", help="Pictures without captions; repeatable."),
]
Captions = Annotated[
    Path | None,
    typer.Option(metavar="FILE", exists=True, help="Captions of the pictures in --images."),
]
Dev = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FOLDER",
        exists=True,
        help="Data set folder whose composed queries are scored during training and choose the "
        "blend; what they ask about is not trained on; repeat.",
    ),
]
Out = Annotated[
    Path, typer.Option(metavar="FOLDER", help="Run folder; an unfinished run there is resumed.")
]
Settings = Annotated[Path | None, typer.Option(metavar="TOML", help="Settings file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting; repeatable."),
]


@app.command(
    name="map",
    epilog="`composir train map --data data/flickr8k-train --out runs/map`\n\n"
    "`composir train map --images photos/ --captions captions.jsonl --dev my-dev/ --out runs/map`",
)
def mapping(
    *,
    out: Out,
    model: Model = DEFAULT_MODEL,
    data: Data = None,
    images: Images = None,
    captions: Captions = None,
    dev: Dev = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train stage 1 of Map-to-Compose: a reference becomes a pseudo-word.

    Needs pictures alone; captions help where there are some. The result is a composer:
    `composir search --composer OUT/composer`.
    """
    from composir.train.config import read_config
    from composir.train.mapping.recipe import MapConfig, train_map

    chosen = _mapping_settings(model, data, images, captions, dev) + (assignments or [])
    settings = read_config(MapConfig, config, chosen)
    with _resumable(out):
        train_map(settings, out, note)


@app.command(
    epilog="`composir train baseline pic2word --data data/flickr8k-train --out runs/pic2word`\n\n"
    "`composir train baseline text-map --data data/flickr8k-train --out runs/text-map`"
)
def baseline(
    name: Annotated[Literal["pic2word", "text-map"], typer.Argument(help="Baseline to train.")],
    *,
    out: Out,
    model: Model = DEFAULT_MODEL,
    data: Data = None,
    images: Images = None,
    captions: Captions = None,
    dev: Dev = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train a published baseline: pic2word from pictures, text-map from captions."""
    from composir.train.baselines import pic2word, text_only
    from composir.train.config import read_config
    from composir.train.mapping.recipe import MapConfig

    chosen = _mapping_settings(model, data, images, captions, dev) + (assignments or [])
    with _resumable(out):
        if name == "text-map":
            chosen = [*text_only.PRESET, *chosen]
            settings = read_config(text_only.TextMapConfig, config, chosen)
            text_only.train_text_map(settings, out, note)
        else:
            chosen = [*pic2word.PRESET, *chosen]
            pic2word.train_pic2word(read_config(MapConfig, config, chosen), out, note)


@app.command(epilog="`composir train blend runs/isa/composer --dev my-dev/`")
def blend(
    composer: Annotated[
        Path, typer.Argument(metavar="COMPOSER", help="Folder of a trained composer.")
    ],
    *,
    dev: Dev = None,
    model: Model = DEFAULT_MODEL,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--fix", metavar="WEIGHT=VALUE", help="Fix a weight, e.g. image=0; repeatable."
        ),
    ] = None,
    cache: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder of cached features.")
    ] = Path(".cache/features"),
) -> None:
    """Choose the weights of a composer's blend on dev queries and write them into its settings."""
    from composir.model import load_model
    from composir.train.blend import choose_blend, parse_fixed
    from composir.train.dev_set import open_dev_set

    loaded = load_model(model)
    sets = (open_dev_set(folder, loaded, cache) for folder in dev or [])
    choice = choose_blend(loaded, composer, sets, parse_fixed(fixed or []))
    chosen = ", ".join(f"{name} {value:g}" for name, value in choice.settings.items())
    note(f"{chosen}: mean recall@10 {choice.score:.1f} % on the dev queries")


def _mapping_settings(
    model: str,
    data: list[Path] | None,
    images: list[str] | None,
    captions: Path | None,
    dev: list[Path] | None,
) -> list[str]:
    """Options as assignments, the form that settings take."""
    lists = {"sources.data": data, "sources.images": images, "dev": dev}
    given = [f"{key}={_toml(list(map(str, values)))}" for key, values in lists.items() if values]
    return [
        *([f"model={_toml(model)}"] if model != DEFAULT_MODEL else []),
        *given,
        *([f"sources.captions={_toml(str(captions))}"] if captions else []),
    ]


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    """Refuse a folder of other things before anything is read; say on Ctrl-C how to go on."""
    from composir.data.outputs import check_own_folder
    from composir.train.run_folder import CONFIG

    check_own_folder(out, {CONFIG}, "--out")
    try:
        yield
    except KeyboardInterrupt:
        note(f"stopped; the same command resumes from the last checkpoint in {out}")
        raise


@app.command(
    epilog="`composir train isa --images ~/photos --out runs/isa`\n\n"
    "`composir train isa --config isa.toml --set token_learner.num_tokens=6 --out runs/isa-6`\n\n"
    "`composir search --composer runs/isa/composer …`"
)
def isa(
    *,
    out: Out,
    model: Model = DEFAULT_MODEL,
    data: Data = None,
    images: Images = None,
    dev: Dev = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train an ISA composer: a light query side that turns a picture into a sentence.

    Unlabelled pictures are enough. Features are cached first, then the token learner is trained.
    Stop it at any time: the same command resumes from the last checkpoint.
    """
    from composir.train.config import read_config
    from composir.train.isa.recipe import IsaConfig, train_isa

    named = {"images": images, "data": data, "dev": dev}
    chosen = [f"{k}={_toml(list(map(str, values)))}" for k, values in named.items() if values]
    chosen += [f"model={_toml(model)}"] if model != DEFAULT_MODEL else []
    settings = read_config(IsaConfig, config, [*chosen, *(assignments or [])])
    with _resumable(out):
        train_isa(settings, out, note)
