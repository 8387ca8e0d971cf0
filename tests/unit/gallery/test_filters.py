"""Filters as Lance answers them, against the same conditions worked out in Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import lance
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from composir.errors import FilterError
from composir.gallery.expressions import (
    And,
    Arithmetic,
    Call,
    Column,
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
)
from composir.gallery.filter_parser import DEEPEST, MOST_CONDITIONS
from composir.gallery.filters import matching_positions
from composir.gallery.manifest import TABLE_NAME
from composir.gallery.store import Store

TABLE = pa.table(
    {
        "w": pa.array([1, 2, None, -5, 2**31 - 1, 0, 7], pa.int32()),
        "i": pa.array([1, 3, -5, None, 2**63 - 1, -(2**63), 2**53 + 1], pa.int64()),
        "f": pa.array([1.5, None, -0.0, 2.0, 1e300, -7.25, 0.1], pa.float64()),
        "s": pa.array(["a%b_c", "A\nb", None, "it's", " Größe\\x ", "", "ab"], pa.string()),
        "r": pa.array(["AB", "a%B_c", "x", None, "größe\\x", "", "ß"], pa.string()),
        "b": pa.array([True, False, None, True, False, None, True]),
        "t": pa.array(
            [
                datetime(2024, 6, 1, 12),
                datetime(2024, 1, 1),
                None,
                datetime(1969, 12, 31, 23, 59, 59, 500000),
                datetime(2300, 1, 1),
                datetime(1, 1, 1),
                datetime(2024, 2, 29),
            ],
            pa.timestamp("us"),
        ),
        "modified": pa.array(
            [*[datetime(2024, 6, 1, 12)] * 2, *[datetime(1969, 12, 31, 1)] * 4, None],
            pa.timestamp("ns"),
        ),
        "d": pa.array(
            [date(2024, 1, 1), date(1969, 12, 31), None, *[date(2024, 2, 29)] * 4], pa.date32()
        ),
        "цвет": pa.array(list("абв") + [None] * 4, pa.string()),
        "year": pa.array([2020, 2021, None, 2020, 2020, 2020, 2020], pa.int64()),
        "vector": pa.array([1] * 7, pa.int64()),
    }
)
ROWS = TABLE.set_column(
    TABLE.column_names.index("modified"), "modified", TABLE["modified"].cast(pa.timestamp("us"))
).to_pylist()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("filters")
    lance.write_dataset(TABLE, str(folder / TABLE_NAME))
    return Store(folder, 1)


def found(store: Store, where: str) -> list[int]:
    return [int(position) for position in matching_positions(store, where)]


class Reference(ExpressionVisitor[Any]):
    """What an expression is for one row; None where it has no value."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    def visit_column(self, node: Column) -> Any:
        value = self._row[node.name]
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)
        return value

    def visit_literal(self, node: Literal) -> Any:
        return node.value

    def visit_call(self, node: Call) -> Any:
        value = self.visit(node.argument)
        if value is None:
            return None
        functions: dict[str, Callable[[Any], Any]] = {
            "lower": str.lower,
            "upper": str.upper,
            "trim": lambda text: text.strip(" "),
            "length": len,
            "abs": lambda number: abs(float(number)),
        }
        return functions.get(node.function, lambda day: getattr(day, node.function))(value)

    def visit_arithmetic(self, node: Arithmetic) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if left is None or right is None:
            return None
        left, right = float(left), float(right)
        if node.operator == "/":
            return left / right if right else None
        return {"+": left + right, "-": left - right, "*": left * right}[node.operator]

    def visit_negative(self, node: Negative) -> Any:
        value = self.visit(node.operand)
        return None if value is None else -float(value)

    def visit_comparison(self, node: Comparison) -> Any:
        left, right = self.visit(node.left), self.visit(node.right)
        if left is None or right is None:
            return None
        return {
            "=": left == right,
            "<>": left != right,
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
        }[node.operator]

    def visit_in(self, node: In) -> Any:
        value = self.visit(node.operand)
        return None if value is None else value in node.values

    def visit_like(self, node: Like) -> Any:
        value = self.visit(node.operand)
        signs = {Wildcard.ANY: ".*", Wildcard.ONE: "."}
        pattern = "".join(
            signs[part] if isinstance(part, Wildcard) else re.escape(part) for part in node.pattern
        )
        flags = re.DOTALL | (re.IGNORECASE if node.any_case else 0)
        return None if value is None else re.fullmatch(pattern, value, flags) is not None

    def visit_isnull(self, node: IsNull) -> Any:
        return self.visit(node.operand) is None

    def visit_and(self, node: And) -> Any:
        return self._joined(node.terms, decisive=False)

    def visit_or(self, node: Or) -> Any:
        return self._joined(node.terms, decisive=True)

    def visit_not(self, node: Not) -> Any:
        value = self.visit(node.operand)
        return None if value is None else not value

    def _joined(self, terms: tuple[Expression, ...], *, decisive: bool) -> Any:
        values = [self.visit(term) for term in terms]
        return decisive if decisive in values else None if None in values else not decisive


