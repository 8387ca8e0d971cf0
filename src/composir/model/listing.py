"""Which models there are, and how near each is to what it was made from, checksums included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from composir.errors import BundleError, ModelError
from composir.model.adding import load_importer
from composir.model.bundle import JOINT_NAME, MANIFEST_NAME, Bundle
from composir.model.catalogue import (
    KNOWN,
    PACKAGED,
    PACKAGED_USES,
    KnownModel,
    installed_folders,
    load_named,
    open_model,
)
from composir.model.joint.joint_bundle import EndpointAddress, JointBundle
from composir.model.joint.joint_model import JointModel, ask_again
from composir.model.licence import commercial_use
from composir.model.model import Model
from composir.model.sources import Repository, fetch, parse_source

if TYPE_CHECKING:
    from composir.model.joint.joint_bundle import JointBundle


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model.

    Attributes:
        name: What `--model` takes.
        state: `packaged`, `installed`, or `known`: not here yet.
        family: Whose architecture it has; empty where that is not noted.
        width: D, width of its vectors; None where it cannot be read.
        parameters: Of both towers; None where that is not noted.
        bytes: On disk; None where it is not here.
        licence: Of its weights.
        commercial: `allowed`, `restricted` or `unknown`, as `--commercial` reads that licence.
        good_for: When to take it; empty where nobody has said.
        folder: Where it lies; None where it is not here.
        fingerprint: Of its vector space; None where it is not here.
        source: What `composir models add` takes for it; None where it has no entry among the known.
        problem: Why it cannot be used or added; None where it can.
        sends_to: The machine to which pictures and words go; None where they go nowhere.
    """

    name: str
    state: Literal["packaged", "installed", "known"]
    family: str = ""
    width: int | None = None
    parameters: int | None = None
    bytes: int | None = None
    licence: str = ""
    commercial: str = "unknown"
    good_for: str = ""
    folder: Path | None = None
    fingerprint: str | None = None
    source: str | None = None
    problem: str | None = None
    sends_to: str | None = None


def list_models() -> list[ModelEntry]:
    """All models: packaged ones, those added, then the known ones that are not here."""
    here = list(_here())
    names = {entry.name for entry in here}
    return here + [_known(one) for one in KNOWN if one.name not in names]


def bundle_entry(bundle: Bundle | JointBundle) -> ModelEntry:
    """The facts of a bundle that lies in its place."""
    made = bundle.manifest
    known = next((one for one in KNOWN if one.name == made.name), None)
    parameters = made.efficiency.get("parameters")
    use = known.good_for if known else PACKAGED_USES.get(made.name, "")
    name = MANIFEST_NAME if isinstance(bundle, Bundle) else JOINT_NAME
    manifest = (bundle.folder / name).stat().st_size
    return ModelEntry(
        name=made.name,
        state="packaged" if bundle.folder in PACKAGED.values() else "installed",
        family=made.family or "",
        width=made.dimension,
        parameters=None if parameters is None else int(parameters),
        bytes=manifest + sum(entry.bytes for entry in made.files.values()),
        licence=made.licence,
        commercial=commercial_use(made.licence).answer,
        good_for=use if isinstance(bundle, Bundle) else _costs(bundle),
        folder=bundle.folder,
        fingerprint=bundle.fingerprint,
        source=known.source if known else None,
        sends_to=None if isinstance(bundle, Bundle) else _host(bundle),
    )


def _host(bundle: JointBundle) -> str | None:
    endpoint = bundle.manifest.endpoint
    return None if endpoint is None else endpoint.address.host


def _costs(bundle: JointBundle) -> str:
    """What a joint encoder is good for, and at which price."""
    seconds = bundle.manifest.seconds_a_picture
    told = "" if seconds is None else f", {seconds:g} s when it was added"
    return f"reads a picture and words as one; a picture takes seconds on a CPU{told}"


def _here() -> Iterator[ModelEntry]:
    for name, folder in {**PACKAGED, **installed_folders()}.items():
        try:
            yield bundle_entry(load_named(name, folder))
        except BundleError as error:
            yield ModelEntry(name, "installed", folder=folder, problem=str(error))


def _known(one: KnownModel) -> ModelEntry:
    return ModelEntry(
        name=one.name,
        state="known",
        family=one.family,
        width=one.width,
        parameters=None if one.parameters is None else one.parameters * 1_000_000,
        licence=one.licence,
        commercial=commercial_use(one.licence).answer,
        good_for=one.good_for,
        source=one.source,
    )


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
