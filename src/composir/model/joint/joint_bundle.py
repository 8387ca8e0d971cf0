"""The bundle of a joint encoder: `joint.json`, its probe, and a local one's checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator

from composir.data.fields import ManifestPart
from composir.errors import BundleError, ModelError
from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import JOINT_NAME, ModelManifest
from composir.model.checked_files import (
    CheckedFolder,
    list_files,
    read_manifest,
    write_manifest,
)
from composir.model.joint.address import EndpointAddress, parse_address
from composir.model.joint.probe import PROBES, landmarks
from composir.model.once import once_property
from composir.types import FloatArray

PROBE_NAME = "probe.npy"
CHECKPOINT = "checkpoint"
SCHEMA = 1


class Endpoint(ManifestPart):
    """How the endpoint is spoken to.

    Attributes:
        url: Its base.
        model: What it calls the model.
        shape: Of a request, a name of `shapes.SHAPES`.
        key_variable: Environment variable that holds the key; the key itself is never kept.
        key_file: File that holds it.
        timeout: Seconds for one answer.
    """

    url: str
    model: str
    shape: str
    key_variable: str | None = None
    key_file: str | None = None
    timeout: float = Field(default=120.0, gt=0, le=86_400)

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        try:
            parse_address(f"{self.url}#{self.model}")
        except ModelError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def address(self) -> EndpointAddress:
        """Where it is."""
        return EndpointAddress(self.url, self.model)

    @property
    def key_source(self) -> str:
        """Where the key is, in words; empty where it needs none."""
        if self.key_variable:
            return f"the variable {self.key_variable}"
        return f"the file {self.key_file}" if self.key_file else ""


class Instructions(ManifestPart):
    """What the encoder is told to do with its input; empty for nothing.

    Attributes:
        query: With a question: words, or words and a reference.
        picture: With a picture of the gallery.
    """

    query: str = ""
    picture: str = ""


class JointManifest(ModelManifest):
    """What `joint.json` holds beside that.

    Attributes:
        preprocess: How pictures are brought to one size; what is padded is cut off again before
            they go to the encoder.
        backend: Who runs it, a name of `model.BACKENDS`.
        endpoint: Of the backend `endpoint`.
        instructions: For queries and pictures.
        seconds_a_picture: As one took when the model was added; None where nobody measured it.
    """

    default_composer: str = "joint"
    preprocess: PreprocessSpec
    backend: str
    endpoint: Endpoint | None = None
    instructions: Instructions = Instructions()
    seconds_a_picture: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class JointBundle(CheckedFolder[JointManifest]):
    """A loaded `joint.json` and checked access to its files."""

    manifest_name = JOINT_NAME

    @classmethod
    def load(cls, folder: Path) -> JointBundle:
        """Read a bundle's manifest and check that all files are there, of the right size."""
        path = folder / JOINT_NAME
        bundle = cls(folder, read_manifest(path, JointManifest, SCHEMA, "joint encoder's bundle"))
        if PROBE_NAME not in bundle.manifest.files:
            raise BundleError(f"{path} does not list {PROBE_NAME}")
        if (bundle.manifest.backend == "endpoint") != (bundle.manifest.endpoint is not None):
            raise BundleError(f"{path}: an endpoint belongs to the backend `endpoint` alone")
        return bundle

    @once_property
    def probe(self) -> FloatArray:
        """What the encoder made of the probe when it was added, (p, D) float32, unit norm."""
        from composir.data.untrusted_arrays import read_array

        shape = (PROBES, self.manifest.dimension)
        path = self.file(PROBE_NAME)
        found = read_array(path, BundleError, shape=shape, dtypes=("float32",), finite=True)
        return np.asarray(found, dtype=np.float32)

    @property
    def fingerprint(self) -> str:
        """Identifies the space of the pictures' vectors; queries may be instructed otherwise.

        An endpoint's weights cannot be looked at: its model's name and the landmarks of its probe
        stand for them, but not where it is, so that it may move.
        """
        made = self.manifest
        weights: list[Any] = [
            [name, entry.sha256]
            for name, entry in sorted(made.files.items())
            if name.startswith(f"{CHECKPOINT}/") and not name.endswith(".md")
        ]
        if made.endpoint is not None:
            weights = [made.endpoint.model, landmarks(self.probe)]
        content = json.dumps(
            [weights, made.dimension, made.preprocess.model_dump(), made.instructions.picture]
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def save_joint(folder: Path, probe: FloatArray, fields: Mapping[str, Any]) -> JointBundle:
    """Write probe and `joint.json` beside the files that lie in a folder.

    Args:
        folder: The bundle; every file in it gets listed.
        probe: Vectors of the probe, (p, D) float32.
        fields: All manifest fields but `schema_version`, `dimension` and `files`.
    """
    np.save(folder / PROBE_NAME, probe)
    manifest = JointManifest(
        schema_version=SCHEMA,
        dimension=probe.shape[1],
        files=list_files(folder, JOINT_NAME),
        **fields,
    )
    write_manifest(folder / JOINT_NAME, manifest)
    return JointBundle.load(folder)
