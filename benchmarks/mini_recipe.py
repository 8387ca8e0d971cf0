"""What benchmarks take of mini's recipe: its corpus and its card (`recipes/mini`)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "recipes" / "mini"))

from card import FIGURES, describe
from corpus import SOURCES, Row, fashion_group, read_corpus, split_of

__all__ = ["FIGURES", "SOURCES", "Row", "describe", "fashion_group", "read_corpus", "split_of"]
