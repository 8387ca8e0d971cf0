"""Explanations on disk."""

from __future__ import annotations

import json
from pathlib import Path

from composir.data.outputs import PAGE, OutputKind, check_file, write_file
from composir.explain.explanation import Explanation

DOCUMENT = OutputKind(
    "an explanation",
    (".html", ".htm", ".json"),
    (
        rb'\{\s*"format": "composir-explanation"',
        rb'\{\s*"version": 1,\s*"query": \{\s*"image": ',  # before they named their format
    ),
)


def check_destination(destination: Path, option: str = "") -> None:
    """Refuse a file that may not be written, before anything is computed for it.

    Args:
        destination: Of an explanation.
        option: Where it comes from, for the message.

    Raises:
        OutputError: If its ending names no format, or something else lies there.
    """
    check_file(destination, _kind(destination), option)


def write_explanation(destination: Path, explanation: Explanation, option: str = "") -> Path:
    """Write an explanation in one go: a reader sees the old file or the new one, never half.

    Args:
        destination: `.html` for people, `.json` for programs; its folder is made if missing.
        explanation: Of one search.
        option: Where the destination comes from, for the message.

    Returns:
        The file's absolute path.

    Raises:
        OutputError: If the file's ending names no format, something else lies there, or the disk
            refuses.
    """
    kind = _kind(destination)
    check_file(destination, kind, option)
    return write_file(destination, _content(explanation, kind), kind, option)


def _kind(destination: Path) -> OutputKind:
    return PAGE if destination.suffix.lower() in PAGE.endings else DOCUMENT


def _content(explanation: Explanation, kind: OutputKind) -> str:
    if kind is DOCUMENT:
        from composir.explain.document import as_document

        return json.dumps(as_document(explanation), indent=2, allow_nan=False) + "\n"
    from composir.explain.page import explanation_page

    return explanation_page(explanation)
