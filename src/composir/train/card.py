"""A trained composer's card, `README.md`, written from the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composir.compose.trained import ComposerManifest, save_composer
from composir.data.outputs import write_inside
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.errors import TrainingError

CARD = "README.md"
_BLEND_LINE = re.compile(r"^(- )?Blend: .*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Card:
    """What a recipe says of its composer beside what the manifest says.

    Attributes:
        about: What it is, a paragraph.
        facts: Lines of a list.
        figures: What the dev figures are.
        results: Markdown with a heading of its own, e.g. a table; empty for none.
        blend: What its weights were chosen on.
    """

    about: str
    facts: Sequence[str] = ()
    figures: str = "Figures on dev parts at the end of training:"
    results: str = ""
    blend: str = "the default, not chosen on dev queries"


def write_composer(folder: Path, fields: Mapping[str, Any], card: Card) -> ComposerManifest:
    """Write card and manifest beside the graphs of a composer."""
    manifest = save_composer(folder, fields)
    (folder / CARD).write_text(_text(manifest, card), encoding="utf-8")
    return save_composer(folder, fields)


def blend_line(weights: Mapping[str, float], chosen: str) -> str:
    """How a card tells the weights of a blend, and where they come from."""
    return f"Blend: {', '.join(f'{name} {value:g}' for name, value in weights.items())}, {chosen}."


def replace_blend(folder: Path, line: str) -> None:
    """Tell other weights in a composer's card; one that tells none, or no card, stays as it is."""
    card = folder / CARD
    if card.exists():
        text = read_text(card, TrainingError, limit=MANIFEST_LIMIT)
        changed = _BLEND_LINE.sub(lambda found: (found[1] or "") + line, text, count=1)
        write_inside(folder, CARD, changed)


def _text(made: ComposerManifest, card: Card) -> str:
    training = made.training
    weights = {k: v for k, v in made.settings.model_dump(exclude={"negative_weight"}).items() if v}
    facts = [
        f"Model: {made.model.name} ({made.model.fingerprint}), frozen.",
        f"{made.tokens} pseudo-word(s) a reference; the query graph takes {_INPUTS[made.input]}.",
        f"Sentences: `{made.templates.image}`, `{made.templates.composed}`.",
        blend_line(weights, card.blend),
        f"Query side: {_count(made.efficiency.query_parameters)} parameters, "
        f"{_count(made.efficiency.query_flops)} operations, "
        f"{_count(made.efficiency.query_bytes)} bytes.",
        *card.facts,
        "It knows what it was trained on; people, places and things unlike that are composed "
        "poorly. It inherits the biases of the model and of the data.",
    ]
    parts = [
        f"# {made.name}\n{card.about}",
        "\n".join(f"- {fact}" for fact in facts),
        card.results,
        f"## How it was made\n`{training['command']}` (seed {training['seed']}, torch "
        f"{training['torch']}), settings in `composer.json`.\n{card.figures}\n"
        f"```json\n{json.dumps(training['dev_figures'], indent=2)}\n```",
        "## Sources and licences\n| source | licence | use |\n|---|---|---|\n"
        + "\n".join(f"| {s.name} | {s.licence} | {s.use} |" for s in made.sources),
        f"Licence of the weights: {made.licence}.\n",
    ]
    return "\n\n".join(part for part in parts if part)


_INPUTS = {
    "pixels": "its pixels",
    "patch_tokens": "its vector and patch tokens",
    "vector": "its vector",
}


def _count(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
