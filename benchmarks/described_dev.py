"""Dev parts whose texts describe all of the target: a caption, or the things that it shows.

Nobody was asked for these: the reference is a picture whose texts share words with the target's, as
a person would come with something like it. `held_out.py` writes them from dev pictures of
Flickr8k's training part, of rooms and of street fashion; weights of texts that describe
(`compose.description`) are chosen on them, and nothing is reported.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from composir.compose.description import FUNCTION_WORDS

SOURCES = ("flickr8k-train", "scenes", "garments")
MOST_QUERIES = 300
LIKEST = 10
"""Among so many pictures whose texts are most like the target's, the reference is drawn."""
LEAST_WORDS = 6
"""Of a caption that describes: shorter ones name one thing."""
_LISTS = re.compile(r"^(?:a photo of|a place with|street fashion with|someone wearing) ")
"""Openings of the texts that list things; other texts of rooms and fashion name one alone."""


def described_queries(rows: Sequence[Mapping[str, Any]], seed: int = 0) -> Iterator[dict[str, Any]]:
    """Queries for dev pictures: a picture like the target, and a text that describes it.

    Args:
        rows: Of a gallery, with `id`, `captions` and `split`.
        seed: Of the order and the draws.
    """
    dice = random.Random(seed)
    dev = [row for row in rows if row["split"] == "dev" and descriptions(row)]
    dice.shuffle(dev)
    words = {row["id"]: words_of(row) for row in rows}
    for target in dev[:MOST_QUERIES]:
        own = words[target["id"]]
        others = sorted(
            (row["id"] for row in rows if row["id"] != target["id"]),
            key=lambda other: (-len(own & words[other]) / len(own | words[other]), other),
        )
        yield {
            "id": f"{target['id']}-described",
            "reference": dice.choice(others[:LIKEST]),
            "text": dice.choice(descriptions(target)),
            "targets": [target["id"]],
        }


def descriptions(row: Mapping[str, Any]) -> list[str]:
    """The texts of a picture that describe all of it."""
    texts = [text.rstrip(" .").lower() for text in row["captions"]]
    listed = [_LISTS.sub("", text) for text in texts if _LISTS.match(text) and "," in text]
    return listed or [text for text in texts if len(text.split()) >= LEAST_WORDS]


def words_of(row: Mapping[str, Any]) -> set[str]:
    """Words of content in any text of a picture."""
    found = {word for text in row["captions"] for word in re.findall(r"[a-z]+", text.lower())}
    return found - FUNCTION_WORDS
