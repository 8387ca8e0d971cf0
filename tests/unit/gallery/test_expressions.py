"""What is read as a filter, and what is refused with which words."""

from __future__ import annotations

import sys
import threading
from datetime import datetime

import pytest

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
    Not,
    Or,
    Wildcard,
    walk,
)
from composir.gallery.filter_parser import (
    DEEPEST,
    MOST_CONDITIONS,
    MOST_VALUES,
    parse_filter,
)
from composir.gallery.filter_tokens import LONGEST

COLUMNS = Columns(
    {
        "width": Kind.NUMBER,
        "colour": Kind.TEXT,
        "camera": Kind.TEXT,
        "price": Kind.TEXT,
        "taken_at": Kind.DATE,
        "new": Kind.TRUTH,
        "case": Kind.TEXT,
        "date": Kind.DATE,
    },
    lambda name: "12,50 €" if name == "price" else None,
)
WIDTH, COLOUR = Column("width", Kind.NUMBER), Column("colour", Kind.TEXT)
TAKEN, NEW = Column("taken_at", Kind.DATE), Column("new", Kind.TRUTH)


def number(value: float) -> Literal:
    return Literal(value, Kind.NUMBER)


def text(value: str) -> Literal:
    return Literal(value, Kind.TEXT)


def parse(where: str) -> Expression:
    return parse_filter(where, COLUMNS)


