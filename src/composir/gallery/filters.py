"""`where` expressions in the store's language: applied before the search, errors say the cause.

No text of the user is passed on: `filter_parser` makes a tree of it, and `LanceSql` writes the tree
anew. Another kind of store needs another `ExpressionVisitor` and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from composir.errors import FilterError
from composir.gallery.expressions import (
    And,
    Arithmetic,
    Call,
    Column,
    Columns,
    Comparison,
    Expression,
    ExpressionVisitor,
    In,
    IsNull,
    Kind,
    Like,
    Literal,
    Negative,
    Not,
    Or,
    Value,
    Wildcard,
    column_kinds,
)
from composir.gallery.filter_parser import parse_filter
from composir.gallery.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 2**63
_BEYOND = 1e300  # compared as floating point, it lies beyond every whole number of 64 bits
_NANOSECONDS = datetime(1678, 1, 1), datetime(2262, 4, 11, 23, 47, 16, 854775)
"""The years that a column of nanoseconds can hold."""

_FLAT_TERMS = 64  # Lance goes one level deeper for each term of a chain
_SHOWN = 200  # characters of a filter in a message
_OPPOSITES = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_FUNCTIONS = {"lower": "lower", "upper": "upper", "trim": "btrim", "length": "length"}


def matching_positions(store: Store, where: str) -> NDArray[np.int64]:
    """Positions of the rows that a filter lets through."""
    batches = store.stream(["_rowoffset"], lance_filter(store, where))
    found = [batch["_rowoffset"].to_numpy() for batch in batches]
    return np.concatenate([np.empty(0, dtype=np.int64), *found]).astype(np.int64)


def lance_filter(store: Store, where: str) -> str:
    """A filter as Lance takes it."""
    columns = Columns(column_kinds(store.schema), lambda name: _example(store, name))
    return LanceSql(store.schema).visit(parsed(where, columns))


def parsed(where: str, columns: Columns) -> Expression:
    """The tree of a filter; an error lists the columns."""
    if not isinstance(where, str):
        raise FilterError(f"a filter is a text, not {type(where).__name__}")
    try:
        return parse_filter(where, columns)
    except FilterError as error:
        raise FilterError(_explain(columns, where, str(error))) from error


class LanceSql(ExpressionVisitor[str]):
    """Writes a tree as SQL of DataFusion, which Lance reads.

    Whole numbers are compared as such; all other numbers, and all calculations, in double
    precision.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._types = {field.name: str(field.type) for field in schema}

    def visit_column(self, node: Column) -> str:
        """The name in backticks, so that it is no keyword."""
        if "`" in node.name:
            raise ValueError(f"no name of a column: {node.name!r}")
        return f"`{node.name}`"

    def visit_literal(self, node: Literal) -> str:
        """A value, quoted as its kind demands."""
        return _literal(node.value)

    def visit_call(self, node: Call) -> str:
        """A function of Lance's that does what ours promises."""
        if node.function == "abs":
            return f"abs({self._number(node.argument)})"
        argument = self.visit(node.argument)
        if node.argument.kind is Kind.DATE:
            return f"date_part('{node.function}', {argument})"
        return f"{_FUNCTIONS[node.function]}({argument})"

    def visit_arithmetic(self, node: Arithmetic) -> str:
        """In double precision, so that nothing overflows and whole numbers divide exactly."""
        right = self._number(node.right)
        if node.operator == "/":
            right = f"nullif({self._comparable(node.right)}, 0.0)"
        return f"({self._number(node.left)} {node.operator} {right})"

    def visit_negative(self, node: Negative) -> str:
        """In double precision."""
        return f"(-{self._number(node.operand)})"

    def visit_comparison(self, node: Comparison) -> str:
        """Of two values of one kind."""
        left, right = node.left, node.right
        if left.kind is Kind.NUMBER:
            return self._compare_numbers(node.operator, left, right)
        if left.kind is Kind.DATE:
            return f"({self._date(left, right)} {node.operator} {self._date(right, left)})"
        return f"({self.visit(left)} {node.operator} {self.visit(right)})"

    def visit_in(self, node: In) -> str:
        """A list of literals."""
        operand, values = node.operand, [_literal(value) for value in node.values]
        if operand.kind is Kind.DATE:
            dates = [Literal(value, Kind.DATE) for value in node.values]
            written = [self._date(one, operand) for one in dates]
            return _listed(self._date(operand, dates[0]), written)
        if operand.kind is Kind.NUMBER and not self._is_whole(operand):
            return _listed(self._comparable(operand), [_double(value) for value in node.values])
        if operand.kind is Kind.NUMBER:
            values = [_literal(value) for value in map(_as_whole, node.values) if value is not None]
            return _listed(f"cast({self.visit(operand)} as bigint)", values)
        return _listed(self.visit(operand), values)

    def visit_like(self, node: Like) -> str:
        """With a backslash as the sign of escape, which is the only one Lance knows."""
        parts = [
            part.value if isinstance(part, Wildcard) else _escaped(part) for part in node.pattern
        ]
        verb = "ILIKE" if node.any_case else "LIKE"
        return f"({self.visit(node.operand)} {verb} {_literal(''.join(parts))})"

    def visit_isnull(self, node: IsNull) -> str:
        """Whether there is no value."""
        return f"({self.visit(node.operand)} IS NULL)"

    def visit_and(self, node: And) -> str:
        """All terms."""
        return _chain(" AND ", [self.visit(term) for term in node.terms])

    def visit_or(self, node: Or) -> str:
        """Any term."""
        return _chain(" OR ", [self.visit(term) for term in node.terms])

    def visit_not(self, node: Not) -> str:
        """The opposite, said of the smallest parts, and only of those that have a value.

        DataFusion makes `x NOT IN (1) OR x NOT IN (2)` true also where x has no value. Without NOT
        around anything, false and no value come to the same, and no rewriting mixes up more.
        """
        inner = node.operand
        if isinstance(inner, Not):
            return self.visit(inner.operand)
        if isinstance(inner, And | Or):
            other = Or if isinstance(inner, And) else And
            return self.visit(other(tuple(map(Not, inner.terms))))
        return self._denied(inner)

    def _denied(self, leaf: Expression) -> str:
        """The opposite of a condition that has no conditions inside."""
        if isinstance(leaf, IsNull):
            return f"({self.visit(leaf.operand)} IS NOT NULL)"
        if isinstance(leaf, Comparison):
            opposite = Comparison(_OPPOSITES[leaf.operator], leaf.left, leaf.right)
            return self._where_known(leaf.left, self.visit(opposite))
        if isinstance(leaf, In | Like):
            return self._where_known(leaf.operand, f"NOT {self.visit(leaf)}")
        return f"(NOT {self.visit(leaf)})"

    def _where_known(self, operand: Expression, condition: str) -> str:
        return f"({self.visit(operand)} IS NOT NULL AND {condition})"

    def _compare_numbers(self, operator: str, left: Expression, right: Expression) -> str:
        if self._is_whole(left) and self._is_whole(right):
            return f"({self.visit(left)} {operator} {self.visit(right)})"
        if self._is_whole(left) and isinstance(right, Literal):
            whole = _as_whole(right.value)
            if whole is not None:
                return f"(cast({self.visit(left)} as bigint) {operator} {_literal(whole)})"
            right = Literal(_within_reach(right.value), Kind.NUMBER)
        return f"({self._comparable(left)} {operator} {self._comparable(right)})"

    def _is_whole(self, node: Expression) -> bool:
        return isinstance(node, Column) and "int" in self._types[node.name]

    def _number(self, node: Expression) -> str:
        """A number as double precision."""
        if isinstance(node, Literal):
            return _double(node.value)
        text = self.visit(node)
        return f"cast({text} as double)" if isinstance(node, Column | Call) else text

    def _comparable(self, node: Expression) -> str:
        """A number without the sign that a zero may have: Lance orders -0.0 below 0.0."""
        number = self._number(node)
        has_sign = not isinstance(node, Literal) and not self._is_whole(node)
        return f"({number} + 0.0)" if has_sign else number

    def _date(self, node: Expression, other: Expression) -> str:
        """A date in microseconds, in which all years up to 9999 fit."""
        if isinstance(node, Literal) and isinstance(node.value, datetime):
            earliest, latest = (
                _NANOSECONDS if self._is_fine(other) else (datetime.min, datetime.max)
            )
            return _moment(min(max(node.value, earliest), latest))
        if self._is_fine(node) and isinstance(other, Literal):
            return self.visit(node)  # Lance makes the literal fine, rather than the column coarse
        return f"cast({self.visit(node)} as timestamp(6))"

    def _is_fine(self, node: Expression) -> bool:
        return isinstance(node, Column) and self._types[node.name].startswith("timestamp[ns")


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime):
        return _moment(value)
    if value == -_INT64:  # written out it would be the negative of what is no such number
        return f"cast('{value}' as bigint)"
    return str(value) if isinstance(value, int) else _double(value)


