"""Explanations on disk."""

from __future__ import annotations

import json
from pathlib import Path

from composir.errors import ComposirError, QueryError
from composir.explain.explanation import Explanation

FORMATS = (".html", ".htm", ".json")
_READABLE = 0o644


def check_format(destination: Path) -> None:
    """Refuse a file whose ending names no format, before anything is computed for it.

    Raises:
        QueryError: If it ends in neither .html nor .json.
    """
    if destination.suffix.lower() not in FORMATS:
        raise QueryError(
            f"cannot tell the format of {destination}: end its name in .html (for people) or "
            ".json (for programs)"
        )


def write_explanation(destination: Path, explanation: Explanation) -> Path:
    """Write an explanation in one go: a reader sees the old file or the new one, never half.

    Args:
        destination: `.html` for people, `.json` for programs; its folder is made if missing.
        explanation: Of one search.

    Returns:
        The file's absolute path.

    Raises:
        QueryError: If the file's ending names no format.
        ComposirError: If the file cannot be written.
    """
    from composir.data.files import replaced_atomically

    check_format(destination)
    content = _content(explanation, as_json=destination.suffix.lower() == ".json")
    destination = destination.expanduser().absolute()
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(destination) as file:
            file.write(content.encode("utf-8"))
        destination.chmod(_READABLE)  # a temporary file is its owner's alone
    except OSError as error:
        reason = error.strerror or str(error)
        raise ComposirError(
            f"cannot write {destination}: {reason}; name another file with --explain"
        ) from error
    return destination


def _content(explanation: Explanation, *, as_json: bool) -> str:
    if as_json:
        from composir.explain.document import as_document

        return json.dumps(as_document(explanation), indent=2, allow_nan=False) + "\n"
    from composir.explain.page import explanation_page

    return explanation_page(explanation)
