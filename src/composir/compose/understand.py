"""A query as it is meant: what its words negate is among its negatives."""

from __future__ import annotations

from dataclasses import replace

from composir.compose.negation import read_negation, says_nothing
from composir.errors import QueryError
from composir.types import Query


def understand(query: Query) -> tuple[Query, tuple[str, ...]]:
    """Read the negations in a query's words, unless it is literal."""
    if query.literal:
        return query, ()
    reading = read_negation(query.text)
    notices = tuple(
        f"the negation {word!r} was not understood and is read like any other word; "
        "say what must not be there with --not (negatives)"
        for word in reading.unclear
    )
    if not reading.negatives:
        return replace(query, literal=True), notices
    beside_image = query.image is not None or query.from_device
    wanted = "" if beside_image and says_nothing(reading.wanted) else reading.wanted
    if not beside_image and not wanted.replace("*", " ").strip():
        raise QueryError(
            f"{query.text!r} only says what must not be there: say what to look for too, e.g. "
            f"'a photo, {query.text}', or give an image"
        )
    negatives = tuple(dict.fromkeys((*query.negatives, *reading.negatives)))
    return replace(query, text=wanted, negatives=negatives, literal=True), notices
