"""From a trained token learner to a composer folder: query graph, costs, card, manifest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from composir.compose.trained import ComposerManifest, save_composer
from composir.model.bundle import Source
from composir.train.blend import BlendChoice
from composir.train.composer_export import export_query_graph
from composir.train.config import as_dict
from composir.train.frozen import FrozenFoundation
from composir.train.graph_costs import graph_costs
from composir.train.isa.light_encoder import GALLERY, LightEncoder
from composir.train.isa.light_vector import LightVector
from composir.train.isa.token_learner import TokenLearner
from composir.train.mapping.finish import public_config

if TYPE_CHECKING:
    from composir.train.isa.recipe import IsaConfig

GRAPH = "query.onnx"


@dataclass(frozen=True, slots=True)
class IsaRun:
    """A finished training and what is to be said about it.

    Attributes:
        config: Its settings.
        figures: The last dev figures.
        sources: The pictures' folders or data sets, name to licence.
        pictures: How many were trained on.
        has_matcher: Whether the model's matching encoder aligned sentences and pictures.
    """

    config: IsaConfig
    figures: Mapping[str, float]
    sources: Mapping[str, str]
    pictures: int
    has_matcher: bool = False

    @property
    def alignment(self) -> str:
        """Which form of LAR there was."""
        if not self.config.objective.lar.weight:
            return "none"
        return "matching encoder" if self.has_matcher else "late interaction"

    @property
    def command(self) -> str:
        """What made it, without machine paths."""
        config = self.config
        named = [("images", spec) for spec in config.images]
        named += [("data", str(path)) for path in config.data]
        named += [("dev", str(path)) for path in config.dev]
        words = [word for option, value in named for word in (f"--{option}", Path(value).name)]
        model = Path(config.model).name
        return shlex.join(["composir", "train", "isa", *words, "--model", model])


@dataclass(frozen=True, slots=True)
class QueryParts:
    """What the query side consists of.

    Attributes:
        encoder: Pixels, or patch tokens, to a feature map.
        learner: The map to pseudo-words.
        light_vector: The map to an estimate of v; None where there is none.
    """

    encoder: LightEncoder
    learner: TokenLearner
    light_vector: LightVector | None = None

    def settled(self) -> QueryParts:
        """The same on the CPU, in evaluation mode."""
        light = None if self.light_vector is None else self.light_vector.cpu().eval()
        return QueryParts(self.encoder.cpu().eval(), self.learner.cpu().eval(), light)


class PixelQuery(nn.Module):
    """uint8 pixels (n, s, s, 3) to tokens, attention and, where there is one, the light vector."""

    def __init__(self, parts: QueryParts) -> None:
        """Join them."""
        super().__init__()
        self.encoder, self.learner = parts.encoder, parts.learner
        self.light_vector = parts.light_vector

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Tokens (n, L, Dw), attention (n, L, h, w), vector (n, D)."""
        features = self.encoder.upper(self.encoder.lower(pixels))
        made: tuple[Tensor, ...] = self.learner(features)
        return made if self.light_vector is None else (*made, self.light_vector(features))


