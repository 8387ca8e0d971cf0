"""Make the bundle of a joint encoder: of an endpoint that answers, or of a checkpoint."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composir.errors import ModelError
from composir.images.preprocess import PreprocessSpec
from composir.lazy import imported
from composir.model.bundle import MOST_WIDTH
from composir.model.joint.address import EndpointAddress
from composir.model.joint.joint_bundle import (
    CHECKPOINT,
    Endpoint,
    Instructions,
    JointBundle,
    save_joint,
)
from composir.model.joint.joint_model import PADDING, Backend, fitted, unit_rows
from composir.model.joint.probe import BlindError, check_sight, probe
from composir.model.known_models import KnownModel
from composir.model.wishes import Wishes
from composir.types import FloatArray

if TYPE_CHECKING:
    from composir.model.joint.local import LocalBackend

SPEC = PreprocessSpec(size=512, fit="pad", pad_colour=PADDING)
_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "README.md", "LICENSE*")
_BELOW = ("1_Pooling/config.json",)
_UNSTATED = "unknown: whoever runs the endpoint can tell"
# What models were trained to be told, by a part of their names without hyphens.
_TOLD = {
    "embeddinggemma": Instructions(query="task: search result | query: "),
    "qwen3vlembedding": Instructions(
        query="Retrieve images relevant to the user's query.",
        picture="Represent the user's input.",
    ),
}
_QUERY = "Find pictures that show what is asked for: "


def check_remote(address: EndpointAddress, wishes: Wishes) -> None:
    """Refuse an endpoint on another machine, unless that is allowed."""
    if not address.is_here and not wishes.allow_remote:
        raise ModelError(
            f"{address.host} is another machine: every picture that is indexed with this model, "
            "and the pictures and words of every search, would be sent there. Nothing was sent "
            "and nothing added; to allow it: --allow-remote"
        )


def privacy(address: EndpointAddress, key: str = "") -> str:
    """What goes where, for people."""
    there = " (this machine)" if address.is_here else ""
    keyed = f", with the key in {key}" if key else ""
    return (
        f"pictures and words of every index and search with it go to {address.host}{there}{keyed}"
    )


def add_endpoint(
    address: EndpointAddress,
    folder: Path,
    wishes: Wishes,
    known: KnownModel | None,
) -> JointBundle:
    """Ask an endpoint for the probe, in the first way that it takes, and note what it gave."""
    check_remote(address, wishes)
    wishes.say(privacy(address))
    if address.is_open:
        keyed = " and the key" if wishes.key_variable or wishes.key_file else ""
        wishes.say(
            f"warning: what goes there{keyed} can be read on its way: that is http, not https"
        )
    told = _instructions(address.model, wishes.instruction)
    endpoint, measured, seconds = _first_that_answers(address, wishes, told)
    return _saved(
        folder,
        measured,
        seconds,
        name=wishes.name,
        backend="endpoint",
        endpoint=endpoint,
        instructions=told,
        licence=known.licence if known else _UNSTATED,
        family=f"joint encoder at {address.host}",
    )


def add_checkpoint(
    source: Path,
    folder: Path,
    wishes: Wishes,
    known: KnownModel | None,
    origin: str,
) -> JointBundle:
    """Take a checkpoint's files along, and note what it makes of the probe; as `add_endpoint`.

    Files are linked where the disk can do that, so that a large checkpoint takes its room once.
    `origin` says where they come from, by which what suits the model is known.
    """
    opened = load_local()
    for path in sorted({found for pattern in _FILES for found in source.glob(pattern)}):
        _taken(path, folder / CHECKPOINT / path.name)
    for below in _BELOW:
        if (source / below).is_file():
            _taken(source / below, folder / CHECKPOINT / below)
    wishes.say("running it once, on two pictures and some words")
    backend = opened(folder / CHECKPOINT)
    asked = wishes.instruction if wishes.instruction is not None else backend.query_prompt
    told = _instructions(f"{origin} {backend.kind}", asked)
    measured, seconds = _probed(backend, told, f"the model {origin}")
    licence = backend.licence or (known.licence if known else "not stated")
    return _saved(
        folder,
        measured,
        seconds,
        name=wishes.name,
        backend="transformers",
        instructions=told,
        licence=licence,
        family=f"joint encoder ({backend.kind})",
        training={"imported_from": origin},
    )


def load_local() -> type[LocalBackend]:
    """What runs checkpoints."""
    imported("transformers", "foundation")
    backend: type[LocalBackend] = imported("composir.model.joint.local:LocalBackend", "foundation")
    return backend


def _first_that_answers(
    address: EndpointAddress, wishes: Wishes, told: Instructions
) -> tuple[Endpoint, FloatArray, float]:
    from composir.model.joint.endpoint import EndpointBackend, RefusedInputError
    from composir.model.joint.shapes import SHAPES

    reasons: list[str] = []
    for shape in SHAPES:
        endpoint = Endpoint(
            url=address.url,
            model=address.model,
            shape=shape,
            key_variable=wishes.key_variable,
            key_file=None if wishes.key_file is None else str(wishes.key_file.absolute()),
            timeout=wishes.timeout,
        )
        try:
            found = _probed(EndpointBackend(endpoint), told, f"{address.host}, asked by {shape},")
        except (RefusedInputError, BlindError) as error:
            reasons.append(str(error))
            continue
        return endpoint, *found
    raise ModelError("; ".join(dict.fromkeys(reasons)))


def _probed(backend: Backend, told: Instructions, who: str) -> tuple[FloatArray, float]:
    """Vectors of the probe, (4, D) float32, and the seconds that its second picture took."""
    items = fitted(probe(), SPEC)
    first = backend.encode(items[:1], told.picture)  # it may load its weights first
    begun = time.perf_counter()
    second = backend.encode(items[1:2], told.picture)
    seconds = time.perf_counter() - begun
    rest = backend.encode(items[2:], told.picture)
    width = len(first[0])
    if not 1 < width <= MOST_WIDTH:
        raise ModelError(f"{who} gives vectors of {width:,} numbers: 2 to {MOST_WIDTH:,} will do")
    vectors = unit_rows([*first, *second, *rest], len(items), width, who)
    check_sight(vectors, who)
    return vectors, seconds


def _saved(folder: Path, measured: FloatArray, seconds: float, **fields: Any) -> JointBundle:
    took = max(round(seconds, 3), 0.001)
    return save_joint(folder, measured, {"preprocess": SPEC, "seconds_a_picture": took, **fields})


def _instructions(model: str, asked: str | None) -> Instructions:
    name = re.sub("[-_]", "", model.casefold())
    known = next((told for part, told in _TOLD.items() if part in name), None)
    found = known or Instructions(query=_QUERY)
    return found if asked is None else found.model_copy(update={"query": asked})


def _taken(path: Path, place: Path) -> None:
    """Link a file, or copy it where that is not possible; a hub's cache holds links itself."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path.resolve(), place)
    except OSError:
        shutil.copyfile(path, place)
