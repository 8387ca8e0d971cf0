"""Bundles of small random checkpoints, made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def tiny_fastvit() -> Iterator[None]:
    """A FastViT as small as the other towers here, by a name that no published one has."""
    pytest.importorskip("torch", reason="needs the train extra")
    from composir.foundation import fastvit
    from tests.foundation.checkpoints import TINY_FASTVIT

    spec = fastvit.FastVitSpec((1, 1, 1, 1), (4, 8, 16, 32), 2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fastvit.FASTVITS, TINY_FASTVIT, spec)
        yield


@pytest.fixture(scope="session", params=["blip", "clip", "siglip"])
def imported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Exports take seconds: one for all files; float graphs, so that figures are exact."""
    with pytest.MonkeyPatch.context() as patch:
        from tests.foundation.imported import Imported

        patch.setattr("composir.foundation.quantise.GATE", 1.1)  # no graph can be as good as that
        yield Imported(request.param, tmp_path_factory.mktemp(request.param))
