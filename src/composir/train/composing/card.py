"""Manifest fields and card of a stage-2 composer, written from the run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from composir.compose.blend import BlendWeights
from composir.compose.trained import ComposerFolder
from composir.model.bundle import Source

CARD = "README.md"


def composer_fields(
    name: str,
    start: ComposerFolder,
    text_graph: str,
    weights: BlendWeights,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    """Fields of `composer.json`: those of the first stage, and what has changed.

    Args:
        name: Of the composer.
        start: The first stage.
        text_graph: File of the adapted text encoder.
        weights: Of the blend.
        training: How it was made.
    """
    made = start.manifest
    triplets = Source(
        name=f"triplets: {', '.join(training['config']['triplets'])}",
        licence="not stated",
        use=f"stage 2: {training['train_triplets']} triplets",
    )
    kept = ("model", "text", "input", "preprocess", "tokens", "word_dimension", "vector")
    return {
        **{field: getattr(made, field) for field in (*kept, "templates")},
        "name": name,
        "kind": "adapted",
        "text_graph": text_graph,
        "switchable": True,
        "settings": weights,
        "licence": made.licence,
        "sources": [*made.sources, triplets],
        "training": {**training, "start": {"name": made.name, "training": made.training}},
        "efficiency": made.efficiency,
    }


def write_card(folder: Path, fields: Mapping[str, Any], table: str) -> None:
    """Write `README.md` of a composer.

    Args:
        folder: The composer.
        fields: What goes into the manifest.
        table: The before/after table as Markdown.
    """
    training, model = fields["training"], fields["model"]
    config = training["config"]
    sources = "\n".join(f"| {s.name} | {s.licence} | {s.use} |" for s in fields["sources"])
    weights = {k: v for k, v in fields["settings"].model_dump().items() if v}
    chosen_on = ", ".join(training.get("blend", {}).get("by_dev_set", ())) or "dev triplets"
    text = f"""# {fields["name"]}
A composer for the model {model.name} (gallery {model.fingerprint}): a reference image and words
become a query. Second stage of Map-to-Compose (arXiv 2504.17990) on top of
`{training["start"]["name"]}`: {training["adapter_parameters"]:,} parameters of
{config["adapters"]["kind"]} adapters in the text encoder, trained on
{training["train_triplets"]:,} triplets. Images are indexed as before; queries of words alone use
the model's own text encoder.{_shared(training.get("shared_with", []))}

Blend: {", ".join(f"{name} {value:g}" for name, value in weights.items())} (chosen on {chosen_on}).
{_own_vector(fields["vector"])}
## Before and after, on triplets held out by reference
{table}

## What it is for, and what not
Queries like the triplets it was trained on. Held-out triplets come from the same data, so the table
says nothing about other pictures or other ways of asking: measure those (`composir bench`).

## Sources and licences
| source | licence | use |
|---|---|---|
{sources}

Licence of the weights: {fields["licence"]}.

## How it was made
`{training["command"]}` (seed {config["seed"]}, torch {version("torch")}); settings in
`composer.json`. Figures of the chosen weights on dev triplets:
```json
{json.dumps(training["figures"], indent=2)}
```
Largest difference of the text graph to torch, before its weights were stored as int8:
{training["parity"]:.1e}.
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def _shared(others: Sequence[str]) -> str:
    """That one text encoder serves several query sides, if it does."""
    if not others:
        return ""
    return (
        "\nThe adapted text encoder was trained on this query side and on those of "
        f"{', '.join(f'`{name}`' for name in others)} in turn, and is the same file for all."
    )


def _own_vector(vector: bool) -> str:
    """Whose vector `image` weighs, where it is not the gallery's."""
    return "Its image vector is the query graph's own, not the gallery's.\n" if vector else ""
