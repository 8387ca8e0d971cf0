"""A trained composer is a folder: `composer.json`, the graph of the query side, a card.

It belongs to one model: the vectors it aims at are those of the gallery encoder, and its tokens are
read by the text encoder that it was trained against. Both are recorded and checked, so that a
composer of another model is refused instead of giving noise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from composir.compose.blend import BlendWeights
from composir.compose.template import TEXT, check_template
from composir.data.fields import ManifestPart
from composir.errors import BundleError, ModelError
from composir.images.preprocess import PreprocessSpec
from composir.model.bundle import COMPOSER_MANIFEST, MOST_WIDTH, Source
from composir.model.checked_files import (
    CheckedFolder,
    SharedEntry,
    list_files,
    read_manifest,
    write_manifest,
)
from composir.names import NAME_PATTERN

MANIFEST_NAME = COMPOSER_MANIFEST
SCHEMA = 1

Kind: TypeAlias = Literal["sentence", "pseudo_word", "adapted"]
"""What a composer has learnt, and from whom.

- `sentence`: ISA (ICLR 2024, arXiv 2403.01431). The reference becomes a sentence of several
  pseudo-words: a light image encoder and a token learner make it on the device, and the frozen text
  encoder reads it with the modification. The symmetric variant runs the token learner on the patch
  tokens of the gallery's encoder instead.
- `pseudo_word`: a mapper of the reference's vector. Pic2Word (arXiv 2302.03084) maps the vector
  alone; text-only mapping (the idea of LinCIR, arXiv 2312.01998) trains that without images; the
  first stage of Map-to-Compose (arXiv 2504.17990) injects the patch tokens.
- `adapted`: the second stage of Map-to-Compose. The text encoder itself has learnt to compose:
  composed sentences alone go through it with adapters; the reference's own sentence and
  modifications are read with adapters off, by the same graph where it can switch them
  (`model.text_graph`); words without a reference, and negatives, by the model's own graph.
"""
QueryInput: TypeAlias = Literal["pixels", "patch_tokens", "vector"]


class TrainedFor(ManifestPart):
    """The model whose gallery vectors the composer aims at."""

    name: str
    fingerprint: str


class Templates(ManifestPart):
    """Sentences that the pseudo-words `{}` and the modification `{text}` are put into.

    Attributes:
        image: Describes the reference alone; one `{}`.
        composed: Describes what is asked for; one `{}` and one `{text}`.
    """

    image: str = "a photo of {}"
    composed: str = "a photo of {} that {text}"

    @model_validator(mode="after")
    def _have_places(self) -> Templates:
        check_template(self.image)
        check_template(self.composed)
        if TEXT in self.image or self.composed.count(TEXT) != 1:
            raise ValueError(f"{TEXT} belongs into the template `composed`, once, and nowhere else")
        return self


class QueryCosts(ManifestPart):
    """What a graph costs that turns a reference into tokens or a vector; None where unknown.

    The text encoder, which every method shares, is not counted.

    Attributes:
        query_parameters: Parameters that a reference passes through.
        query_flops: Multiply-adds times two, a reference.
        query_bytes: Size of the files.
    """

    query_parameters: int | None = None
    query_flops: int | None = None
    query_bytes: int | None = None


class ComposerManifest(ManifestPart):
    """What `composer.json` holds.

    Attributes:
        schema_version: Version of this format.
        name: What people call the composer, e.g. `isa`.
        kind: How it composes.
        model: The model it was trained for.
        text: SHA-256 of the text graph that it was trained against.
        input: What the query graph takes: `pixels` (n, s, s, 3) uint8; `patch_tokens` (n, N, Dp)
            and `vector` (n, D) float32 of the gallery encoder; or that `vector` alone.
        preprocess: For pixels only.
        graph: The query graph; it gives `tokens` (n, L, Dw) float32 and, where it attends,
            `attention` (n, L, h, w) float32 that sums to 1 over positions.
        text_graph: The adapted text encoder, with the inputs and outputs of the bundle's, and one
            input more if `switchable`.
        switchable: Whether the text graph also takes `adapters` (n,) float32, 0 where it is to read
            a sentence as the bundle's own does: then no query needs both graphs.
        tokens: L, pseudo-words a reference.
        word_dimension: Dw, width of a pseudo-word.
        vector: Whether the query graph, on pixels, also gives `vector` (n, D) float32 of unit norm:
            the light side's own estimate of the reference's gallery vector v, blended in its place.
        templates: The sentences.
        moves: File of what `compose.changes` learned, (2, m, D) float16: phrases and their weights.
        settings: Weights of the blend.
        licence: Of the weights in this folder.
        sources: Data and weights that went into it.
        training: How it was made: command, seed, figures.
        efficiency: What the query graph alone costs; where the gallery encoder is needed too, its
            own costs are added (`SplicedComposer.efficiency`).
        files: All other files; those of one bundle's composers may be shared (`SharedEntry`).
    """

    schema_version: int
    name: str = Field(pattern=NAME_PATTERN)
    kind: Kind
    model: TrainedFor
    text: str = Field(pattern="^[0-9a-f]{64}$")
    input: QueryInput
    preprocess: PreprocessSpec | None = None
    graph: str = "query.onnx"
    text_graph: str | None = None
    switchable: bool = False
    tokens: int = Field(gt=0, le=MOST_WIDTH)
    word_dimension: int = Field(gt=0, le=MOST_WIDTH)
    vector: bool = False
    templates: Templates = Templates()
    moves: str | None = None
    settings: BlendWeights = BlendWeights()
    licence: str
    sources: list[Source] = Field(default_factory=list)
    training: dict[str, Any] = Field(default_factory=dict)
    efficiency: QueryCosts = QueryCosts()
    files: dict[str, SharedEntry]

    @model_validator(mode="after")
    def _agree(self) -> ComposerManifest:
        if (self.kind == "adapted") != (self.text_graph is not None):
            raise ValueError("text_graph belongs to the kind `adapted`, and to no other")
        if self.switchable and self.text_graph is None:
            raise ValueError("switchable says something of a text_graph, and there is none")
        if (self.input == "pixels") != (self.preprocess is not None):
            raise ValueError("preprocess belongs to the input `pixels`, and to no other")
        if self.kind == "sentence" and self.input == "vector":
            raise ValueError("a sentence is made of pixels or patch tokens")
        if self.vector and self.input != "pixels":
            raise ValueError("vector belongs to the input `pixels`: others have the gallery's own")
        for name in (self.graph, self.text_graph, self.moves):
            if name is not None and name not in self.files:
                raise ValueError(f"{name} is used but not among the files")
        return self

    @property
    def shared(self) -> dict[str, SharedEntry]:
        """Those of the files that lie in another composer's folder, by name."""
        return {name: entry for name, entry in self.files.items() if entry.in_composer}


