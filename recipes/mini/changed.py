"""Captions with one thing changed, which must fit their picture less than the caption itself."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

GROUPS: Sequence[Sequence[str]] = tuple(
    tuple(line.split())
    for line in (
        "red orange yellow green blue purple pink brown black white grey gray",
        "man woman boy girl",
        "men women boys girls children",
        "dog cat horse cow sheep bird",
        "dogs cats horses cows birds",
        "one two three four five",
        "beach street field park forest mountain pool lake city",
        "snow grass sand water mud",
        "running sitting standing sleeping jumping swimming walking climbing",
        "runs sits stands sleeps jumps swims walks climbs",
        "bicycle motorcycle skateboard surfboard car bus",
        "shirt jacket dress hat coat sweater",
        "ball frisbee stick toy",
        "large small tiny huge",
        "young old",
    )
)
_GROUP = {word: group for group in GROUPS for word in group}
_WORD = re.compile(r"[A-Za-z]+")


def changed_caption(caption: str) -> str | None:
    """The caption with one word of a group replaced by another; None where no word is of a group.

    Which word, and by which, hangs on the caption alone, so that every caption has one counterpart
    whose states can be kept.
    """
    found = [match for match in _WORD.finditer(caption) if match[0].lower() in _GROUP]
    if not found:
        return None
    draw = random.Random(caption)
    match = draw.choice(found)
    others = [word for word in _GROUP[match[0].lower()] if word != match[0].lower()]
    return caption[: match.start()] + draw.choice(others) + caption[match.end() :]
