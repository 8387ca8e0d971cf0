"""Numbers and dates as people write them.

Decimal commas, thousands set apart, amounts of money; ISO 8601, day or month first, with or without
the time of day.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum

_SPACES = " \u00a0\u2009\u202f"
_CURRENCIES = "EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|kr|zł|Kč"
_CURRENCY = re.compile(rf"[{_SPACES}]*({_CURRENCIES})[{_SPACES}]*")
_TIME = (
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d{1,9}))?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST = re.compile(rf"(\d{{4}})(?P<sign>[-/.])(\d{{1,2}})(?P=sign)(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})(?P<sign>[-/.])(\d{{1,2}})(?P=sign)(\d{{4}}){_TIME}")
_PLACES = (1, 3, 4)  # the groups of the three numbers, the sign's being 2


class NumberStyle(Enum):
    """Which sign stands before the decimals; the value is how `--column` names it."""

    DOT = "dot"
    COMMA = "comma"

    @property
    def sign(self) -> str:
        """The sign itself."""
        return "." if self is NumberStyle.DOT else ","


def _pattern(style: NumberStyle) -> re.Pattern[str]:
    other = "," if style is NumberStyle.DOT else "."
    apart = rf"[{other}'’{_SPACES}]"
    whole = rf"(?:[1-9]\d{{0,2}}(?P<apart>{apart})\d{{3}}(?:(?P=apart)\d{{3}})*|0|[1-9]\d*)"
    return re.compile(
        rf"(?P<minus>[-+−])?(?P<whole>{whole})(?:{re.escape(style.sign)}(?P<part>\d+))?"
    )


_PATTERNS = {style: _pattern(style) for style in NumberStyle}


def read_numbers(texts: Sequence[str], style: NumberStyle) -> list[int | float | None] | None:
    """A column of numbers; cells have no space around them, and empty ones become None.

    Whole numbers where no cell has decimals, else floating point; None where a cell is no such
    number, thousands are set apart in two ways, or amounts are in two currencies.
    """
    bare = without_currency(texts)
    if bare is None:
        return None
    pairs = list(zip(texts, bare[0], strict=True))
    matches = [_PATTERNS[style].fullmatch(body) if text else None for text, body in pairs]
    if any(text and match is None for text, match in zip(texts, matches, strict=True)):
        return None
    found = [match for match in matches if match is not None]
    if len({match["apart"] for match in found} - {None}) > 1:
        return None
    has_decimals = any(match["part"] for match in found)
    return [
        None if match is None else _value(match, has_decimals=has_decimals) for match in matches
    ]


def without_currency(texts: Sequence[str]) -> tuple[list[str], str | None] | None:
    """The cells without sign or code of currency, and that; None where there are several."""
    found: set[str] = set()
    bodies = []
    for text in texts:
        body, currency = _split(text)
        bodies.append(body)
        found |= {currency} if currency else set()
    return (bodies, next(iter(found), None)) if len(found) <= 1 else None


def _split(text: str) -> tuple[str, str | None]:
    if not text or (text[0].isdigit() and text[-1].isdigit()):
        return text, None
    for place in (0, -1):
        if unicodedata.category(text[place]) == "Sc":
            rest = text[1:] if place == 0 else text[:-1]
            return rest.strip(_SPACES), text[place]
    for match in (_CURRENCY.match(text), re.search(rf"{_CURRENCY.pattern}\Z", text)):
        if match:
            return (text[: match.start()] + text[match.end() :]), match[1]
    return text, None


def _value(match: re.Match[str], *, has_decimals: bool) -> int | float:
    digits = re.sub(r"\D", "", match["whole"])
    minus = "-" if match["minus"] in {"-", "−"} else ""
    if has_decimals:
        return float(f"{minus}{digits}.{match['part'] or 0}")
    return int(minus + digits) if len(digits) < 20 else float(minus + digits)


class DateOrder(Enum):
    """What comes first; the value is how `--column` names it."""

    YMD = "ymd"
    DMY = "dmy"
    MDY = "mdy"

    def shown(self, sign: str) -> str:
        """In words, e.g. `day.month.year`."""
        words = {"y": "year", "m": "month", "d": "day"}
        return sign.join(words[letter] for letter in self.value)


@dataclass(frozen=True, slots=True)
class DateColumn:
    """A column read as dates."""

    # Dates, or moments without zone where any cell has a time of day.
    values: list[date | datetime | None]
    sign: str  # what stands between the numbers
    has_time: bool  # whether values are moments
    is_utc: bool  # whether the cells had zones, so that moments are UTC


def read_dates(texts: Sequence[str], order: DateOrder) -> DateColumn | None:
    """A column of dates; cells have no space around them, and empty ones become None.

    None where a cell is no such date, or signs or zones differ.
    """
    pattern = _YEAR_FIRST if order is DateOrder.YMD else _YEAR_LAST
    matches = [pattern.fullmatch(text) if text else None for text in texts]
    if any(text and match is None for text, match in zip(texts, matches, strict=True)):
        return None
    found = [match for match in matches if match is not None]
    signs, zones = {match["sign"] for match in found}, {bool(match["zone"]) for match in found}
    if len(signs) != 1 or len(zones) != 1:
        return None
    has_time = any(match["hour"] for match in found)
    try:
        values = [None if match is None else _moment(match, order) for match in matches]
    except (ValueError, OverflowError):
        return None
    days = [value if has_time or value is None else value.date() for value in values]
    return DateColumn(list(days), signs.pop(), has_time, zones.pop())


def _moment(match: re.Match[str], order: DateOrder) -> datetime:
    """The moment that a match stands for, in UTC where it has a zone."""
    numbers = dict(zip(order.value, (int(match[place]) for place in _PLACES), strict=True))
    day = date(numbers["y"], numbers["m"], numbers["d"])
    if match["hour"] is None:
        return datetime.combine(day, time())
    part = int((match["part"] or "0")[:6].ljust(6, "0"))
    moment = datetime.combine(
        day, time(_hour(match), int(match["minute"]), int(match["second"] or 0), part)
    )
    if match["zone"] is None:
        return moment
    zoned = datetime.fromisoformat(f"{moment.isoformat()}{match['zone']}")
    return zoned.astimezone(UTC).replace(tzinfo=None)


def _hour(match: re.Match[str]) -> int:
    hour = int(match["hour"])
    if match["half"] is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"no hour of half a day: {hour}")
    return hour % 12 + (12 if match["half"] in "pP" else 0)