class ComposerFolder(CheckedFolder[ComposerManifest]):
    """A loaded `composer.json` and checked access to its files."""

    manifest_name = MANIFEST_NAME

    @classmethod
    def load(cls, folder: Path) -> ComposerFolder:
        """Read a composer's manifest and check that all files are there, of the right size."""
        inside = folder / "composer"
        if not (folder / MANIFEST_NAME).is_file() and (inside / MANIFEST_NAME).is_file():
            raise BundleError(f"{folder} is no composer, but holds one: give {inside}")
        return cls(
            folder, read_manifest(folder / MANIFEST_NAME, ComposerManifest, SCHEMA, "composer")
        )

    @property
    def fingerprint(self) -> str:
        """Identifies what turns a reference into a query: graphs, templates, and their model."""
        made = self.manifest
        names = (made.graph, made.text_graph, made.moves)
        graphs = [made.files[name].sha256 for name in names if name]
        parts = [made.model.fingerprint, made.text, *graphs, made.templates.model_dump_json()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def check_model(self, name: str, fingerprint: str, text: str, word_dimension: int) -> None:
        """Refuse a model that the composer was not trained for."""
        made = self.manifest
        differs = {
            f"gallery encoder ({fingerprint} instead of {made.model.fingerprint})": (
                fingerprint != made.model.fingerprint
            ),
            "text encoder": text != made.text,
            f"width of words ({word_dimension} instead of {made.word_dimension})": (
                word_dimension != made.word_dimension
            ),
        }
        found = [what for what, other in differs.items() if other]
        if found:
            raise ModelError(
                f"the composer {self.folder} was trained for another model ({made.model.name}): "
                f"{name} has another {found[0]}; train it again for this model, or use its own"
            )


def save_composer(
    folder: Path, fields: Mapping[str, Any], shared: Mapping[str, SharedEntry] | None = None
) -> ComposerManifest:
    """Write `composer.json` for the files that lie in a folder."""
    own = list_files(folder, MANIFEST_NAME)
    files = {name: SharedEntry(**dict(entry)) for name, entry in own.items()}
    elsewhere = {name: entry for name, entry in (shared or {}).items() if name not in own}
    manifest = ComposerManifest(schema_version=SCHEMA, files={**files, **elsewhere}, **fields)
    write_manifest(folder / MANIFEST_NAME, manifest)
    return manifest
