"""How many pictures one run of a graph takes, and how many runs there are at once: by measuring.

What is best hangs on the machine and on the model, so before a long run of indexing a few ways are
tried, for about two seconds, and the best is remembered in the user data folder. Which way it was
changes vectors by no more than the order of sums does.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from composir.data.outputs import write_inside
from composir.data.places import user_folder, writable_user_folder
from composir.data.schema import as_row
from composir.data.untrusted_json import read_json
from composir.errors import ComposirError, ModelError
from composir.limits import MOST_BATCH, MOST_THREADS
from composir.model.device import CPU

if TYPE_CHECKING:
    from composir.model.base import EmbeddingModel

USUAL_BATCH = 32
"""Pictures in a call of the model, where nothing was measured."""
SECONDS = 2.0
WORTH_IT = 500
"""So many pictures take long enough for two seconds not to matter."""
_CLEARLY = 1.05  # less may be chance
_FILE = "pace.json"
_CPU_BATCHES, _DEVICE_BATCHES = (1, 4, 8, 16), (8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class Pace:
    """How a call's pictures are shared out.

    Attributes:
        batch: Pictures in one run of the graph.
        runs: Runs at once.
    """

    batch: Annotated[int, Field(strict=True, ge=1, le=MOST_BATCH)]
    runs: Annotated[int, Field(strict=True, ge=1, le=MOST_THREADS)]

    @property
    def pictures(self) -> int:
        """In all runs at once."""
        return self.batch * self.runs


def batch_for(model: EmbeddingModel, count: int) -> int:
    """How many pictures a call of a model takes."""
    if model.joint is not None:
        return model.find_batch()
    return max(USUAL_BATCH, model.find_batch()) if count >= WORTH_IT else USUAL_BATCH


def usual_pace(device: str, threads: int) -> Pace:
    """Where nothing was measured: on a CPU few pictures a run, on anything else many."""
    return Pace(2, threads) if device == CPU else Pace(16, 1)


def other_paces(usual: Pace, device: str) -> Iterable[Pace]:
    """What is tried beside the usual one, the quickest first."""
    batches = _CPU_BATCHES if device == CPU else _DEVICE_BATCHES
    runs = (usual.runs,) if device == CPU else (1, 2)
    paces = (Pace(batch, at_once) for batch in batches for at_once in runs)
    return sorted((one for one in paces if one != usual), key=lambda one: one.pictures)


def best_pace(
    usual: Pace,
    others: Iterable[Pace],
    run: Callable[[Pace], object],
    *,
    limit: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> Pace:
    """Try paces until the time is up."""
    begun = clock()

    def speed(pace: Pace) -> float:
        started = clock()
        run(pace)
        return pace.pictures / max(clock() - started, 1e-9)

    run(usual)  # the first run is always slower
    if clock() - begun > limit / 3:
        return usual
    first = speed(usual)
    best, most = usual, first * _CLEARLY
    for pace in others:
        if clock() - begun + pace.pictures / first > limit:
            break
        found = speed(pace)
        if found > most:
            best, most = pace, found
    return best


def pace_key(fingerprint: str, device: str, threads: int) -> str:
    """What a measurement holds for: this machine, this model, this runtime."""
    import onnxruntime

    machine = f"{platform.node()} {platform.machine()} {os.cpu_count()}"
    return f"{machine} {fingerprint} {device} {threads} {onnxruntime.__version__}"


def known_pace(key: str) -> Pace | None:
    """What was measured before; None where nothing was, or it cannot be read."""
    try:
        found = read_json(user_folder() / _FILE, ModelError, dict)
        return as_row(_FILE, found.get(key), Pace, ModelError)
    except ComposirError:
        return None


def remember_pace(key: str, pace: Pace) -> None:
    """Keep a measurement; where the folder cannot be written, it is made again next time."""
    with suppress(ComposirError, OSError):
        folder = writable_user_folder()
        folder.mkdir(parents=True, exist_ok=True)
        known: Mapping[str, object] = {}
        with suppress(ComposirError):
            known = read_json(folder / _FILE, ModelError, dict)
        write_inside(folder, _FILE, json.dumps({**known, key: asdict(pace)}, indent=1))
