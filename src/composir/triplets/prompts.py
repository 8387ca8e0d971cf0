"""What a language model is asked, and which of its answers are sense."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from composir.triplets.records import Pair, SourceImage
from composir.triplets.words import plain, sentence_body, words_of

_SYSTEM = (
    "You write what a person types into a picture search. The person looks at picture A and wants "
    "picture B. You get notes on both. Write the one short text that, together with picture A, "
    "asks for picture B: what has to change, in everyday words. Never repeat what both have in "
    "common, never mention A, B, pictures or notes, and invent nothing that the notes do not say. "
    "Answer with the text alone: one line, 2 to 15 words, no quotation marks."
)
_STYLES = (
    "as a terse command",
    "as a few key words",
    "as a short wish",
    "the way one asks a shop assistant",
    "as a comparison with what is there now",
    "as a plain description of what is different",
)
_EXAMPLE = (
    "A: a brown dog sleeps on a sofa\nB: two brown dogs play on a lawn",
    "two of them, playing outside on grass",
)
_MOST_CAPTIONS = 3
_FEWEST_LETTERS, _MOST_WORDS = 2, 40
_THOUGHT = re.compile(r"<(think|thinking|reasoning)>.*?(</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_LABEL = re.compile(r"^(text|answer|query|output|search|request)\s*:\s*", re.IGNORECASE)
_APOLOGY = re.compile(
    r"\b(i'?m sorry|i am sorry|as an ai|i can(?:no|')t|language model|i am unable)\b", re.IGNORECASE
)
_TALKS_OF_NOTES = re.compile(
    r"\b((picture|image|photo|note)s? [ab]|(reference|target|first|second) (image|picture|photo)"
    r"|the notes?|from a to b)\b",
    re.IGNORECASE,
)


def messages(
    pair: Pair, images: tuple[SourceImage, ...], rng: np.random.Generator
) -> list[dict[str, str]]:
    """The conversation that asks for one text."""
    reference, target = images[pair.reference], images[pair.target]
    notes = f"A: {_notes(reference, pair, rng)}\nB: {_notes(target, pair, rng)}"
    changed = f"\nChanged: {plain(pair.column)}, {pair.old} -> {pair.new}" if pair.column else ""
    style = _STYLES[rng.integers(len(_STYLES))]
    return [
        {"role": "system", "content": _SYSTEM},
        {"role": "user", "content": _EXAMPLE[0]},
        {"role": "assistant", "content": _EXAMPLE[1]},
        {"role": "user", "content": f"{notes}{changed}\nWrite it {style}."},
    ]


def _notes(image: SourceImage, pair: Pair, rng: np.random.Generator) -> str:
    """Captions, and attributes where a pair was found by them or there is nothing else."""
    captions = list(image.captions)
    if len(captions) > _MOST_CAPTIONS:
        captions = [captions[place] for place in rng.permutation(len(captions))[:_MOST_CAPTIONS]]
    notes = [sentence_body(caption) for caption in captions]
    if pair.column or not notes:
        notes += [f"{plain(name)}: {value}" for name, value in image.attributes.items()]
    return "; ".join(notes)


def clean(answer: str) -> str:
    """A model's answer without its thoughts, quotation marks and labels."""
    text = _THOUGHT.sub("", answer).strip().strip("`").strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    text = _LABEL.sub("", lines[0]) if len(lines) == 1 else "\n".join(lines)
    return text.strip().strip("\"'“”‘’").strip()


def objection(text: str, captions: tuple[str, ...]) -> str:
    """Why a text is nonsense, or nothing."""
    words = words_of(text)
    if "\n" in text or len(words) > _MOST_WORDS:
        return "the answer is no short text"
    if not words or len(text) < _FEWEST_LETTERS:
        return "the answer is empty"
    if _APOLOGY.search(text):
        return "the model declines"
    if _TALKS_OF_NOTES.search(text):
        return "the text speaks of its notes"
    if any(words == words_of(caption) for caption in captions):
        return "the text repeats a caption of the reference"
    return ""


def estimated_tokens(body: Mapping[str, Any]) -> int:
    """A request's tokens, roughly: four letters each, and four for each message."""
    return sum(4 + -(-len(part["content"]) // 4) for part in body["messages"])
