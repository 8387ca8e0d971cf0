"""What a filter says, as a small typed tree over the columns that a gallery can be filtered by.

`filter_parser` builds trees from what people write; an `ExpressionVisitor` turns them into
something else, such as one store's SQL (`filters`). A new kind of store is one new visitor.

Truth has SQL's three values: comparing an empty field gives neither true nor false, `NOT` leaves
that as it is, and only what is true passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from composir.errors import FilterError
from composir.gallery.rows import INTERNAL_COLUMNS, OWN_COLUMNS, WIDENED

if TYPE_CHECKING:
    import pyarrow as pa

Value: TypeAlias = str | int | float | bool | datetime
"""Of a literal; dates are their midnight, times of day are without zone."""

Result = TypeVar("Result")


class Kind(Enum):
    """What sort of value an expression has; the value is the name for people."""

    TEXT = "text"
    NUMBER = "a number"
    DATE = "a date"
    TRUTH = "true or false"


class Wildcard(Enum):
    """What a pattern has besides characters; the value is how SQL writes it."""

    ANY = "%"
    ONE = "_"


@dataclass(frozen=True, slots=True)
class Column:
    """A field of each image."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Literal:
    """A value written out."""

    value: Value
    kind: Kind


@dataclass(frozen=True, slots=True)
class Call:
    """A function of one value: a name of `filter_checks.FUNCTIONS`."""

    function: str
    argument: Expression
    kind: Kind


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`left operator right` for `+ - * /`, in floating point; dividing by zero gives no value."""

    operator: str
    left: Expression
    right: Expression
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Negative:
    """`-operand`."""

    operand: Expression
    kind: Kind = Kind.NUMBER


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right` for `= <> < <= > >=`; both of one kind, texts by code point."""

    operator: str
    left: Expression
    right: Expression
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class In:
    """Whether the operand is one of the values, which are of its kind."""

    operand: Expression
    values: tuple[Value, ...]
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Like:
    """Whether a whole text has the pattern: characters and wildcards in a row."""

    operand: Expression
    pattern: tuple[str | Wildcard, ...]
    any_case: bool
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class IsNull:
    """Whether the operand has no value; itself always true or false."""

    operand: Expression
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class And:
    """All of two or more conditions."""

    terms: tuple[Expression, ...]
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Or:
    """Any of two or more conditions."""

    terms: tuple[Expression, ...]
    kind: Kind = Kind.TRUTH


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    operand: Expression
    kind: Kind = Kind.TRUTH


Expression: TypeAlias = (
    Column
    | Literal
    | Call
    | Arithmetic
    | Negative
    | Comparison
    | In
    | Like
    | IsNull
    | And
    | Or
    | Not
)


class ExpressionVisitor(Generic[Result]):
    """Turns a tree into something else.

    A subclass has a method for each sort of node, called `visit_` and its name in lower case, e.g.
    `visit_isnull(node: IsNull)`.
    """

    def visit(self, node: Expression) -> Result:
        """What a node, with all that is below it, becomes."""
        method = getattr(self, f"visit_{type(node).__name__.lower()}")
        result: Result = method(node)
        return result


def children(node: Expression) -> Sequence[Expression]:
    """The nodes right below a node."""
    match node:
        case Column() | Literal():
            return ()
        case Call():
            return (node.argument,)
        case Arithmetic() | Comparison():
            return (node.left, node.right)
        case And() | Or():
            return node.terms
        case _:
            return (node.operand,)


def walk(tree: Expression) -> Iterator[tuple[Expression, int]]:
    """All nodes with their depth, the root's being 1; however deep, it needs no deep stack."""
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        waiting.extend((child, depth + 1) for child in children(node))


PLURALS = {
    Kind.TEXT: "text",
    Kind.NUMBER: "numbers",
    Kind.DATE: "dates",
    Kind.TRUTH: "true or false",
}
"""Kinds as a column has them."""

_PREFIXES = {
    "bool": Kind.TRUTH,
    "date": Kind.DATE,
    "timestamp": Kind.DATE,
    "int": Kind.NUMBER,
    "uint": Kind.NUMBER,
    "halffloat": Kind.NUMBER,
    "float": Kind.NUMBER,
    "double": Kind.NUMBER,
    "string": Kind.TEXT,
    "large_string": Kind.TEXT,
}


def column_kinds(schema: pa.Schema) -> dict[str, Kind]:
    """Kinds of the columns that people may see and filter by."""
    kinds = {
        field.name: _kind_of(str(field.type))
        for field in schema
        if field.name not in INTERNAL_COLUMNS
        and not field.name.endswith(WIDENED)
        and "`" not in field.name
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _kind_of(arrow_type: str) -> Kind | None:
    return next((k for prefix, k in _PREFIXES.items() if arrow_type.startswith(prefix)), None)


class Columns:
    """The columns of a gallery, to be looked up by a filter."""

    def __init__(self, kinds: Mapping[str, Kind], example: Callable[[str], str | None]) -> None:
        self.kinds, self._example = kinds, example

    def find(self, name: str) -> Column:
        """The column of a name, upper and lower case alike."""
        if name not in self.kinds:
            alike = [known for known in self.kinds if known.casefold() == name.casefold()]
            if len(alike) != 1:
                raise FilterError(f"no column {name!r}{self._suggestion(name)}")
            name = alike[0]
        return Column(name, self.kinds[name])

    def example(self, column: Column) -> str | None:
        """Some value that a column of text has."""
        return self._example(column.name)

    def listed(self) -> str:
        """All of them with their kinds, e.g. `width (numbers), colour (text)`."""
        return ", ".join(f"{_shown(name)} ({PLURALS[kind]})" for name, kind in self.kinds.items())

    def _suggestion(self, name: str) -> str:
        from difflib import get_close_matches

        near = get_close_matches(name.casefold(), list(self.kinds), n=1, cutoff=0.7)
        return f": did you mean {_shown(near[0])}" if near else ""


def is_metadata(column: Column) -> bool:
    """Whether a column came from a metadata file."""
    return column.name not in OWN_COLUMNS


def _shown(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
