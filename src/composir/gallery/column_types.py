"""What the columns of a metadata file hold: found where all cells agree, or said by the user.

A format is taken where every cell of a column has it and no other format fits as well; otherwise
the column stays text, and the reading says why and what to do. A type that the user names is
taken or refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TypeAlias

from composir.errors import DatasetError
from composir.gallery.written_values import (
    DateColumn,
    DateOrder,
    NumberStyle,
    read_dates,
    read_numbers,
    without_currency,
)

Value: TypeAlias = str | int | float | bool | date | datetime | None
Kind: TypeAlias = type[str] | type[int] | type[float] | type[bool] | type[date] | type[datetime]

COLUMN_TYPES = (
    "text",
    "number",
    "number:dot",
    "number:comma",
    "bool",
    "date",
    "date:ymd",
    "date:dmy",
    "date:mdy",
)
"""What `--column NAME=TYPE` takes."""

_INT64 = 2**63
_BOOLS = {"true": True, "false": False}
_SAID_BOOLS = _BOOLS | {"yes": True, "no": False, "1": True, "0": False}
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_NUMBER = re.compile(r"[+-]?(?=\.?[0-9])(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_THOUSANDS_OR_DECIMALS = re.compile(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}")
_GLANCE = 50  # cells that tell whether a column of text is nearly one of something else
_TRIED = ("number:dot", "number:comma", "date:ymd", "date:dmy", "date:mdy")


@dataclass(frozen=True, slots=True)
class ColumnReading:
    """A column as it was understood."""

    kind: Kind  # Python's type of all values that are not None
    values: Sequence[Value]  # one a row
    told: str  # for people, e.g. `numbers with decimal commas`


def read_texts(name: str, texts: Sequence[str]) -> ColumnReading:
    """The narrowest reading of a column of text cells."""
    filled = [text for text in texts if text]
    if not filled:
        return ColumnReading(str, [None] * len(texts), "text (all cells are empty)")
    plain = _plain(name, texts, filled)
    if plain is not None:
        return plain
    numbers = _written_numbers(name, texts)
    if numbers is not None:
        return numbers
    dates = _written_dates(name, texts)
    return dates or ColumnReading(str, [text or None for text in texts], _why_text(texts))


def read_iso_dates(texts: Sequence[str]) -> ColumnReading | None:
    """Text cells as dates, where all are ISO 8601: the form that has no type of its own in JSON."""
    found = read_dates(texts, DateOrder.YMD)
    return _dates(found, DateOrder.YMD) if found is not None and found.sign == "-" else None


def read_as(wanted: str, where: str, lines: Sequence[int], texts: Sequence[str]) -> ColumnReading:
    """A column of text cells as the user says it is."""
    sort, _, form = wanted.partition(":")
    if sort == "text":
        return ColumnReading(str, [text or None for text in texts], "text, as asked for")
    found = _forced(sort, form, texts)
    if len(found) == 1:
        return found[0]
    if found:
        forms = " or ".join(f"{sort}:{one}" for one in _forms(sort))
        raise DatasetError(f"{where}: it is not clear which {sort}s these are; say {forms}")
    for line, text in zip(lines, texts, strict=True):
        if text and not _forced(sort, form, [text]):
            raise DatasetError(
                f"{where}, line {line}: {text[:40]!r} is no {wanted}, which --column says the "
                "column is; mend the cell, or name another type"
            )
    raise DatasetError(f"{where}: its cells are not all written as {wanted} in the same way")


def _forms(sort: str) -> tuple[str, ...]:
    return tuple(one.partition(":")[2] for one in COLUMN_TYPES if one.startswith(f"{sort}:"))


def _forced(sort: str, form: str, texts: Sequence[str]) -> list[ColumnReading]:
    """All readings that a type allows, less those that give the same values."""
    if sort == "bool":
        known = all(text.lower() in _SAID_BOOLS for text in texts if text)
        values = [_SAID_BOOLS.get(text.lower()) for text in texts]
        return [ColumnReading(bool, values, "true or false, as asked for")] if known else []
    if sort == "date":
        orders = [DateOrder(form)] if form else list(DateOrder)
        dates = [(read_dates(texts, order), order) for order in orders]
        return _distinct([_dates(found, order) for found, order in dates if found is not None])
    texts = [re.sub(r"^([-+]?)0+(?=[0-9])", r"\1", text) for text in texts]
    if form != "comma" and all(_NUMBER.fullmatch(text) for text in texts if text):
        return [_as_numbers([_number(text) for text in texts], "numbers")]
    styles = [NumberStyle(form)] if form else list(NumberStyle)
    numbers = [(read_numbers(texts, style), style) for style in styles]
    return _distinct([_as_numbers(n, _told(texts, style)) for n, style in numbers if n is not None])


def _distinct(readings: list[ColumnReading]) -> list[ColumnReading]:
    result: list[ColumnReading] = []
    for reading in readings:
        if all(reading.values != other.values for other in result):
            result.append(reading)
    return result


def _plain(name: str, texts: Sequence[str], filled: Sequence[str]) -> ColumnReading | None:
    """Booleans and numbers as programs write them."""
    if all(text.lower() in _BOOLS for text in filled):
        return ColumnReading(bool, [_BOOLS.get(text.lower()) for text in texts], "true or false")
    if all(_INTEGER.fullmatch(text) for text in filled):
        if all(len(text) < 20 and -_INT64 <= int(text) < _INT64 for text in filled):
            return ColumnReading(
                int, [int(text) if text else None for text in texts], "whole numbers"
            )
        return ColumnReading(str, [text or None for text in texts], "text (numbers beyond 64 bits)")
    if not all(_NUMBER.fullmatch(text) for text in filled):
        return None
    told = "numbers"
    if all(_THOUSANDS_OR_DECIMALS.fullmatch(text) for text in filled):
        told += (
            f" ({filled[0]} with decimals; if its point sets thousands apart: "
            f"--column {name}=number:comma)"
        )
    return ColumnReading(float, [float(text) if text else None for text in texts], told)


def _written_numbers(name: str, texts: Sequence[str]) -> ColumnReading | None:
    readings = []
    for style in NumberStyle:
        numbers = read_numbers(texts, style)
        readings += [] if numbers is None else [_as_numbers(numbers, _told(texts, style))]
    distinct = _distinct(readings)
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    pairs = zip(texts, distinct[0].values, distinct[1].values, strict=True)
    unclear = next(text for text, one, other in pairs if one != other)
    return _unclear(name, texts, f"{unclear} may have decimals or thousands", "number")


def _written_dates(name: str, texts: Sequence[str]) -> ColumnReading | None:
    readings = []
    for order in DateOrder:
        dates = read_dates(texts, order)
        # Nobody writes the month first and points.
        if dates is not None and (order is not DateOrder.MDY or dates.sign != "."):
            readings.append(_dates(dates, order))
    distinct = _distinct(readings)
    if len(distinct) < 2:
        return distinct[0] if distinct else None
    first = next(text for text in texts if text)
    return _unclear(name, texts, f"{first} may be day/month or month/day", "date")


def _unclear(name: str, texts: Sequence[str], why: str, sort: str) -> ColumnReading:
    ways = " or ".join(
        f"--column {name}={sort}:{form}" for form in _forms(sort) if form != DateOrder.YMD.value
    )
    told = f"text: {why}; say which: {ways}"
    return ColumnReading(str, [text or None for text in texts], told)


def _told(texts: Sequence[str], style: NumberStyle) -> str:
    bodies, currency = without_currency(texts) or (texts, None)
    told = "numbers"
    if any(style.sign in body for body in bodies):
        told += " with decimal " + ("points" if style is NumberStyle.DOT else "commas")
    apart = {character for body in bodies for character in body if not character.isalnum()}
    apart -= {style.sign, "-", "+", "−"}
    told += f", thousands set apart by {_names(apart)}" if apart else ""
    return f"{told} (in {currency})" if currency else told


def _names(signs: set[str]) -> str:
    names = {".": "points", ",": "commas", "'": "apostrophes", "’": "apostrophes"}
    return names.get(next(iter(signs)), "spaces")


def _as_numbers(numbers: Sequence[int | float | None], told: str) -> ColumnReading:
    known = [number for number in numbers if number is not None]
    if all(isinstance(number, int) and -_INT64 <= number < _INT64 for number in known):
        return ColumnReading(int, numbers, told)
    return ColumnReading(float, [None if one is None else float(one) for one in numbers], told)


def _number(text: str) -> int | float | None:
    if not text:
        return None
    return int(text) if _INTEGER.fullmatch(text) else float(text)


def _dates(found: DateColumn, order: DateOrder) -> ColumnReading:
    told = "dates and times" if found.has_time else "dates"
    if order is not DateOrder.YMD:
        told += f", {order.shown(found.sign)}"
    told += ", in UTC" if found.is_utc else ""
    return ColumnReading(datetime if found.has_time else date, found.values, told)


def _why_text(texts: Sequence[str]) -> str:
    """What keeps a column from being more than text, where it is a few cells only."""
    filled = [text for text in texts if text]
    for wanted in _TRIED:
        glance = filled[:_GLANCE]
        if 10 * sum(_fits(wanted, text) for text in glance) < 9 * len(glance):
            continue
        others = [text for text in filled if not _fits(wanted, text)]
        if 0 < 10 * len(others) <= len(filled):
            return (
                f"text: {len(others)} of {len(filled)} cells are no {wanted.partition(':')[0]}s, "
                f"e.g. {others[0][:40]!r}"
            )
    return "text"


def _fits(wanted: str, text: str) -> bool:
    sort, _, form = wanted.partition(":")
    return bool(_forced(sort, form, [text])) and not re.match(r"[-+]?0[0-9]", text)