class Written(ExpressionVisitor[str]):
    """A tree as a person would write it."""

    def visit_column(self, node: Column) -> str:
        return node.name if node.name != "i" else '"i"'

    def visit_literal(self, node: Literal) -> str:
        return written(node.value)

    def visit_call(self, node: Call) -> str:
        return f"{node.function}({self.visit(node.argument)})"

    def visit_arithmetic(self, node: Arithmetic) -> str:
        return f"({self.visit(node.left)} {node.operator} {self.visit(node.right)})"

    def visit_negative(self, node: Negative) -> str:
        return f"- {self.visit(node.operand)}"

    def visit_comparison(self, node: Comparison) -> str:
        return f"({self.visit(node.left)}) {node.operator} ({self.visit(node.right)})"

    def visit_in(self, node: In) -> str:
        return f"{self.visit(node.operand)} IN ({', '.join(map(written, node.values))})"

    def visit_like(self, node: Like) -> str:
        parts = [
            part.value if isinstance(part, Wildcard) else re.sub(r"([%_!])", r"!\1", part)
            for part in node.pattern
        ]
        verb = "ILIKE" if node.any_case else "like"
        return f"{self.visit(node.operand)} {verb} {written(''.join(parts))} ESCAPE '!'"

    def visit_isnull(self, node: IsNull) -> str:
        return f"({self.visit(node.operand)}) IS NULL"

    def visit_and(self, node: And) -> str:
        return " AND ".join(f"({self.visit(term)})" for term in node.terms)

    def visit_or(self, node: Or) -> str:
        return " or ".join(f"({self.visit(term)})" for term in node.terms)

    def visit_not(self, node: Not) -> str:
        return f"NOT ({self.visit(node.operand)})"


def written(value: Value) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"timestamp '{value}'" if isinstance(value, datetime) else str(value)


def columns(names: str, kind: Kind) -> SearchStrategy[Expression]:
    return st.sampled_from([Column(name, kind) for name in names.split()])


def literals(kind: Kind) -> SearchStrategy[Value]:
    pieces = st.sampled_from(["a", "A", "b", "ö", "Ö", "ß", "%", "_", "\\", "'", "\n", " ", "!"])
    return {
        Kind.NUMBER: st.sampled_from([0, 1, -5, 2, 1.5, 2.0, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)])
        | st.sampled_from([2**63, 2**70, -(2**64), 1e300, -1e300, 0.1])
        | st.integers(-(2**63), 2**63),
        Kind.TEXT: st.sampled_from([t for row in ROWS for t in (row["s"], row["r"]) if t])
        | st.lists(pieces, max_size=4).map("".join),
        Kind.DATE: st.datetimes() | st.sampled_from([row["t"] for row in ROWS if row["t"]]),
        Kind.TRUTH: st.booleans(),
    }[kind]


def small(number: Value) -> Value:
    return number if abs(float(str(number))) < 1e6 else 3


