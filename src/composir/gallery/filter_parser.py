"""From what people write after `--where` to a tree: a small language, much like SQL's conditions.

By recursive descent; nothing that is written reaches a store but as a node of the tree, and how
long, deep and many-sided a filter may be is bounded before anything is done with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from composir.errors import FilterError
from composir.gallery.expressions import Columns, Expression, In, Kind, Literal, walk
from composir.gallery.filter_checks import FUNCTIONS, Checks, all_of, any_of, opposite, read_date
from composir.gallery.filter_tokens import FilterToken, Word, near, tokenize

DEEPEST = 16
"""Levels of parentheses, NOT, functions and calculations inside each other."""

MOST_CONDITIONS = 2_000
"""Columns, values and operators; the values of lists are counted apart."""

MOST_VALUES = 50_000
"""Values in all lists."""

Result = TypeVar("Result")

_COMPARISONS = {"==": "=", "!=": "<>"} | {sign: sign for sign in ("=", "<>", "<", "<=", ">", ">=")}
_RESERVED = ("AND", "OR", "NOT", "IN", "BETWEEN", "LIKE", "ILIKE", "IS")
_REFUSED = {
    "SELECT": "a filter holds no query of its own",
    "EXISTS": "a filter holds no query of its own",
    "CASE": "CASE is not to be had; join conditions with AND and OR",
    "CAST": "CAST is not to be had; --column NAME=TYPE says how a metadata column is read",
    "EXTRACT": "EXTRACT is not to be had; write year(...), month(...) or day(...)",
    "INTERVAL": "INTERVAL is not to be had; write the date itself",
}
_REFUSED_AFTER = {
    "SIMILAR": "SIMILAR TO is not to be had; use LIKE",
    "REGEXP": "REGEXP is not to be had; use LIKE",
    "RLIKE": "RLIKE is not to be had; use LIKE",
    "GLOB": "GLOB is not to be had; use LIKE",
    "||": "texts cannot be joined in a filter",
    "::": "'::' is not to be had; --column NAME=TYPE says how a metadata column is read",
    "%": "'%' is not to be had; there are + - * /",
}


def parse_filter(text: str, columns: Columns) -> Expression:
    """The tree of a filter."""
    tree = _Parser(text, columns).parse()
    size = values = 0
    for node, depth in walk(tree):
        if depth > DEEPEST:
            raise FilterError(_too_deep())
        size += 1
        values += len(node.values) if isinstance(node, In) else 0
    if size > MOST_CONDITIONS:
        raise FilterError(
            f"it has {size:,} parts; at most {MOST_CONDITIONS:,} are read. Many values of one "
            "column go into a list: colour IN ('red', 'green')"
        )
    if values > MOST_VALUES:
        raise FilterError(f"it lists {values:,} values; at most {MOST_VALUES:,} are read")
    return tree


class _Parser:
    """Reads one filter from left to right; each method reads one sort of phrase."""

    def __init__(self, text: str, columns: Columns) -> None:
        self._text, self._columns, self._checks = text, columns, Checks(columns)
        self._tokens = list(tokenize(text))
        self._place = self._depth = 0

    @property
    def _next(self) -> FilterToken:
        return self._tokens[self._place]

    def _is_at_end(self) -> bool:
        return self._next.word is Word.END

    def parse(self) -> Expression:
        if self._is_at_end():
            raise FilterError("it is empty")
        tree = self._condition()
        if not self._is_at_end():
            raise FilterError(self._unexpected("AND, OR or the end"))
        return self._checks.condition(tree, "a filter")

    def _condition(self) -> Expression:
        return self._joined("OR", self._conjunction, any_of)

    def _conjunction(self) -> Expression:
        return self._joined("AND", self._negation, all_of)

    def _joined(
        self,
        word: str,
        read: Callable[[], Expression],
        join: Callable[[list[Expression]], Expression],
    ) -> Expression:
        terms = [read()]
        while self._take_keyword(word):
            terms.append(read())
        if len(terms) == 1:
            return terms[0]
        return join([self._checks.condition(term, word) for term in terms])

    def _negation(self) -> Expression:
        if not self._take_keyword("NOT"):
            return self._predicate()
        return opposite(self._checks.condition(self._inside(self._negation), "NOT"))

    def _predicate(self) -> Expression:
        left = self._sum()
        if self._next.is_sign(*_COMPARISONS):
            return self._comparison(left)
        if self._take_keyword("IS"):
            return self._after_is(left)
        negated = self._take_keyword("NOT")
        result = self._after_operand(left, negated=negated)
        return opposite(result) if negated else result

    def _comparison(self, left: Expression) -> Expression:
        sign = self._next.text
        self._place += 1
        result = self._checks.comparison(_COMPARISONS[sign], left, self._sum())
        if self._next.is_sign(*_COMPARISONS):
            raise FilterError(f"{self._next.text!r} cannot follow a comparison; join two with AND")
        return result

    def _after_operand(self, left: Expression, *, negated: bool) -> Expression:
        if self._take_keyword("IN"):
            return self._checks.membership(left, self._values())
        if self._take_keyword("BETWEEN"):
            return self._range(left)
        if self._next.is_keyword("LIKE", "ILIKE"):
            return self._pattern(left)
        if negated:
            raise FilterError(self._unexpected("IN, BETWEEN or LIKE"))
        return left

    def _range(self, operand: Expression) -> Expression:
        low = self._sum()
        if not self._take_keyword("AND"):
            raise FilterError(self._unexpected("AND and the upper end of BETWEEN"))
        high = self._sum()
        return all_of(
            [
                self._checks.comparison(">=", operand, low),
                self._checks.comparison("<=", operand, high),
            ]
        )

    def _values(self) -> list[Expression]:
        self._expect("(", "a list in parentheses")
        values = [self._value()]
        while self._take_sign(","):
            values.append(self._value())
        self._expect(")", "',' or ')'")
        return values

    def _value(self) -> Expression:
        """What `_sum` reads; at once where it is one number or text, for lists may be long."""
        token = self._next
        if token.word in {Word.NUMBER, Word.TEXT} and self._tokens[self._place + 1].ends_value():
            return self._operand()
        return self._sum()

    def _pattern(self, operand: Expression) -> Expression:
        any_case = self._next.is_keyword("ILIKE")
        self._place += 1
        pattern, escape = self._quoted_text("a pattern"), None
        if self._take_keyword("ESCAPE"):
            escape = self._quoted_text("a character")
            if len(escape) != 1 or escape in "%_":
                raise FilterError(f"ESCAPE takes one character other than % and _, not {escape!r}")
        return self._checks.like(operand, pattern, escape, any_case=any_case)

    def _after_is(self, operand: Expression) -> Expression:
        negated = self._take_keyword("NOT")
        if self._take_keyword("NULL"):
            result = self._checks.is_null(operand)
        elif self._next.is_keyword("TRUE", "FALSE"):
            wanted = self._next.is_keyword("TRUE")
            self._place += 1
            truth = self._checks.condition(operand, "IS TRUE or IS FALSE")
            known = opposite(self._checks.is_null(truth))
            result = all_of([truth if wanted else opposite(truth), known])
        else:
            raise FilterError(self._unexpected("NULL, TRUE or FALSE"))
        return opposite(result) if negated else result

    def _sum(self) -> Expression:
        return self._calculation(("+", "-"), lambda: self._calculation(("*", "/"), self._signed))

    def _calculation(self, signs: tuple[str, ...], read: Callable[[], Expression]) -> Expression:
        left, levels = read(), 0
        while self._next.is_sign(*signs):
            sign = self._next.text
            self._place += 1
            levels += 1
            if levels > DEEPEST:
                raise FilterError(_too_deep())
            left = self._checks.arithmetic(sign, left, read())
        return left

    def _signed(self) -> Expression:
        if self._take_sign("-"):
            return self._checks.negative(self._inside(self._signed))
        if self._take_sign("+"):
            return self._inside(self._signed)
        return self._operand()

    def _operand(self) -> Expression:
        token = self._next
        self._place += 1
        if token.is_sign("("):
            inner = self._inside(self._condition)
            self._expect(")", "')'")
            return inner
        if token.word is Word.NUMBER:
            return Literal(_number(token.text), Kind.NUMBER)
        if token.word is Word.TEXT:
            return Literal(token.text, Kind.TEXT)
        if token.word is Word.QUOTED_NAME:
            return self._quoted_name(token)
        if token.word is Word.NAME and not token.is_keyword(*_RESERVED):
            return self._named(token)
        self._place -= 1
        raise FilterError(self._unexpected("a column, a value or '('"))

    def _quoted_name(self, token: FilterToken) -> Expression:
        try:
            return self._columns.find(token.text)
        except FilterError as error:
            if self._text[token.start] == "`":
                raise
            raise FilterError(
                f"{error}; texts stand in single quotes: '{token.text[:40]}'"
            ) from error

    def _named(self, token: FilterToken) -> Expression:
        if token.text.upper() in _REFUSED and token.text not in self._columns.kinds:
            raise FilterError(_REFUSED[token.text.upper()])
        if token.is_keyword("TRUE", "FALSE"):
            return Literal(token.is_keyword("TRUE"), Kind.TRUTH)
        if token.is_keyword("NULL"):
            raise FilterError("nothing compares with NULL; write IS NULL or IS NOT NULL")
        if token.is_keyword("DATE", "TIMESTAMP") and self._next.word is Word.TEXT:
            return Literal(read_date(self._quoted_text("a date")), Kind.DATE)
        if self._next.is_sign("("):
            return self._call(token)
        return self._columns.find(token.text)

    def _call(self, token: FilterToken) -> Expression:
        name = token.text.lower()
        if name not in FUNCTIONS:
            raise FilterError(
                f"the function {token.text[:40]}() is not to be had; there are "
                f"{', '.join(f'{known}()' for known in FUNCTIONS)}"
            )
        if self._tokens[self._place + 1].is_sign(")"):
            raise FilterError(f"{name}() takes one value, not 0")
        return self._checks.call(name, self._inside(self._values))

    def _inside(self, read: Callable[[], Result]) -> Result:
        """What is read one level deeper."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise FilterError(_too_deep())
        result = read()
        self._depth -= 1
        return result

    def _take_keyword(self, word: str) -> bool:
        taken = self._next.is_keyword(word)
        self._place += taken
        return taken

    def _take_sign(self, sign: str) -> bool:
        taken = self._next.is_sign(sign)
        self._place += taken
        return taken

    def _expect(self, sign: str, wanted: str) -> None:
        if not self._take_sign(sign):
            raise FilterError(self._unexpected(wanted))

    def _quoted_text(self, wanted: str) -> str:
        token = self._next
        if token.word is not Word.TEXT:
            raise FilterError(self._unexpected(f"{wanted} in single quotes"))
        self._place += 1
        return token.text

    def _unexpected(self, wanted: str) -> str:
        token = self._next
        if token.word is Word.END:
            return f"it ends where {wanted} should follow"
        is_word = token.word in {Word.NAME, Word.SIGN}
        refused = _REFUSED_AFTER.get(token.text.upper()) if is_word else None
        return refused or f"{wanted} should stand at {near(self._text, token.start)}"


def _number(text: str) -> int | float:
    value = int(text) if text.isdecimal() else float(text)
    if value == float("inf"):
        raise FilterError(f"the number {text} is too large")
    return value


def _too_deep() -> str:
    return (
        f"parentheses, NOT, functions or calculations stand in each other more than {DEEPEST} "
        "deep; write it flatter"
    )
