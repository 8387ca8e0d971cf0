"""What a filter says, as a small typed tree that no store's language shows through.

`filter_parser` builds trees from what people write; an `ExpressionVisitor` turns them into
something else, such as one store's SQL (`filters`). A new kind of store is one new visitor.

Truth has SQL's three values: comparing an empty field gives neither true nor false, `NOT` leaves
that as it is, and only what is true passes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

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


class ExpressionVisitor(ABC, Generic[Result]):
    """Turns a tree into something else, one method for each sort of node."""

    def visit(self, node: Expression) -> Result:
        """What a node, with all that is below it, becomes."""
        method = getattr(self, f"visit_{type(node).__name__.lower()}")
        result: Result = method(node)
        return result

    @abstractmethod
    def visit_column(self, node: Column) -> Result:
        """A field."""

    @abstractmethod
    def visit_literal(self, node: Literal) -> Result:
        """A value."""

    @abstractmethod
    def visit_call(self, node: Call) -> Result:
        """A function."""

    @abstractmethod
    def visit_arithmetic(self, node: Arithmetic) -> Result:
        """A sum, difference, product or quotient."""

    @abstractmethod
    def visit_negative(self, node: Negative) -> Result:
        """A number with the other sign."""

    @abstractmethod
    def visit_comparison(self, node: Comparison) -> Result:
        """Two values compared."""

    @abstractmethod
    def visit_in(self, node: In) -> Result:
        """Membership in a list."""

    @abstractmethod
    def visit_like(self, node: Like) -> Result:
        """A pattern."""

    @abstractmethod
    def visit_isnull(self, node: IsNull) -> Result:
        """A missing value."""

    @abstractmethod
    def visit_and(self, node: And) -> Result:
        """All conditions."""

    @abstractmethod
    def visit_or(self, node: Or) -> Result:
        """Any condition."""

    @abstractmethod
    def visit_not(self, node: Not) -> Result:
        """The opposite."""


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
