"""Where the shared data lies, and the seeded vectors of the golden figures."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from composir.bench.task import BenchTask

_REPOSITORY = Path(__file__).parents[3]
_DATA = Path(os.environ.get("COMPOSIR_DATA", _REPOSITORY.parent / "shared" / "data"))


def annotation_folder() -> Path:
    folder = _DATA / "annotations"
    if not folder.is_dir():
        pytest.skip(f"no unpacked annotations in {_DATA} (set COMPOSIR_DATA)")
    return folder


def data_folder(name: str) -> Path:
    if not (_DATA / name / "dataset.json").exists():
        pytest.skip(f"no unpacked {name} in {_DATA} (set COMPOSIR_DATA)")
    return _DATA / name


def golden() -> dict[str, Any]:
    candidates = [
        _DATA.parent / "golden" / "metrics.json",
        _REPOSITORY.parent / "shared" / "golden" / "metrics.json",
    ]
    found = next((path for path in candidates if path.exists()), None)
    if found is None:
        pytest.skip(f"no golden figures at {candidates[0]}")
    figures: dict[str, Any] = json.loads(found.read_text())
    return figures


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def features(names: Sequence[str], salt: str = "dev") -> NDArray[np.float64]:
    """Seeded unit vectors by name, as the golden figures' recipe says; (n, 32)."""
    rows = [
        np.random.Generator(np.random.PCG64(zlib.crc32((salt + name).encode()))).standard_normal(32)
        for name in names
    ]
    return _unit(np.array(rows))


def query_vectors(task: BenchTask, salt: str = "dev") -> NDArray[np.float64]:
    """The recipe's queries, from target, reference and id; (n, 32)."""
    targets = [query.primary or query.targets[0] for query in task.queries]
    references = [str(query.reference) for query in task.queries]
    noise = features([f"query:{query.id}" for query in task.queries], salt)
    return _unit(0.55 * features(targets, salt) + 0.35 * features(references, salt) + noise)
