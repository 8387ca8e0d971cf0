"""One gallery and one server for the tests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.live import colours, live


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return colours(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def client(gallery: Path) -> Iterator[httpx.Client]:
    with live(gallery) as opened:
        yield opened


@pytest.fixture
def red(client: httpx.Client) -> str:
    """The id of the red picture."""
    found: str = client.post("/v1/search", json={"text": "red", "k": 1}).json()["hits"][0]["id"]
    return found
