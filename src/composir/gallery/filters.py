"""`where` expressions: SQL-like, applied before the search; errors say what could be meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from composir.errors import FilterError
from composir.gallery.rows import INTERNAL_COLUMNS
from composir.gallery.store import Store, VersionGoneError

if TYPE_CHECKING:
    import pyarrow as pa

_QUOTED = re.compile(r"'[^']*'|`[^`]*`")
_PLACEHOLDER = re.compile(r"\?|\$\w+|(?<!:):[A-Za-z_]\w*")
_PARSER = "sql parser error: "


def matching_positions(store: Store, where: str) -> NDArray[np.int64]:
    """Positions of the rows that a filter lets through.

    Args:
        store: At some version.
        where: E.g. `width > 1000 AND folder LIKE 'holidays%'`.

    Raises:
        FilterError: If the expression is not understood.
    """
    _refuse_placeholders(where)
    with clear_filter_errors(store, where):
        whole = whole_expression(where)
        batches = [batch["_rowoffset"].to_numpy() for batch in store.stream(["_rowoffset"], whole)]
    return np.concatenate([np.empty(0, dtype=np.int64), *batches]).astype(np.int64)


def whole_expression(where: str) -> str:
    """A filter in parentheses: Lance would read the first expression and drop what follows it."""
    return f"({where}\n)"


def _refuse_placeholders(where: str) -> None:
    """Lance has no values for them, and breaks off with a trace of its own.

    Raises:
        FilterError: If there is one outside of quotes.
    """
    found = _PLACEHOLDER.search(_QUOTED.sub("", where))
    if found:
        raise FilterError(
            f"the filter {where!r} is not understood: there is no value for {found.group()}; write "
            "the value itself, texts in single quotes, names with such characters in backticks"
        )


@contextmanager
def clear_filter_errors(store: Store, where: str | None) -> Iterator[None]:
    """Turn Lance's complaints about an expression into one that names the columns.

    Raises:
        FilterError: In place of Lance's errors inside the block, when there is an expression.
    """
    try:
        yield
    except VersionGoneError:
        raise
    except (ValueError, OSError, RuntimeError) as error:
        if where is None:
            raise
        raise FilterError(_explain(store.schema, where, str(error))) from error


def _explain(schema: pa.Schema, where: str, complaint: str) -> str:
    columns = {
        field.name: str(field.type) for field in schema if field.name not in INTERNAL_COLUMNS
    }
    listed = ", ".join(f"{_shown(name)} ({kind})" for name, kind in columns.items())
    return (
        f"the filter {where!r} is not understood: {_cause(complaint)}. Columns: {listed}. "
        "Examples: width > 1000 AND folder LIKE 'holidays%'; "
        "taken_at >= timestamp '2024-01-01'; `a name with spaces` = 'x'"
    )


def _shown(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"


def _cause(complaint: str) -> str:
    """The sentence of Lance's message that concerns the user."""
    text = complaint.split(", /", maxsplit=1)[0].split(" Valid fields are", maxsplit=1)[0]
    parsed = text.rpartition(_PARSER)[2].removesuffix(")") if _PARSER in text else text
    return parsed.removeprefix("Invalid user input: ").strip().rstrip(".")
