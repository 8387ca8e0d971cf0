"""What there is in the way of models: packaged, added, and known, with the facts of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from composir.errors import BundleError
from composir.model.bundle import JOINT_NAME, MANIFEST_NAME, Bundle
from composir.model.catalogue import PACKAGED, PACKAGED_USES, load_named
from composir.model.installed import installed_folders
from composir.model.known_models import KNOWN, KnownModel
from composir.model.licence import commercial_use

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
