"""What a licence's text says of commercial use: told by a few phrases, and refused where in doubt.

This is no advice on law. A licence that nobody here has a rule for counts as not allowing it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from composir.errors import LicenceError

_RESTRICTS = (
    r"\bnon[- ]?commercial",
    r"\bby-nc\b",
    r"\bnc(-sa|-nd)?\b",
    r"\bresearch\b",
    r"\bacademic\b",
    r"\bevaluation (only|purposes)",
    r"\bpersonal use\b",
    r"\bamlr\b",
    r"\b(no|not|without)\b[^.;]{0,40}\bcommercial",
    r"\bcommercial\w*\b[^.;]{0,30}\b(forbidden|prohibited|excluded|not|requires?|needs?)\b",
)
_DOUBTS = (r"\bunclear\b", r"\bunknown\b", r"\bnot stated\b", r"\bproprietary\b", r"\bas far as\b")
_ALLOWS = (
    r"\bapache([- ]licen[cs]e)?[- ,]*(version )?2",
    r"\bmit\b",
    r"\bbsd\b",
    r"\bisc\b",
    r"\bcc0\b",
    r"\bcc[- ]by([- ]sa)?[- ]\d",
    r"\bpublic domain\b",
    r"\bunlicense\b",
)


@dataclass(frozen=True, slots=True)
class CommercialUse:
    """What a licence says of it.

    Attributes:
        answer: `restricted` where it is not for everybody's trade; `unknown` where the text holds
            no phrase that is known here, or one of doubt.
        reason: Why, in words.
    """

    answer: Literal["allowed", "restricted", "unknown"]
    reason: str


def commercial_use(licence: str) -> CommercialUse:
    """Read a licence's text: what restricts wins over what leaves doubt, that over what allows."""
    text = licence.casefold()
    if found := _first(_RESTRICTS, text):
        return CommercialUse("restricted", f"it says {found!r}")
    if found := _first(_DOUBTS, text):
        return CommercialUse("unknown", f"it says {found!r}")
    if found := _first(_ALLOWS, text):
        return CommercialUse("allowed", f"it says {found!r}")
    return CommercialUse("unknown", "composir has no rule for it")


def check_commercial(what: str, licence: str) -> None:
    """Refuse what may not be used commercially, or where nobody knows."""
    use = commercial_use(licence)
    if use.answer == "allowed":
        return
    told = (
        "does not allow commercial use"
        if use.answer == "restricted"
        else "is not known to allow commercial use"
    )
    stated = licence or "none is stated"
    raise LicenceError(
        f"--commercial: the licence of {what} {told} ({use.reason}): {stated}; take another model "
        "or composer, or settle it with whoever made it and leave the option out"
    )


def _first(patterns: tuple[str, ...], text: str) -> str | None:
    found = next(filter(None, (re.search(pattern, text) for pattern in patterns)), None)
    return found.group(0) if found else None