class PatchQuery(nn.Module):
    """Patch tokens (n, N, Dp) to tokens and attention; the vector (n, D) changes nothing."""

    def __init__(self, encoder: LightEncoder, learner: TokenLearner) -> None:
        """Join both."""
        super().__init__()
        self.encoder, self.learner = encoder, learner

    def forward(self, patch_tokens: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, L, Dw) and attention (n, L, h, w)."""
        tokens, attention = self.learner(self.encoder.upper(patch_tokens))
        # Graphs on patch tokens take the vector too; the exporter would drop an unused input.
        return tokens + 0.0 * vector[:, :1, None], attention


def write_composer(
    run: IsaRun,
    foundation: FrozenFoundation,
    query: QueryParts,
    folder: Path,
    choice: BlendChoice | None = None,
    *,
    quantise: bool = True,
) -> ComposerManifest:
    """Export the query side and write card and manifest beside it.

    Args:
        run: What to say about it.
        foundation: What it was trained on.
        query: The query side; moved to the CPU.
        folder: The composer; made if missing.
        choice: The blend chosen on dev queries, if any.
        quantise: Store large weights as int8; else as float32, to see what int8 costs.

    Returns:
        The manifest as written.
    """
    weights = "int8" if quantise else "float32"
    exported = _export(run, foundation, query.settled(), folder / GRAPH, quantise=quantise)
    fields = _fields(run, foundation, folder, {"parity": exported, "weights": weights}, choice)
    if run.config.side == "asymmetric":
        fields["preprocess"] = query.encoder.preprocess
    write_card(folder, run, fields, choice)
    return save_composer(folder, fields)


def write_card(
    folder: Path, run: IsaRun, fields: Mapping[str, Any], choice: BlendChoice | None
) -> None:
    """Write the composer's `README.md`."""
    config, learner, costs = run.config, run.config.token_learner, fields["efficiency"]
    light = "the gallery's own network" if config.light.name == GALLERY else config.light.name
    reads = (
        f"{light} reads the reference at {fields['preprocess'].size} px"
        if config.side == "asymmetric"
        else "the token learner reads the patch tokens of the gallery's encoder"
    )
    chosen = (
        "not chosen on dev queries; the default of the configuration"
        if choice is None
        else f"chosen among {choice.tried} on dev queries, mean recall@10 {choice.score:.1f} % "
        "(a figure of choosing, not a result)"
    )
    estimate = ", and a small head estimates its gallery vector" if config.has_light_vector else ""
    sources = "\n".join(f"| {s.name} | {s.licence} | {s.use} |" for s in fields["sources"])
    text = f"""# {config.name}
ISA (Image2Sentence based asymmetrical composed retrieval, arXiv 2403.01431), {config.side}:
{reads}; a token learner ({learner.kind}) turns it into {learner.num_tokens} pseudo-words for
the frozen text encoder{estimate}. Trained on {run.pictures:,} unlabelled pictures, without composed
triplets.

- Model: {fields["model"]["name"]} ({fields["model"]["fingerprint"]}), frozen.
- Local alignment of sentences and pictures: {run.alignment}.
- Sentences: `{fields["templates"]["image"]}`, `{fields["templates"]["composed"]}`.
- Blend: `{json.dumps(fields["settings"])}`, {chosen}.
- Query side: {_count(costs.query_parameters)} parameters, {_count(costs.query_flops)} operations,
  {_count(costs.query_bytes)} bytes; weights {fields["training"]["weights"]}, arithmetic float32.
- It knows what its training pictures showed; people, places and things unlike them are mapped
  poorly. It inherits the biases of the model and of the pictures.

## How it was made
`{run.command}` (seed {config.seed}, torch {fields["training"]["torch"]}), with the settings in
`composer.json`.
Figures on dev pictures at the end (`image/…`: sentences that find their own picture, percent;
`…/both@10`: found pictures that fit a neutral phrase and stay like the reference, both judged by
the frozen model itself; `sum/…` is the untrained sum of both vectors):
```json
{json.dumps(dict(run.figures), indent=2)}
```

## Sources and licences
| source | licence | use |
|---|---|---|
{sources}

Licence of the weights: {fields["licence"]}.
"""
    (folder / "README.md").write_text(text, encoding="utf-8")


def _export(
    run: IsaRun,
    foundation: FrozenFoundation,
    query: QueryParts,
    path: Path,
    *,
    quantise: bool,
) -> float:
    outputs = ["tokens", "attention"]
    if run.config.side == "asymmetric":
        size = query.encoder.preprocess.size
        pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
        outputs += ["vector"] if query.light_vector is not None else []
        module = PixelQuery(query)
        return export_query_graph(module, {"pixels": pixels}, outputs, path, quantise=quantise)
    size = foundation.model.image_spec.size
    blank = torch.zeros(2, size, size, 3, dtype=torch.uint8).numpy()
    vectors, patches = map(torch.from_numpy, foundation.model.images.encode_pixel_patches(blank))
    inputs = {"patch_tokens": torch.randn_like(patches), "vector": vectors}
    patch_query = PatchQuery(query.encoder, query.learner)
    return export_query_graph(patch_query, inputs, outputs, path, quantise=quantise)


def _fields(
    run: IsaRun,
    foundation: FrozenFoundation,
    folder: Path,
    graph: Mapping[str, Any],
    choice: BlendChoice | None,
) -> dict[str, Any]:
    config, model = run.config, foundation.model
    public = public_config(as_dict(config))
    blend = {} if choice is None else {"blend": choice.provenance}
    return {
        "name": config.name,
        "kind": "sentence",
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "text": model.text_checksum,
        "input": "pixels" if config.side == "asymmetric" else "patch_tokens",
        "preprocess": None,
        "graph": GRAPH,
        "tokens": config.token_learner.num_tokens,
        "word_dimension": foundation.word_dimension,
        "vector": config.has_light_vector,
        "templates": {
            "image": config.objective.image_template,
            "composed": config.objective.composed_template,
        },
        "settings": dict(config.blend) if choice is None else dict(choice.settings),
        "licence": config.licence or model.manifest.licence,
        "sources": _sources(run, foundation),
        "training": {
            "command": run.command,
            "config": public,
            "seed": config.seed,
            "pictures": run.pictures,
            "alignment": run.alignment,
            "dev_figures": dict(run.figures),
            "torch": version("torch"),
        }
        | dict(graph)
        | blend,
        "efficiency": graph_costs(folder / GRAPH),
    }


def _sources(run: IsaRun, foundation: FrozenFoundation) -> list[Source]:
    model = foundation.model
    used = [Source(name=f"model {model.name}", licence=model.manifest.licence, use="frozen")]
    light = run.config.light.name
    # The gallery's own network came with the model.
    if run.config.side == "asymmetric" and light != GALLERY:
        known = "Apache-2.0" if ":" not in light else "not stated"
        used.append(Source(name=f"{light}, published weights", licence=known, use="light side"))
    return used + [
        Source(name=name, licence=licence, use="training: pictures alone")
        for name, licence in run.sources.items()
    ]


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
