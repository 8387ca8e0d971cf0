"""Which values the text columns of a gallery have, and how often: for filters that are chosen."""

from __future__ import annotations

from collections import Counter

from composir.gallery.columns import column_kinds
from composir.gallery.expressions import Kind
from composir.gallery.store import Store

_MOST = 400  # different values; a column with more is no list to choose from
_NO_CHOICE = frozenset({"id", "path", "content_hash"})


def count_values(store: Store) -> dict[str, Counter[str]]:
    """Count the values of columns of text, and of truth, that have few."""
    kinds = column_kinds(store.schema)
    names = [
        name
        for name, kind in kinds.items()
        if kind in {Kind.TEXT, Kind.TRUTH} and name not in _NO_CHOICE
    ]
    counted: dict[str, Counter[str]] = {name: Counter() for name in names}
    for batch in store.stream(names) if names else ():
        for name in list(counted):
            counted[name].update(_counts(batch[name]))
            if len(counted[name]) > _MOST:
                del counted[name]
    return counted


def _counts(column: object) -> dict[str, int]:
    import pyarrow.compute as pc

    pairs = pc.value_counts(column).to_pylist()
    return {_text(pair["values"]): pair["counts"] for pair in pairs if pair["values"] is not None}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
