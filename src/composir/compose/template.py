"""Sentences with a place for pseudo-words, `{}`, and one for the modification, `{text}`.

A modification may itself say where the reference stands, with a `*` that stands alone: "a cartoon
of *" (the notation of Pic2Word, arXiv 2302.03084).
"""

from __future__ import annotations

import re

from composir.model.text_encoder import PLACEHOLDER

TEXT = "{text}"
_STAR = re.compile(r"(?<!\S)\*(?![^\s.,;:!?])")


def check_template(template: str) -> None:
    """Refuse a template without exactly one place for pseudo-words."""
    if template.count(PLACEHOLDER) != 1:
        raise ValueError(f"a template needs exactly one {PLACEHOLDER}: {template!r}")


def filled(template: str, text: str) -> str:
    """Put a modification into a template, whose `{}` stays."""
    harmless = text.replace(PLACEHOLDER, "{ }")
    if _STAR.search(harmless):
        first = _STAR.sub(PLACEHOLDER, harmless, count=1)
        return _STAR.sub("it", first)
    return template.replace(TEXT, harmless)


def without_reference(text: str) -> str:
    """A modification without the `*` that stands for the reference, for encoders of words alone."""
    if not _STAR.search(text):
        return text
    words = _STAR.sub("", re.sub(r"(?<!\S)of \*(?![^\s.,;:!?])", "", text))
    return " ".join(words.split()).strip(" ,")