@pytest.mark.parametrize(
    ("where", "tree"),
    [
        ("width > 5", Comparison(">", WIDTH, number(5))),
        ("5 < WIDTH", Comparison(">", WIDTH, number(5))),
        ("width != -2.5e1", Comparison("<>", WIDTH, number(-25.0))),
        ("`colour` == 'it''s'", Comparison("=", COLOUR, text("it's"))),
        ('"colour" = \'"\'', Comparison("=", COLOUR, text('"'))),
        (
            "width + 1 * 2 > 3",
            Comparison(
                ">", Arithmetic("+", WIDTH, Arithmetic("*", number(1), number(2))), number(3)
            ),
        ),
        ("new", NEW),
        ("new = true", NEW),
        ("new <> true", Not(NEW)),
        ("not not new", NEW),
        ("new is true", And((NEW, Not(IsNull(NEW))))),
        (
            "new or new and not new",
            Or((NEW, And((NEW, Not(NEW))))),
        ),
        ("colour is not null", Not(IsNull(COLOUR))),
        ("colour in ('a', 'b', 'a')", In(COLOUR, ("a", "b"))),
        ("colour = 'a' or new or colour in ('b')", Or((In(COLOUR, ("a", "b")), NEW))),
        ("colour <> 'a' and colour not in ('b', 'c')", Not(In(COLOUR, ("a", "b", "c")))),
        ("colour = 'a' and colour = 'b'", And((
            Comparison("=", COLOUR, text("a")), Comparison("=", COLOUR, text("b"))))),
        ("colour like 'a%\\_'", Like(COLOUR, ("a", Wildcard.ANY, "_"), any_case=False)),
        ("colour ilike '\\a_'", Like(COLOUR, ("\\", "a", Wildcard.ONE), any_case=True)),
        ("colour not like '|%' escape '|'", Not(Like(COLOUR, ("%",), any_case=False))),
        (
            "width between 1 and 2 and new",
            And((
                And((Comparison(">=", WIDTH, number(1)), Comparison("<=", WIDTH, number(2)))),
                NEW,
            )),
        ),
        (
            "Lower(colour) = 'a'",
            Comparison("=", Call("lower", COLOUR, Kind.TEXT), text("a")),
        ),
        (
            "taken_at >= '2024-02-29T10:00Z'",
            Comparison(">=", TAKEN, Literal(datetime(2024, 2, 29, 10), Kind.DATE)),
        ),
        (
            "date = date '2024-02-29'",
            Comparison(
                "=",
                Column("date", Kind.DATE),
                Literal(datetime(2024, 2, 29), Kind.DATE),
            ),
        ),
        ("case = 'a'", Comparison("=", Column("case", Kind.TEXT), text("a"))),
        (
            "1 = 2 or 'b' > 'a'",
            Or((Literal(False, Kind.TRUTH), Literal(True, Kind.TRUTH))),
        ),
    ],
)  # fmt: skip
def test_trees(where: str, tree: Expression) -> None:
    assert parse(where) == tree


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("width", "a filter wants a condition, but width is a number; compare it"),
        ("1", "a filter wants a condition, but 1 is a number"),
        ("width >", "it ends where a column, a value or '\\(' should follow"),
        ("width > 1 height", "AND, OR or the end should stand at 'height'"),
        ("colr = 'red'", "no column 'colr': did you mean colour"),
        ("zebra = 1", "no column 'zebra'$"),
        ("width = 'wide'", "width is a number and 'wide' is text; numbers stand without quotes"),
        (
            "price < 50",
            "price is text and 50 is a number: the metadata say price as text \\(e.g. '12,50 €'\\)"
            "; index the metadata again with --column price=number",
        ),
        ("price + 1 > 2", "price is text; '\\+' takes numbers: the metadata say .*=number"),
        ("year(price) = 2020", "year\\(\\) takes a date, but price is text.*--column price=date"),
        ("camera = 5", "camera is text and 5 is a number; compare text with text in single"),
        ("taken_at > 2024", "taken_at is a date and 2024 is a number"),
        ("taken_at > 'yesterday'", "'yesterday' is no date; write it as '2024-12-31'"),
        ("taken_at > '0001-01-01T00:00+05:00'", "beyond the calendar"),
        ("taken_at like '2024%'", "taken_at is a date; only text has.*year\\(taken_at\\)"),
        ("width like '1%'", "width is a number; only text has a pattern"),
        ("new > false", "new is true or false; it is neither more nor less"),
        ("new = (width > 1)", "joined with AND or OR"),
        ("not colour", "NOT wants a condition, but colour is text"),
        ("colour and new", "AND wants a condition, but colour is text"),
        ("width = null", "write IS NULL"),
        ("width not in (1, NULL)", "write IS NULL"),
        ("width in ()", "a column, a value or"),
        ("width in (width)", "IN takes values written out, not width"),
        ("width in (1, 'a')", "width is a number and 'a' is text"),
        ("1 < width < 5", "'<' cannot follow a comparison; join two with AND"),
        ('colour = "red"', "no column 'red'; texts stand in single quotes: 'red'"),
        ("colour = 'red", "the quote at .* is not closed"),
        ("colour = `red", "the quote at .* is not closed"),
        ("width > 1; new", "';' has no place in a filter"),
        ("width = ?", "there is no value for \\?"),
        ("width = $1", "there is no value for \\$1"),
        ("width = :x", "there is no value for :x"),
        ("width > 1.2.3", "no number at '1.2.3'"),
        ("2nd = 1", "no number at '2nd"),
        ("width > 1e999", "is too large"),
        ("width > " + "1" * 41, "at most 40 digits"),
        ("lpad(colour, 2000000000, 'x') = 'a'", "the function lpad\\(\\) is not to be had; there "
         "are lower\\(\\), upper\\(\\), trim\\(\\), length\\(\\), abs\\(\\), year\\(\\)"),
        ("repeat(colour, 9) = 'a'", "the function repeat\\(\\)"),
        ("lower() = 'a'", "lower\\(\\) takes one value, not 0"),
        ("lower(colour, 'a') = 'a'", "lower\\(\\) takes one value, not 2"),
        ("lower(width) = 'a'", "lower\\(\\) takes text, but width is a number"),
        ("cast(width as string) = '1'", "CAST is not to be had"),
        ("width::string = '1'", "'::' is not to be had"),
        ("width in (select 1)", "holds no query of its own"),
        ("exists (select 1)", "holds no query of its own"),
        ("case when new then new else new end", "should stand at 'when"),
        ("colour similar to 'a'", "SIMILAR TO is not to be had"),
        ("colour || 'a' = 'b'", "texts cannot be joined"),
        ("width % 2 = 0", "there are \\+ - \\* /"),
        ("width is 5", "NULL, TRUE or FALSE should stand"),
        ("width > 1 -- and so on", "should stand at 'and so on'"),
        ("colour like 'a' escape 'xy'", "ESCAPE takes one character"),
        ("colour like 'a!b' escape '!'", "'!' stands before no %, _ or !"),
        ("colour like width", "a pattern in single quotes should stand"),
        ("colour like '" + "a" * 1001 + "'", "has 1,001 characters; at most 1,000"),
        ("colour = '\ud800'", "half a character"),
        ("(new", "'\\)' should follow"),
        ("new)", "AND, OR or the end should stand at '\\)'"),
        ("x" * (LONGEST + 1), "at most 1,000,000 are read"),
        ("(" * 5_000 + "new" + ")" * 5_000, f"more than {DEEPEST} deep"),
        ("not " * 5_000 + "new", f"more than {DEEPEST} deep"),
        ("- " * 5_000 + "width > 0", f"more than {DEEPEST} deep"),
        ("lower(" * 900 + "colour" + ")" * 900 + " = 'a'", f"more than {DEEPEST} deep"),
        ("width" + " + 1" * 900 + " > 0", f"more than {DEEPEST} deep"),
        ("width" + " * 1" * 5_000 + " > 0", f"more than {DEEPEST} deep"),
        (" or ".join(f"colour like '{n}'" for n in range(MOST_CONDITIONS)), "at most 2,000"),
        (f"width in ({','.join(map(str, range(MOST_VALUES + 1)))})", "at most 50,000 are read"),
    ],
)  # fmt: skip
def test_refusals_say_the_cause(where: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        parse(where)


def test_values_that_are_bytes_of_no_text_are_looked_for_as_columns_show_them() -> None:
    assert parse("colour = 'caf\udce9'") == Comparison("=", COLOUR, text("caf\\xe9"))


def test_a_small_stack_is_enough_for_the_deepest_filter() -> None:
    """As the threads of a server have it."""
    deepest = "(" * DEEPEST + "new" + ")" * DEEPEST
    trees: list[Expression] = []
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        thread = threading.Thread(target=lambda: trees.append(parse(deepest)))
        thread.start()
        thread.join()
    finally:
        sys.setrecursionlimit(limit)
    assert trees == [NEW]


@pytest.mark.parametrize("levels", [DEEPEST // 2 - 1, DEEPEST // 2])
def test_depth_counts_in_the_tree(levels: int) -> None:
    where = "new or (new and (" * levels + "width > 1" + "))" * levels
    if 2 * levels + 2 <= DEEPEST:
        assert max(depth for _, depth in walk(parse(where))) == 2 * levels + 2
    else:
        with pytest.raises(FilterError, match="deep"):
            parse(where)
