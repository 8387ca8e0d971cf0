"""Nodes of a filter's tree, made only where the kinds of their parts fit.

Messages say the cause, in the words of the one who wrote the filter.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from composir.errors import FilterError
from composir.gallery.expressions import (
    And,
    Arithmetic,
    Call,
    Column,
    Columns,
    Comparison,
    Expression,
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
    is_metadata,
)

FUNCTIONS: dict[str, tuple[Kind, Kind]] = {
    "lower": (Kind.TEXT, Kind.TEXT),
    "upper": (Kind.TEXT, Kind.TEXT),
    "trim": (Kind.TEXT, Kind.TEXT),
    "length": (Kind.TEXT, Kind.NUMBER),
    "abs": (Kind.NUMBER, Kind.NUMBER),
    "year": (Kind.DATE, Kind.NUMBER),
    "month": (Kind.DATE, Kind.NUMBER),
    "day": (Kind.DATE, Kind.NUMBER),
}
"""What may be called: from which kind to which."""

LONGEST_PATTERN = 1000
_SHOWN = 40  # characters of a text in a message
_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FLIPPED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


class Checks:
    """Makes nodes over the columns of one gallery."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def comparison(self, sign: str, left: Expression, right: Expression) -> Expression:
        """`left sign right`, a literal on the right."""
        if isinstance(left, Literal) and not isinstance(right, Literal):
            return self.comparison(_FLIPPED[sign], right, left)
        left, right = self._dated(left, right), self._dated(right, left)
        if left.kind is not right.kind:
            raise FilterError(self._mismatch(left, right))
        if left.kind is Kind.TRUTH:
            return _truths(sign, left, right)
        if isinstance(left, Literal) and isinstance(right, Literal):
            return Literal(_HOLDS[sign](left.value, right.value), Kind.TRUTH)
        return Comparison(sign, left, right)

    def membership(self, operand: Expression, items: Sequence[Expression]) -> Expression:
        """`operand IN (items)`."""
        values: list[Value] = []
        for item in items:
            if not isinstance(item, Literal):
                raise FilterError(f"IN takes values written out, not {shown(item)}")
            dated = self._dated(item, operand)
            if dated.kind is not operand.kind:
                raise FilterError(self._mismatch(operand, item))
            values.append(dated.value if isinstance(dated, Literal) else item.value)
        if isinstance(operand, Literal):
            return Literal(operand.value in values, Kind.TRUTH)
        return In(operand, tuple(dict.fromkeys(values)))

    def like(
        self, operand: Expression, pattern: str, escape: str | None, *, any_case: bool
    ) -> Expression:
        """`operand LIKE pattern ESCAPE escape`."""
        if operand.kind is not Kind.TEXT:
            what = f"{shown(operand)} is {operand.kind.value}; only text has a pattern"
            raise FilterError(f"{what}{_instead_of_pattern(operand)}")
        return Like(operand, _parts(pattern, escape), any_case)

    def call(self, name: str, arguments: Sequence[Expression]) -> Expression:
        """A function's call."""
        taken, given = FUNCTIONS[name]
        if len(arguments) != 1:
            raise FilterError(f"{name}() takes one value, not {len(arguments)}")
        argument = arguments[0]
        if taken is Kind.DATE:
            argument = _as_date(argument)
        if argument.kind is not taken:
            raise FilterError(
                f"{name}() takes {taken.value}, but {shown(argument)} is "
                f"{argument.kind.value}{self._say_example(argument, taken)}"
            )
        return Call(name, argument, given)

    def arithmetic(self, sign: str, left: Expression, right: Expression) -> Expression:
        """`left sign right`."""
        for side in (left, right):
            self._require_number(side, sign)
        return Arithmetic(sign, left, right)

    def negative(self, operand: Expression) -> Expression:
        """`-operand`."""
        self._require_number(operand, "-")
        if isinstance(operand, Literal) and isinstance(operand.value, int | float):
            return Literal(-operand.value, Kind.NUMBER)
        return Negative(operand)

    def condition(self, node: Expression, wanted_by: str) -> Expression:
        """The node, if it is true or false."""
        if node.kind is Kind.TRUTH:
            return node
        hint = f"; compare it, e.g. {shown(node)} = ..." if isinstance(node, Column) else ""
        raise FilterError(
            f"{wanted_by} wants a condition, but {shown(node)} is {node.kind.value}{hint}"
        )

    def _require_number(self, node: Expression, sign: str) -> None:
        if node.kind is not Kind.NUMBER:
            raise FilterError(
                f"{shown(node)} is {node.kind.value}; {sign!r} takes numbers"
                f"{self._say_example(node, Kind.NUMBER)}"
            )

    def _dated(self, node: Expression, other: Expression) -> Expression:
        return _as_date(node) if other.kind is Kind.DATE else node

    def _mismatch(self, left: Expression, right: Expression) -> str:
        """Why two sides do not fit, told of the side that is no literal."""
        cause = (
            f"{shown(left)} is {left.kind.value} and {shown(right)} is "
            f"{right.kind.value}{self._say_example(left, right.kind)}"
        )
        if left.kind is Kind.TEXT and isinstance(right, Literal):
            return f"{cause}; compare text with text in single quotes"
        if left.kind is Kind.NUMBER and isinstance(right, Literal):
            return f"{cause}; numbers stand without quotes"
        return f"{cause}; only values of one kind can be compared"

    def _say_example(self, node: Expression, wanted: Kind) -> str:
        """How the metadata came to be text, and how to have them read otherwise."""
        if not isinstance(node, Column) or node.kind is not Kind.TEXT or not is_metadata(node):
            return ""
        example = self._columns.example(node)
        seen = "" if example is None else f" (e.g. {_cut(example)!r})"
        types = {Kind.NUMBER: "number", Kind.DATE: "date", Kind.TRUTH: "bool"}
        way = (
            f"; index the metadata again with --column {node.name}={types[wanted]}"
            if wanted in types
            else ""
        )
        return f": the metadata say {node.name} as text{seen}{way}"

    def is_null(self, operand: Expression) -> Expression:
        """`operand IS NULL`."""
        if operand.kind is Kind.TRUTH and not isinstance(operand, Column):
            raise FilterError("IS takes a column or a calculation, no condition")
        return IsNull(operand)


