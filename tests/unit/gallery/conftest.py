"""Fixtures of the gallery's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.gallery.world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.index()
    return made
