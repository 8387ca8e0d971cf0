"""Numbers as people write them: decimal commas, thousands set apart, amounts of money."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from enum import Enum

_SPACES = " \u00a0\u2009\u202f"
_CURRENCIES = "EUR|USD|GBP|CHF|JPY|CNY|INR|AUD|CAD|SEK|NOK|DKK|PLN|CZK|kr|zł|Kč"
_CURRENCY = re.compile(rf"[{_SPACES}]*({_CURRENCIES})[{_SPACES}]*")


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
    """A column of numbers.

    Args:
        texts: Cells without space around them; empty ones are None in the result.
        style: How its decimals are set apart.

    Returns:
        Whole numbers where no cell has decimals, else floating point; None where a cell is no
        such number, thousands are set apart in two ways, or amounts are in two currencies.
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