def any_of(terms: Sequence[Expression]) -> Expression:
    """`OR` of conditions; many comparisons of one thing become one list."""
    folded = _folded(terms, "=")
    return folded[0] if len(folded) == 1 else Or(tuple(folded))


def all_of(terms: Sequence[Expression]) -> Expression:
    """`AND` of conditions; many exclusions of one thing become one list."""
    folded = _folded(terms, "<>")
    return folded[0] if len(folded) == 1 else And(tuple(folded))


def opposite(operand: Expression) -> Expression:
    """`NOT operand`."""
    return operand.operand if isinstance(operand, Not) else Not(operand)


def shown(node: Expression) -> str:
    """A node in a message."""
    if isinstance(node, Column):
        return node.name
    if isinstance(node, Literal):
        return repr(_cut(node.value)) if isinstance(node.value, str) else str(node.value)
    if isinstance(node, Call):
        return f"{node.function}({shown(node.argument)})"
    return "the calculation" if node.kind is Kind.NUMBER else "the condition"


def read_date(text: str) -> datetime:
    """A date or time as ISO 8601 writes it; with a zone it becomes UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise FilterError(
            f"{_cut(text)!r} is no date; write it as '2024-12-31' or '2024-12-31 18:30:00'"
        ) from error
    if moment.tzinfo is None:
        return moment
    try:
        return moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise FilterError(f"{_cut(text)!r} lies beyond the calendar") from error


def _truths(sign: str, left: Expression, right: Expression) -> Expression:
    """Two conditions compared: with a literal, or two columns."""
    if sign not in {"=", "<>"}:
        raise FilterError(f"{shown(left)} is true or false; it is neither more nor less")
    if isinstance(right, Literal):
        return left if right.value == (sign == "=") else opposite(left)
    if isinstance(left, Column) and isinstance(right, Column):
        return Comparison(sign, left, right)
    raise FilterError("two conditions are joined with AND or OR, not compared")


def _as_date(node: Expression) -> Expression:
    if isinstance(node, Literal) and isinstance(node.value, str):
        return Literal(read_date(node.value), Kind.DATE)
    return node


def _folded(terms: Sequence[Expression], sign: str) -> list[Expression]:
    """Terms with all `x = value` of one x (or all `x <> value`) put into one."""
    lists: dict[Expression, list[Value]] = {}
    for term in terms:
        listed = _as_list(term, sign)
        if listed is not None:
            lists.setdefault(listed[0], []).extend(listed[1])
    counts = dict.fromkeys(lists, 0)
    result: list[Expression] = []
    for term in terms:
        listed = _as_list(term, sign)
        if listed is None:
            result.append(term)
            continue
        counts[listed[0]] += 1
        if counts[listed[0]] == 1:
            whole = tuple(dict.fromkeys(lists[listed[0]]))
            joined: Expression = In(listed[0], whole)
            is_alone = len(lists[listed[0]]) == len(listed[1])
            joined = joined if sign == "=" else Not(joined)
            result.append(term if is_alone else joined)
    return result


def _as_list(term: Expression, sign: str) -> tuple[Expression, tuple[Value, ...]] | None:
    if isinstance(term, Comparison) and term.operator == sign:
        if isinstance(term.right, Literal) and not isinstance(term.left, Literal):
            return term.left, (term.right.value,)
        return None
    inner = term.operand if isinstance(term, Not) and sign == "<>" else term
    if isinstance(inner, In) and (inner is term) == (sign == "="):
        return inner.operand, inner.values
    return None


def _parts(pattern: str, escape: str | None) -> tuple[str | Wildcard, ...]:
    """A pattern taken apart; a backslash that escapes nothing stands for itself."""
    if len(pattern) > LONGEST_PATTERN:
        raise FilterError(
            f"the pattern {_cut(pattern)!r} has {len(pattern):,} characters; "
            f"at most {LONGEST_PATTERN:,} are read"
        )
    mark, special = escape or "\\", {"%", "_", escape or "\\"}
    parts: list[str | Wildcard] = []
    place = 0
    while place < len(pattern):
        character, following = pattern[place], pattern[place + 1 : place + 2]
        if character == mark and following in special and following:
            parts.append(following)
            place += 1
        elif character == mark and escape is not None:
            raise FilterError(
                f"in the pattern {_cut(pattern)!r} {mark!r} stands before no %, _ or {mark}"
            )
        else:
            parts.append(Wildcard(character) if character in "%_" else character)
        place += 1
    return tuple(parts)


def _instead_of_pattern(operand: Expression) -> str:
    if operand.kind is Kind.DATE:
        return f"; compare it with dates, or year({shown(operand)}) with a number"
    return "; compare it with = or <" if operand.kind is Kind.NUMBER else ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
