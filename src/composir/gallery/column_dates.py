"""Dates as people write them: ISO 8601, day or month first, with or without the time of day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum


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
    """A column read as dates.

    Attributes:
        values: Dates, or moments without zone where any cell has a time of day.
        sign: What stands between the numbers.
        has_time: Whether values are moments.
        is_utc: Whether the cells had zones, so that moments are UTC.
    """

    values: list[date | datetime | None]
    sign: str
    has_time: bool
    is_utc: bool


_TIME = (
    r"(?:[T ,]\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<part>\d{1,9}))?)?"
    r"(?:\s?(?P<half>[AaPp])\.?[Mm]\.?)?(?P<zone>Z|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST = re.compile(rf"(\d{{4}})(?P<sign>[-/.])(\d{{1,2}})(?P=sign)(\d{{1,2}}){_TIME}")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})(?P<sign>[-/.])(\d{{1,2}})(?P=sign)(\d{{4}}){_TIME}")


def read_dates(texts: Sequence[str], order: DateOrder) -> DateColumn | None:
    """A column of dates.

    Args:
        texts: Cells without space around them; empty ones are None in the result.
        order: What comes first.

    Returns:
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


_PLACES = (1, 3, 4)  # the groups of the three numbers, the sign's being 2


def _hour(match: re.Match[str]) -> int:
    hour = int(match["hour"])
    if match["half"] is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"no hour of half a day: {hour}")
    return hour % 12 + (12 if match["half"] in "pP" else 0)
