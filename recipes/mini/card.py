"""The model card, written from the run."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.errors import TrainingError
from composir.model.bundle import ImageSide, Manifest, save_manifest

CARD = "README.md"
FIGURES = "figures.md"


def describe(folder: Path, manifest: Manifest, **changes: Any) -> Manifest:
    """Write card and manifest of a bundle anew, after its files or some fields have changed.

    Args:
        folder: The bundle.
        manifest: As loaded.
        **changes: Fields of the manifest.

    Returns:
        The manifest as written.
    """
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields} | changes
    fields = {k: v for k, v in fields.items() if k not in {"schema_version", "files"}}
    write_card(folder, fields)
    return save_manifest(folder, fields)


def write_card(folder: Path, fields: Mapping[str, Any]) -> None:
    """Write `README.md` of a bundle.

    Measured figures are kept in `figures.md` beside it, which `benchmarks/mini_figures.py` prints;
    where that file is not there yet, the card says so.

    Args:
        folder: The bundle.
        fields: What goes into the manifest.
    """
    training = fields["training"]
    image = ImageSide.model_validate(fields["image"])
    figures = folder / FIGURES
    measured = (
        read_text(figures, TrainingError, limit=MANIFEST_LIMIT)
        if figures.exists()
        else "Not measured yet: run `python benchmarks/mini_figures.py`.\n"
    )
    sources = "\n".join(
        f"| {source.name} | {source.licence} | {source.use} |" for source in fields["sources"]
    )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    text = f"""# {fields["name"]}
A small vision-language model for composed search that needs no download: pictures and texts become
vectors of {fields["dimension"]} numbers whose cosines order pictures by how well they fit.
{size:.1f} MB.

- Gallery image tower: EfficientNet-Lite2, {image.preprocess.size} px, the whole
  picture squashed to a square, attention pooling; the last two stages and the head were trained.
{_names(training)}{_appearance(image)}- Text tower: all-MiniLM-L6-v2, mean pooling, a small head;
  the last text blocks were trained.
  It takes word embeddings, so pseudo-words of width {fields["word_dimension"]} can be spliced in.
- Weights are stored as {training["weights"]} and computed in float32.

{_composers(folder)}## What it is for, and what not
Searching one's own pictures on a laptop, trying composers, tests. It knows what about thirty
thousand captioned or labelled pictures and cut-outs could teach it, and the names of ImageNet's
thousand classes: everyday scenes with people and dogs, clothes, rooms and streets, groceries.
It is far below models trained on hundreds of millions of pairs; rare words,
counting, reading text in pictures and naming people are beyond it. It inherits the biases of its
sources. English only.

## Figures
{measured}
## Sources and licences
| source | licence | use |
|---|---|---|
{sources}

Licence of the weights: {fields["licence"]}.

## How it was made
`{training["command"]}` (seed {training["config"]["seed"]}, torch {training["torch"]}), with the
settings in `bundle.json`, then `benchmarks/choose_defaults.py` and `benchmarks/mini_figures.py`
(docs/training.md). Never seen in training: Flickr8k's dev part, the dev and test title
groups of the fashion set, the dev and test pictures of PACS, the sample catalogue.

On the training sets' own dev parts, at the end of each stage (text to image, percent):
```json
{json.dumps(training["dev_figures"], indent=2)}
```
Largest difference of the ONNX graphs to torch, before weights were stored as int8:
`{json.dumps(training["parity"])}`.
"""
    (folder / CARD).write_text(text, encoding="utf-8")


def _names(training: Mapping[str, Any]) -> str:
    """Lines on the part of names, empty where there is none."""
    if not training["config"].get("names", {}).get("weight"):
        return ""
    return (
        "- The trunk's classifier is kept: what it names in a picture is added to the vector, as "
        "the\n  text tower has those names (`docs/fidelity.md`).\n"
    )


def _appearance(image: ImageSide) -> str:
    """A line on the appearance part, empty where there is none."""
    part = image.appearance
    if part is None:
        return ""
    share = part.weight**2
    most = 1.0 / math.sqrt(1.0 + share)
    return (
        f"- The last {part.width} numbers of a picture's vector are its appearance, what texts do\n"
        f"  not say of it. In a cosine between pictures it weighs {share:.2g} to 1; texts have\n"
        f"  zeros there, so cosines between texts and pictures reach {most:.2f} at most.\n"
    )


def _composers(folder: Path) -> str:
    """The trained composers that lie in the bundle, each with a card of its own."""
    names = sorted(place.parent.name for place in folder.glob("composers/*/composer.json"))
    if not names:
        return ""
    cards = ", ".join(f"[{name}](composers/{name}/README.md)" for name in names)
    return f"## Trained composers\nIn this folder, each with its own card: {cards}.\n\n"