def _moment(value: datetime) -> str:
    return f"cast('{value.isoformat(timespec='microseconds')}' as timestamp(6))"


def _double(value: Value) -> str:
    if not isinstance(value, int | float):
        raise TypeError(f"no number: {value!r}")
    text = repr(float(value) + 0.0)
    return f"({text})" if text.startswith("-") else text


def _as_whole(value: Value) -> int | None:
    """A number as a whole one of 64 bits; None where it is none."""
    if isinstance(value, int | float) and float(value).is_integer():
        return int(value) if -_INT64 <= value < _INT64 else None
    return None


def _within_reach(value: Value) -> Value:
    """A number; in place of one that no whole number of 64 bits reaches, one far beyond them."""
    if not isinstance(value, int | float) or -_INT64 <= value < _INT64:
        return value
    return _BEYOND if value > 0 else -_BEYOND


def _listed(operand: str, values: Sequence[str]) -> str:
    if not values:  # false, but without a value where the operand has none
        return f"({operand} <> {operand})"
    return f"({operand} IN ({', '.join(values)}))"


def _escaped(character: str) -> str:
    return "\\" + character if character in "%_\\" else character


def _chain(operator: str, terms: list[str]) -> str:
    """Terms joined, in groups of groups where they are many."""
    while len(terms) > _FLAT_TERMS:
        groups = [terms[start : start + _FLAT_TERMS] for start in range(0, len(terms), _FLAT_TERMS)]
        terms = [f"({operator.join(group)})" for group in groups]
    return f"({operator.join(terms)})"


def _example(store: Store, name: str) -> str | None:
    """Some value of a column of text."""
    for batch in store.stream([name], f"`{name}` IS NOT NULL"):
        if len(batch):
            return str(batch[name][0].as_py())
    return None


def _explain(columns: Columns, where: str, cause: str) -> str:
    shown = where if len(where) <= _SHOWN else where[:_SHOWN] + "..."
    return (
        f"the filter {shown!r} is not understood: {cause.rstrip('.')}. "
        f"Columns: {columns.listed()}. Examples: width > 1000 AND folder LIKE 'holidays%'; "
        "taken_at >= timestamp '2024-01-01'; `a name with spaces` = 'x'"
    )
