"""What the columns of a gallery hold, so that people can filter by choosing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from composir.serve.schemas import ColumnDocument, FacetValue

_MOST_VALUES = 40


def columns(kinds: Mapping[str, str], counted: Mapping[str, Counter[str]]) -> list[ColumnDocument]:
    """All columns that filters know, with the values of those that have few.

    Args:
        kinds: What each column holds, by name, as `GalleryInfo.column_types`.
        counted: How often each value occurs, by name.
    """
    return [
        {"name": name, "kind": kind, "values": _values(counted.get(name))}
        for name, kind in kinds.items()
    ]


def _values(counted: Counter[str] | None) -> list[FacetValue] | None:
    if counted is None:
        return None
    return [{"value": value, "count": n} for value, n in counted.most_common(_MOST_VALUES)]
