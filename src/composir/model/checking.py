"""Check a model: every file's checksum, and how near it is to what it was made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from composir.errors import BundleError, ModelError
from composir.model.adding import load_importer
from composir.model.bundle import Bundle
from composir.model.catalogue import open_model
from composir.model.hub import fetch
from composir.model.joint.address import EndpointAddress
from composir.model.joint.joint_bundle import JointBundle
from composir.model.joint.joint_model import JointModel, ask_again
from composir.model.licence import commercial_use
from composir.model.model import Model
from composir.model.sources import Repository, parse_source

_PARITY, _INT8 = "parity", "int8"


@dataclass(frozen=True, slots=True)
class CheckedModel:
    """What a check found; that a file is damaged is an error instead.

    Attributes:
        name: Of the model.
        folder: Where it lies.
        fingerprint: Of its vector space.
        files: How many were verified.
        bytes: Of these, in all.
        licence: Of its weights.
        commercial: As `--commercial` reads that licence.
        stored: Differences from the code it was made from, as measured then, and the cost of int8
            where its graphs are so; by name.
        measured: The same, measured now; None where there was nothing to measure against.
        answers: Of a joint encoder, asked again: how like its answers are to each other and to
            those when it was added, by name; None of others.
    """

    name: str
    folder: Path
    fingerprint: str
    files: int
    bytes: int
    licence: str
    commercial: str
    stored: dict[str, Any]
    measured: dict[str, Any] | None
    answers: dict[str, float] | None = None


def check_model(name: str, against: str | None, say: Callable[[str], None]) -> CheckedModel:
    """Verify a model's files, and compare it again with its source where that is given.

    A joint encoder is asked again for what it was asked when it was added.
    """
    model = open_model(name)
    assert isinstance(model, Model | JointModel)  # all that there are
    bundle, made = model.bundle, model.bundle.manifest
    _verify(bundle)
    measured = answers = None
    if isinstance(model, JointModel):
        say("asking it again for what it was asked when it was added")
        answers = ask_again(model)
    if against is not None:
        say(f"comparing with {against}")
        measured = _compare(model, _local(against))
    return CheckedModel(
        name=made.name,
        folder=bundle.folder.absolute(),
        fingerprint=bundle.fingerprint,
        files=len(made.files),
        bytes=sum(entry.bytes for entry in made.files.values()),
        licence=made.licence,
        commercial=commercial_use(made.licence).answer,
        stored={
            **_flat(made.training.get(_PARITY)),
            **_flat({_INT8: made.training.get(_INT8)}),
        },
        measured=measured,
        answers=answers,
    )


def _verify(bundle: Bundle | JointBundle) -> None:
    wrong = []
    for name in bundle.manifest.files:
        try:
            bundle.file(name)
        except BundleError as error:
            wrong.append(str(error))
    if wrong:
        raise BundleError("; ".join(wrong))


def _local(source: str) -> Path:
    place = parse_source(source).place
    if isinstance(place, EndpointAddress):
        raise ModelError(f"{source} is no checkpoint: leave out --against")
    return fetch(place, local_files_only=True) if isinstance(place, Repository) else place


def _compare(model: Model | JointModel, source: Path) -> dict[str, Any]:
    family = _family(model)
    if not isinstance(model, Model) or family is None:
        raise ModelError(f"{model.name} was not made from a checkpoint: leave out --against")
    load_importer()  # says which extra is missing
    rooms = ("checkpoint", "families", "parity")
    checkpoint, families, parity = (import_module(f"composir.foundation.{room}") for room in rooms)
    theirs = families.family_named(family).reference(checkpoint.Checkpoint(source))
    found = parity.measure(model, theirs)
    if _INT8 not in model.manifest.training:  # whose differences are wanted, and have their gate
        found.check()
    return _flat(found.model_dump())


def _family(model: Model | JointModel) -> str | None:
    """Whose code the model was made from; None of composir's own and of joint encoders."""
    return model.manifest.family if isinstance(model, Model) else None


def _flat(figures: object, prefix: str = "") -> dict[str, Any]:
    """Figures by name; those of a table in a table have both names."""
    if not isinstance(figures, Mapping):
        return {}
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name} ")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
