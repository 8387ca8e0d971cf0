"""English words that carry no content, whoever counts: what every reader of texts leaves out.

Each reader adds its own: which more say nothing of a picture is another question than which more
stay in a caption whose content is taken out.
"""

from __future__ import annotations

_TEXT = (
    "a an and any are as at be been but by each every for from he her here him his i in "
    "into is it its just me my no not of on one onto or our out over she so some than that "
    "the their them then there these they this those to under up us very was we were what "
    "when where which while who with you your"
)
COMMON = frozenset(_TEXT.split())
