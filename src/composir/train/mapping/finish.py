"""From a trained mapper to a composer folder: graph, blend, card, manifest."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from composir.compose.trained import ComposerManifest, Templates, save_composer
from composir.model.bundle import Source
from composir.train.blend import BlendChoice, choose_weights
from composir.train.composer_export import export_query_graph
from composir.train.dev_set import DevSet, composer_terms
from composir.train.frozen import FrozenFoundation
from composir.train.graph_costs import graph_costs
from composir.train.mapping.mapper import Mapper, QueryGraph

GRAPH = "query.onnx"


@dataclass(frozen=True, slots=True)
class MappedRun:
    """A trained mapper and what is to be said about it.

    Attributes:
        name: Of the composer.
        about: What it is, a paragraph for the card.
        command: The command that made it, without machine paths.
        config: The configuration as plain values, without machine paths.
        seed: Of everything random.
        figures: The last evaluation.
        templates: Sentences.
        blend: Weights where no dev queries choose them.
        sources: The data sets trained on, name to licence.
        use: What those served for.
    """

    name: str
    about: str
    command: str
    config: Mapping[str, Any]
    seed: int
    figures: Mapping[str, float]
    templates: Templates
    blend: Mapping[str, float]
    sources: Mapping[str, str]
    use: str


def finish(
    run: MappedRun,
    foundation: FrozenFoundation,
    mapper: Mapper,
    folder: Path,
    dev: Sequence[DevSet],
) -> ComposerManifest:
    """Export the mapper, choose the blend on dev queries, write card and manifest.

    Args:
        run: What to say about it.
        foundation: What it was trained on.
        mapper: Trained; moved to the CPU.
        folder: The composer.
        dev: Dev sets to choose the blend on; none keeps the run's own.

    Returns:
        The manifest as written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parity = _export(mapper.cpu().eval(), foundation, folder / GRAPH)
    fields = _fields(run, foundation, mapper, folder, parity)
    save_composer(folder, fields)
    if dev:
        choice = choose_weights([(d, composer_terms(folder, foundation.model, d)) for d in dev])
        fields |= {"settings": dict(choice.settings)}
        fields["training"]["blend"] = choice.provenance
    else:
        choice = None
    write_card(folder, run, fields, choice)
    return save_composer(folder, fields)


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without what only this machine knows: of paths, the last part is kept."""
    return {key: _public(value) for key, value in config.items() if key != "cache"}


def public_command(verb: str, names: Mapping[str, Iterable[str]]) -> str:
    """A command line from options and names of what they point to."""
    words = ["composir", "train", *verb.split()]
    for option, values in names.items():
        for value in values:
            words += [f"--{option}", Path(value).name]
    return shlex.join(words)


def write_card(
    folder: Path, run: MappedRun, fields: Mapping[str, Any], choice: BlendChoice | None
) -> None:
    """Write the composer's `README.md`."""
    sources = "\n".join(f"| {s.name} | {s.licence} | {s.use} |" for s in fields["sources"])
    chosen = (
        "The blend is the default; it was not chosen on dev queries."
        if choice is None
        else f"The blend was chosen among {choice.tried} on dev queries: mean recall@10 "
        f"{choice.score:.1f} % ({_by_set(choice.scores)}). These are figures of choosing, not "
        "results."
    )
    text = f"""# {run.name}
{run.about}

- Model: {fields["model"]["name"]} ({fields["model"]["fingerprint"]}), frozen.
- {fields["tokens"]} pseudo-word(s) a reference; the graph takes the reference's
  {"vector and patch tokens" if fields["input"] == "patch_tokens" else "vector"}.
- Sentences: `{run.templates.image}`, `{run.templates.composed}`.
- Blend: `{json.dumps(fields["settings"])}`. {chosen}

## How it was made
`{run.command}` (seed {run.seed}, torch {fields["training"]["torch"]}), settings in `composer.json`.
Figures on dev parts at the end of training:
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


def _export(mapper: Mapper, foundation: FrozenFoundation, path: Path) -> float:
    vector = torch.nn.functional.normalize(torch.randn(3, foundation.dimension), dim=-1)
    if not mapper.injections:
        return export_query_graph(QueryGraph(mapper), {"vector": vector}, ["tokens"], path)
    count = foundation.model.manifest.image.preprocess.size
    blank = torch.zeros(1, count, count, 3, dtype=torch.uint8).numpy()
    shape = foundation.model.images.encode_pixel_patches(blank)[1].shape[1:]
    inputs = {"patch_tokens": torch.randn(3, *shape), "vector": vector}
    return export_query_graph(QueryGraph(mapper), inputs, ["tokens", "attention"], path)


def _fields(
    run: MappedRun, foundation: FrozenFoundation, mapper: Mapper, folder: Path, parity: float
) -> dict[str, Any]:
    model = foundation.model
    return {
        "name": run.name,
        "kind": "pseudo_word",
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "text": model.text_checksum,
        "input": "patch_tokens" if mapper.injections else "vector",
        "graph": GRAPH,
        "tokens": mapper.config.tokens,
        "word_dimension": foundation.word_dimension,
        "templates": run.templates,
        "settings": dict(run.blend),
        "licence": model.manifest.licence,
        "sources": [
            Source(name=f"model {model.name}", licence=model.manifest.licence, use="frozen"),
            *(
                Source(name=name, licence=licence, use=run.use)
                for name, licence in run.sources.items()
            ),
        ],
        "training": {
            "command": run.command,
            "config": run.config,
            "seed": run.seed,
            "dev_figures": dict(run.figures),
            "parity": parity,
            "torch": version("torch"),
        },
        "efficiency": graph_costs(folder / GRAPH),
    }


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return public_config(value)
    if isinstance(value, list):
        return [_public(item) for item in value]
    if isinstance(value, str) and ("/" in value or "\\" in value) and " " not in value:
        return Path(value).name
    return value


def _by_set(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {score:.1f}" for name, score in scores.items())
