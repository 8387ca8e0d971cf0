"""The bundle of a joint encoder: `joint.json`, its probe, and a local one's checkpoint."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import numpy as np
from PIL import Image
from pydantic import Field, model_validator

from composir.data.schema import ManifestPart
from composir.errors import BundleError, ModelError
from composir.images.preprocess import PreprocessSpec
from composir.lazy import once_property
from composir.model.base import Parts
from composir.model.bundle import JOINT_NAME, ModelManifest
from composir.model.checked_files import (
    CheckedFolder,
    list_files,
    read_manifest,
    write_manifest,
)
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


_EXAMPLE = "http://127.0.0.1:8000/v1#NAME, NAME as the endpoint calls its model"


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """An OpenAI-style endpoint and one of its models.

    Attributes:
        url: Its base, e.g. `http://127.0.0.1:8000/v1`.
        model: What the endpoint calls the model.
    """

    url: str
    model: str

    @property
    def host(self) -> str:
        """The machine that is spoken to, with the port where one is named."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether it is this machine: nothing leaves that."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    @property
    def is_open(self) -> bool:
        """Whether what is sent can be read on its way."""
        return not self.is_here and urlsplit(self.url).scheme == "http"


def is_address(text: str) -> bool:
    """Whether a text means an endpoint, rightly written or not."""
    return re.match("https?://", text, re.IGNORECASE) is not None


def parse_address(text: str) -> EndpointAddress:
    """Read what `composir models add` is given."""
    url, _, model = text.partition("#")
    if "@" in url or "?" in url:
        raise ModelError(
            "an endpoint's address holds no user, password or query: the key comes from a variable "
            "or file (--key-variable, --key-file)"
        )
    if not model.strip():
        raise ModelError(
            f"{text}: which of the endpoint's models? Write {_EXAMPLE}; for a model of the "
            "hub give ORG/NAME"
        )
    if not all("!" <= letter <= "~" for letter in url) or not _has_host(url):
        raise ModelError(f"{text} is no address of an endpoint; write {_EXAMPLE}")
    return EndpointAddress(url.rstrip("/").removesuffix("/embeddings"), model.strip())


def _has_host(url: str) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


WORDS = "a red bicycle in front of a white wall"
PROBES = 4
SAME = 0.99
"""Cosine of two vectors of one input: arithmetic in half precision, and in batches, differs."""
_ALIKE = 0.99999
_SIDE = 224


class BlindError(ModelError):
    """An encoder leaves out a part of its input."""

    code = "blind-encoder"


def probe() -> list[Parts]:
    """Two pictures, words, and the first picture with the words."""
    ramp = np.linspace(0, 255, _SIDE, dtype=np.uint8)
    falling = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None, :], 255 - ramp[None]), axis=2)
    stripes = np.where((np.arange(_SIDE) // 28 % 2 == 0)[:, None, None], 230, 20)
    first = Image.fromarray(falling)
    second = Image.fromarray(np.broadcast_to(stripes, (_SIDE, _SIDE, 3)).astype(np.uint8))
    return [(first,), (second,), (WORDS,), (first, WORDS)]


def check_sight(vectors: FloatArray, who: str) -> None:
    """Refuse an encoder that leaves out a part of its input, as servers of text models do.

    Args:
        vectors: Of `probe`, (4, D) float32, unit norm.
        who: For the message.
    """
    first, second, words, both = vectors
    blind = f"{who} gives vectors, but does not look at pictures"
    for one, other, told in (
        (first, second, blind),
        (both, words, f"{blind} that come with words"),
        (both, first, f"{who} gives vectors, but does not read words that come with a picture"),
    ):
        if float(one @ other) > _ALIKE:
            raise BlindError(f"{told}: a joint encoder has to take both together")


def landmarks(vectors: FloatArray) -> list[int]:
    """A rough mark of a space: where, and to which side, probes differ most.

    It is the same for vectors that differ by rounding alone, but for rare ties, and another one for
    nearly every other model.

    Args:
        vectors: Of `probe`, (4, D) float32.
    """
    apart = np.stack([vectors[0] - vectors[1], vectors[2] - vectors[0], vectors[3] - vectors[2]])
    places = np.abs(apart).argmax(axis=1)
    sides = np.sign(apart[np.arange(len(places)), places])
    return [int(side * (place + 1)) for side, place in zip(sides, places, strict=True)]


def least_cosine(one: FloatArray, other: FloatArray) -> float:
    """The least cosine of rows of two arrays, (p, D) of unit norm."""
    return float((one * other).sum(axis=1).min())


def check_same(now: FloatArray, then: Sequence[FloatArray] | FloatArray, name: str) -> float:
    """Refuse an encoder that is another one by now.

    Args:
        now: (p, D) float32, unit norm.
        then: The same when it was added.
        name: Of the model.
    """
    found = least_cosine(now, np.asarray(then))
    if found < SAME:
        raise ModelError(
            f"the model {name} gives other vectors than when it was added (cosine {found:.3f}): "
            "there is another model behind it by now, whose vectors cannot be mixed with those of "
            "a gallery. Nothing was changed; bring the old one back, or add the new one under "
            f"another name and index again beside: composir models add … --name {name}-new"
        )
    return found
