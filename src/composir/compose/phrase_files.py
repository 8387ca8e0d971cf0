"""Phrases of the lexicon, encoded when a bundle is made instead of at its first query."""

from __future__ import annotations

from composir.compose.unlisted import phrase_groups
from composir.model import Model
from composir.model.known_texts import KnownTexts, write_known


def all_phrases() -> tuple[str, ...]:
    """Every phrase of the lexicon and everyday thing once: what composers may need of a query."""
    return tuple(dict.fromkeys(phrase for phrases in phrase_groups() for phrase in phrases))


def write_phrases(model: Model) -> KnownTexts:
    """Write the vectors of all phrases into a model's bundle, whose text side is finished.

    Args:
        model: Encodes them.

    Returns:
        What the manifest, which is to be written anew, says of them: its `known_texts`.
    """
    phrases = all_phrases()
    vectors = model.encode_texts(phrases)
    known = dict(zip(phrases, vectors, strict=True))
    return write_known(model.bundle.folder, known, model.bundle.text_side_checksum)