def values(kind: Kind) -> SearchStrategy[Expression]:
    """Expressions of a kind that are no conditions."""
    named = columns(
        {Kind.NUMBER: "w i f", Kind.TEXT: "s r", Kind.DATE: "t modified d"}[kind],
        kind,
    )
    plain = named | literals(kind).map(lambda value: Literal(value, kind))
    if kind is Kind.NUMBER:
        part = st.sampled_from([Column("w", kind), Column("f", kind)]) | literals(kind).map(
            lambda value: Literal(small(value), kind)
        )
        length = values(Kind.TEXT).map(lambda text: Call("length", text, kind))
        of_date = st.builds(
            lambda name, day: Call(name, day, kind),
            st.sampled_from(["year", "month", "day"]),
            columns("t modified d", Kind.DATE),
        )
        sums = st.builds(Arithmetic, st.sampled_from("+-*/"), part | length, part | of_date)
        absolute = part.map(lambda number: Call("abs", number, kind))
        return plain | length | of_date | sums | absolute | sums.map(Negative)
    if kind is Kind.TEXT:
        calls = st.builds(
            lambda name, text: Call(name, text, kind),
            st.sampled_from(["lower", "upper", "trim"]),
            named,
        )
        return plain | calls
    return plain


def predicates() -> SearchStrategy[Expression]:
    operators = st.sampled_from(["=", "<>", "<", "<=", ">", ">="])
    truth = columns("b", Kind.TRUTH)
    parts = [
        truth,
        truth.map(IsNull),
        st.builds(Comparison, st.sampled_from(["=", "<>"]), *2 * [truth]),
    ]
    for kind in (Kind.NUMBER, Kind.TEXT, Kind.DATE):
        some = values(kind)
        lists = st.lists(literals(kind), min_size=1, max_size=3).map(tuple)
        parts += [
            st.builds(Comparison, operators, some, some),
            st.builds(In, some, lists),
            some.map(IsNull),
        ]
    pattern = st.lists(
        st.sampled_from(list(Wildcard)) | literals(Kind.TEXT).filter(bool).map(lambda t: str(t)[0]),
        max_size=6,
    ).map(tuple)
    parts.append(st.builds(Like, values(Kind.TEXT), pattern, st.booleans()))
    return st.one_of(parts)


def trees() -> SearchStrategy[Expression]:
    def deeper(inner: SearchStrategy[Expression]) -> SearchStrategy[Expression]:
        terms = st.lists(inner, min_size=2, max_size=3).map(tuple)
        equal = st.builds(
            Comparison,
            st.sampled_from(["=", "<>"]),
            inner,
            st.booleans().map(lambda truth: Literal(truth, Kind.TRUTH)),
        )
        return terms.map(And) | terms.map(Or) | inner.map(Not) | equal

    return st.recursive(predicates(), deeper, max_leaves=5)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(trees())
