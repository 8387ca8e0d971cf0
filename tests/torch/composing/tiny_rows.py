"""Writing rows of JSON; apart from what needs torch."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
