"""The bundle: a model is a folder, described by its `bundle.json`, loaded without pickle.

Every file is listed with its size and SHA-256. Sizes are checked at loading, a file's checksum when
that file is opened first, so that a query that needs the text side alone does not read the rest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from composir.errors import BundleError
from composir.preprocess import PreprocessSpec

MANIFEST_NAME = "bundle.json"
SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FileEntry(_Part):
    """Size in bytes and SHA-256 of one file."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ImageSide(_Part):
    """The gallery's image encoder: a graph from `pixels` to `vector`, and its preprocessing."""

    graph: str
    preprocess: PreprocessSpec


class WordTable(_Part):
    """Word embeddings, (vocabulary, Dw): int8 with a scale a row, or float16 without scales."""

    values: str
    scales: str | None = None


class TextSide(_Part):
    """The text encoder: from `word_embeddings` and `mask` to `vector` and `token_states`."""

    graph: str
    tokenizer: str
    words: WordTable
    max_tokens: int = Field(gt=2)


class Source(_Part):
    """One data set or set of weights that went into the model."""

    name: str
    licence: str
    use: str


class Manifest(_Part):
    """What `bundle.json` holds.

    Attributes:
        schema_version: Version of this format.
        name: What people call the model.
        dimension: D, width of the shared space.
        word_dimension: Dw, width of word embeddings.
        image: The gallery side.
        text: The text side.
        templates: Named sentences with `{}` where pseudo-words go.
        default_composer: Composer of `search` when none is asked for.
        composers: Settings by composer name, chosen on dev splits.
        confidence: Calibrated coefficients of the gallery's confidence, for `words` alone and for
            queries with an `image`, by field name.
        licence: Of the weights in this bundle.
        sources: Data and weights that went into it.
        training: How it was made: command, seed, figures.
        efficiency: Parameters, FLOPs and the like, by name.
        files: All other files.
    """

    schema_version: int
    name: str = Field(pattern="^[a-z0-9][a-z0-9._-]*$")
    dimension: int = Field(gt=0)
    word_dimension: int = Field(gt=0)
    image: ImageSide
    text: TextSide
    templates: dict[str, str]
    default_composer: str
    composers: dict[str, dict[str, float | int | str]] = {}
    confidence: dict[str, dict[str, float]] = {}
    licence: str
    sources: list[Source] = []
    training: dict[str, Any] = {}
    efficiency: dict[str, float] = {}
    files: dict[str, FileEntry]


class Bundle:
    """A loaded manifest and checked access to its files.

    Attributes:
        folder: Where the bundle is.
        manifest: The parsed `bundle.json`.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Use `Bundle.load` instead."""
        self.folder = folder
        self.manifest = manifest
        self._verified: set[str] = set()

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read a bundle's manifest and check that all files are there, of the right size.

        Args:
            folder: The bundle.

        Raises:
            BundleError: If it is no bundle, is of another schema, or a file is missing.
        """
        bundle = cls(folder, _read_manifest(folder))
        for name, entry in bundle.manifest.files.items():
            _check_file(folder, name, entry)
        for name in bundle.used_files():
            if name not in bundle.manifest.files:
                raise BundleError(f"{folder / MANIFEST_NAME} uses {name} but does not list it")
        return bundle

    def used_files(self) -> tuple[str, ...]:
        """Names of the files that the encoders open."""
        image, text = self.manifest.image, self.manifest.text
        names = (image.graph, text.graph, text.tokenizer, text.words.values, text.words.scales)
        return tuple(name for name in names if name)

    def file(self, name: str) -> Path:
        """Path of a file, its checksum verified once.

        Raises:
            BundleError: If the file is not listed or its content is not what the manifest says.
        """
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.folder} holds no file named {name}")
        path = self.folder / name
        if name not in self._verified:
            if sha256_of(path) != entry.sha256:
                raise BundleError(
                    f"{path} is damaged (its checksum is not the manifest's): "
                    "install or export the model again"
                )
            self._verified.add(name)
        return path

    @property
    def fingerprint(self) -> str:
        """Identifies the gallery side: the image graph's content and its preprocessing.

        The text side is left out on purpose: a new query side never asks for a new index.
        """
        image = self.manifest.image
        content = self.manifest.files[image.graph].sha256 + image.preprocess.model_dump_json()
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def save_manifest(folder: Path, fields: Mapping[str, Any]) -> Manifest:
    """Write `bundle.json` for the files that lie in a folder.

    Args:
        folder: The bundle; every file in it gets listed.
        fields: All manifest fields but `schema_version` and `files`.

    Returns:
        The manifest as written.
    """
    files = {
        path.relative_to(folder).as_posix(): FileEntry(
            bytes=path.stat().st_size, sha256=sha256_of(path)
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST_NAME and "__pycache__" not in path.parts
    }
    manifest = Manifest(schema_version=SCHEMA, files=files, **fields)
    text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")
    return manifest


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise BundleError(f"{folder} is no model bundle: it holds no {MANIFEST_NAME}")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise BundleError(
            f"{path} has schema version {version}, this composir knows up to {SCHEMA}: "
            "upgrade with pip install --upgrade composir"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        raise BundleError(f"{path} is not a valid manifest: {_first_problem(error)}") from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{where}: {problem['msg']} ({error.error_count()} in all)"


def _check_file(folder: Path, name: str, entry: FileEntry) -> None:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise BundleError(f"{folder / MANIFEST_NAME} names a file outside the bundle: {name}")
    if not path.is_file():
        raise BundleError(f"{folder} is incomplete: {name} is missing")
    if path.stat().st_size != entry.bytes:
        raise BundleError(
            f"{path} is damaged: {path.stat().st_size} bytes, the manifest says {entry.bytes}: "
            "install or export the model again"
        )