def test_lance_answers_as_python_does(store: Store, tree: Expression) -> None:
    expected = [place for place, row in enumerate(ROWS) if Reference(row).visit(tree)]

    assert found(store, Written().visit(tree)) == expected


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("w > 1.5", [1, 4, 6]),
        ("w = 1e0 or w in (2.0, 7.5)", [0, 1]),
        ("w > 99999999999", []),
        ("NOT w > 99999999999", [0, 1, 3, 4, 5, 6]),
        ("i = 9223372036854775807", [4]),
        ("i < 9223372036854775808", [0, 1, 2, 4, 5, 6]),
        ("i = 9223372036854775808", []),
        ("i = 9007199254740993", [6]),
        ("i <= -9223372036854775808", [5]),
        ("w / 2 = 0.5", [0]),
        ("1 / w > 0", [0, 1, 4, 6]),
        ("NOT 1 / w > 0", [3]),
        ("w * 1000000 > 0", [0, 1, 4, 6]),
        ("f = 0", [2]),
        ("s like 'a\\%b%'", [0]),
        ("s like 'a!%b%' escape '!'", [0]),
        ("s like '%\\x%'", [4]),
        ("s like 'A_b'", [1]),
        ("s like '[ab]%' or s like '.*'", []),
        ("s not like '%'", []),
        ("s ilike ' GRÖ%'", [4]),
        ("trim(lower(s)) = 'größe\\x'", [4]),
        ("length(s) = 0", [5]),
        ("t >= '2024-06-01'", [0, 4]),
        ("t between date '2024-01-01' and '2024-03'", None),
        ("t between date '2024-01-01' and '2024-03-01'", [1, 6]),
        ("t = timestamp '2024-06-01T14:00:00+02:00'", [0]),
        ("t <= '9999-12-31' and modified <= '9999-12-31' and d <= '9999-12-31'", [0, 1, 3, 4, 5]),
        ("modified > '0001-01-01'", [0, 1, 2, 3, 4, 5]),
        ("YEAR(t) = 2024 and Month(t) = 2 and day(t) = 29", [6]),
        ("year = 2021", [1]),
        ("цвет = 'б' or `цвет` in ('в')", [1, 2]),
        ("\"S\" = 'it''s' and W <> 3", [3]),
        ("b", [0, 3, 6]),
        ("b IS NOT TRUE", [1, 2, 4, 5]),
        ("not b", [1, 4]),
        ("b = false", [1, 4]),
        ("w not in (1, 2)", [3, 4, 5, 6]),
        ("t not in ('2000-01-01') or t not in ('2024-06-01')", [0, 1, 3, 4, 5, 6]),
        ("w not between 0 and 5", [3, 4, 6]),
        ("5 < w", [4, 6]),
        ("1 = 1", [0, 1, 2, 3, 4, 5, 6]),
        ("'a' = 'b'", []),
        ("s = ''", [5]),
        ("s = 'a\x00b'", []),
    ],
)
def test_what_passes(store: Store, where: str, rows: list[int] | None) -> None:
    if rows is None:
        with pytest.raises(FilterError, match="'2024-03' is no date"):
            found(store, where)
    else:
        assert found(store, where) == rows


def nested(opening: str, inside: str, closing: str) -> str:
    return opening * (DEEPEST - 2) + inside + closing * (DEEPEST - 2)


@pytest.mark.parametrize(
    "where",
    [
        nested("(", "w = 1", ")"),
        nested("lower(", "s", ")") + " = 'ab'",
        "abs(w + " * (DEEPEST // 2 - 1) + "1" + ")" * (DEEPEST // 2 - 1) + " > 0",
        "w " + "+ 1" * (DEEPEST - 2) + " > 0",
        "w = 1",
        "(b or (w = 1 and " * (DEEPEST // 2 - 2) + "not b" + "))" * (DEEPEST // 2 - 2),
        "not (b or not (w = 1 and " * (DEEPEST // 4 - 1) + "b" + "))" * (DEEPEST // 4 - 1),
    ],
)
def test_the_deepest_filters_are_answered(store: Store, where: str) -> None:
    assert isinstance(found(store, where), list)


def test_wide_filters_are_answered(store: Store) -> None:
    patterns = MOST_CONDITIONS // 2 - 1
    assert found(store, " OR ".join(f"s LIKE '{n}%'" for n in range(patterns))) == []
    patterns = MOST_CONDITIONS // 3 - 1
    assert found(store, " AND ".join(f"s NOT LIKE '{n}%'" for n in range(patterns))) == [
        0, 1, 3, 4, 5, 6,
    ]  # fmt: skip
    assert found(store, " OR ".join(f"w = {n}" for n in range(9999))) == [0, 1, 5, 6]
    assert found(store, " AND ".join(f"w <> {n}" for n in range(9999))) == [3, 4]


WORDS = (
    "w i f s b t d x ( ( ) ) , = < <> >= + - * / 'a' '2' 1 2.5 1e9 AND OR NOT IN BETWEEN LIKE "
    "ILIKE ESCAPE IS NULL TRUE date timestamp lower( year( abs( lpad( CAST AS :: ; -- /* */ ? "
    "$1 :x \\ ' \" ` % _ || SELECT \ud800"
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join))
def test_whatever_is_written_is_answered_or_refused(store: Store, where: str) -> None:
    try:
        rows = found(store, where)
    except FilterError as error:
        rows, refusal = [], str(error)
        assert "Columns: w (numbers)" in refusal
    assert set(rows) <= set(range(len(ROWS)))
