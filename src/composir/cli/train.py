"""`composir train`: make models; needs the extra `train`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

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
    "`composir train compose --from runs/map --triplets triplets/ --text-triplets texts/ "
    "--out runs/mixed`\n\n"
    "`composir train compose --from runs/map --text-triplets texts/ --out runs/from-texts`\n\n"
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
    text_triplets: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="Triplets of captions alone, as `composir triplets texts` writes them (JSONL with "
            "reference, text, target, edit), beside --triplets or without; repeat.",
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
    device: Device = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Teach a trained composer to compose, from triplets or click logs (Map-to-Compose, stage 2).

    Triplets may be of pictures, of texts alone, or both: then each step has some of each. They are
    checked and split by reference; the run ends with a table of held-out triplets before and after.
    Of several starts each becomes a composer: OUT/composer the first,
    OUT/composer-NAME the others. Stop it at any time: the same command resumes from the last
    checkpoint.
    """
    from composir.train.composing.compose_config import ComposeConfig
    from composir.train.composing.recipe import train_composing

    files = {"triplets": triplets, "text_triplets": text_triplets}
    chosen = _assigned(model, device=device, **files, start=start) + (assignments or [])
    _train(train_composing, ComposeConfig, out, config, chosen)


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
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option(
        help="Where to train: cpu, cuda (an NVIDIA GPU, or AMD's with torch for ROCm), or auto, "
        "which takes a GPU where torch finds one.",
        show_default="auto",
    ),
]
Settings = Annotated[Path | None, typer.Option(metavar="TOML", help="Settings file.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting; repeatable."),
]


@app.command(
    name="map",
    epilog="`composir train map --data data/flickr8k-train --out runs/map`\n\n"
    "`composir train map --images photos/ --captions captions.jsonl --dev my-dev/ --out runs/map`"
    "\n\n"
    "`composir train map --data data/ --device cuda --out runs/map`",
)
def mapping(
    *,
    out: Out,
    model: Model = DEFAULT_MODEL,
    data: Data = None,
    images: Images = None,
    captions: Captions = None,
    dev: Dev = None,
    device: Device = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train stage 1 of Map-to-Compose: a reference becomes a pseudo-word.

    Needs pictures alone; captions help where there are some. The result is a composer:
    `composir search --composer OUT/composer`.
    """
    from composir.train.mapping.recipe import MapConfig, train_map

    chosen = _mapping(model, data, images, captions, dev, device) + (assignments or [])
    _train(train_map, MapConfig, out, config, chosen)


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
    device: Device = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train a published baseline: pic2word from pictures, text-map from captions."""
    from composir.train.baselines import pic2word, text_only
    from composir.train.mapping.recipe import MapConfig

    chosen = _mapping(model, data, images, captions, dev, device) + (assignments or [])
    if name == "text-map":
        settings = [*text_only.PRESET, *chosen]
        _train(text_only.train_text_map, text_only.TextMapConfig, out, config, settings)
    else:
        _train(pic2word.train_pic2word, MapConfig, out, config, [*pic2word.PRESET, *chosen])


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


def _mapping(
    model: str,
    data: list[Path] | None,
    images: list[str] | None,
    captions: Path | None,
    dev: list[Path] | None,
    device: str | None,
) -> list[str]:
    sources = {"sources.data": data, "sources.images": images, "sources.captions": captions}
    return _assigned(model, **sources, dev=dev, device=device)


def _assigned(model: str, **options: Path | Sequence[str | Path] | None) -> list[str]:
    """Options as assignments, the form that settings take; what was not given is left out."""
    given = {name: value for name, value in options.items() if value}
    if model != DEFAULT_MODEL:
        given["model"] = model
    return [
        f"{name}={json.dumps(value, ensure_ascii=False, default=str)}"
        for name, value in given.items()
    ]


def _train(
    recipe: Callable[[Any, Path, Callable[[str], None]], object],
    kind: type[Any],
    out: Path,
    config: Path | None,
    chosen: list[str],
) -> None:
    from composir.train.config import read_config

    settings = read_config(kind, config, chosen)
    with _resumable(out):
        recipe(settings, out, note)


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
    device: Device = None,
    config: Settings = None,
    assignments: Set = None,
) -> None:
    """Train an ISA composer: a light query side that turns a picture into a sentence.

    Unlabelled pictures are enough. Features are cached first, then the token learner is trained.
    Stop it at any time: the same command resumes from the last checkpoint.
    """
    from composir.train.isa.recipe import IsaConfig, train_isa

    chosen = _assigned(model, images=images, data=data, dev=dev, device=device)
    chosen += assignments or []
    _train(train_isa, IsaConfig, out, config, chosen)
