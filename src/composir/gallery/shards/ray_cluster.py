"""Shards as tasks of a Ray cluster: started, watched and merged by one call.

Every task is the index run of one shard. Where a worker dies, Ray begins its task again, and the
shard goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from composir.data.files import absolute
from composir.data.remote_paths import root_path
from composir.errors import ComposirError, GalleryBusyError, GalleryError, first_line
from composir.gallery.disk_errors import VersionGoneError
from composir.gallery.indexer import IndexSettings
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.shards.merging import MergeReport, merge_shards
from composir.gallery.shards.shard import Shard, place_of, read_records
from composir.gallery.shards.shard_run import index_shard
from composir.gallery.store import Store
from composir.lazy import imported
from composir.limits import MOST_SHARDS
from composir.model.base import EmbeddingModel
from composir.types import IndexReport

_RETRIES = 3
_USUAL_CPUS = 4
_SECONDS_BETWEEN_LOOKS = 2.0
Load = Callable[[], EmbeddingModel]


@dataclass(frozen=True, slots=True)
class RayPlace:
    """Where shards run."""

    # Of a cluster; `auto` for the one that this machine belongs to, or, where there is none,
    # processes of this machine.
    address: str = "auto"
    cpus: int | None = None  # each worker's; None for 4, or all of a smaller machine


def index_on_ray(
    gallery: Path,
    load: Load,
    roots: Sequence[Path],
    settings: IndexSettings | None = None,
    place: RayPlace | None = None,
    progress: ProgressCallback | None = None,
) -> MergeReport:
    """Index some folders by the workers of a Ray cluster, and merge what they made.

    Workers that die are replaced, three times a shard. Stopped or killed, the same call goes on
    where it was.

    Args:
        gallery: As of `index_shard`; workers need it and the roots under the same paths.
        load: Gives a worker its model; workers import it under the same name.
        roots: As of `index_shard`.
        settings: As of `index_shard`.
        place: The cluster.
        progress: As of `Gallery.index`; it counts the rows of all shards.

    Raises:
        MissingExtraError: If ray is not installed.
        ComposirError: If there is no such cluster; or, once all other shards are done, what one
            was refused, or why it was given up.
    """
    gallery, place = absolute(gallery), place or RayPlace()
    folders, given = [root_path(root) for root in roots], settings or IndexSettings()
    with _connected(place.address) as ray:
        cpus = place.cpus or min(_USUAL_CPUS, *_machines(ray))
        # What a lost machine has locked is freed in a while.
        retried = {"max_retries": _RETRIES, "retry_exceptions": [GalleryBusyError]}
        task = ray.remote(num_cpus=cpus, **retried)(_work)
        shards = _shards(gallery, sum(one // cpus for one in _machines(ray)))
        pending = {task.remote(gallery, load, folders, one, given): one for one in shards}
        _watch(ray, gallery, pending, ProgressMeter(progress))
    return merge_shards(gallery, progress=progress)


def _work(
    gallery: Path, load: Load, roots: list[Path], shard: Shard, settings: IndexSettings
) -> IndexReport:
    """One shard, in a worker's process."""
    return index_shard(gallery, load(), roots, shard, settings)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Ray, connected for as long as the block runs; where it is already, it stays so."""
    ray = imported("ray", "ray")
    if ray.is_initialized():
        yield ray
        return
    try:
        _connect(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        if address != "auto":
            raise ComposirError(
                f"no Ray cluster answers at {address} ({first_line(error)}); --ray auto takes the "
                "one that this machine belongs to, or starts one here"
            ) from error
        ray.init(include_dashboard=False, **quiet)


def _machines(ray: Any) -> list[int]:
    """CPUs of each machine of the cluster that has any."""
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return [int(cpus) for cpus in nodes if cpus >= 1] or [1]


def _shards(gallery: Path, slots: int) -> list[Shard]:
    """As many as run at once; as many as before, where shards wait of a run that was stopped."""
    before = next((one.plan.of for one in read_records(gallery)), None)
    of = before or max(1, min(slots, MOST_SHARDS))
    return [Shard(number, of) for number in range(1, of + 1)]


def _watch(ray: Any, gallery: Path, pending: dict[Any, Shard], meter: ProgressMeter) -> None:
    """Wait for all shards; then raise what the first of those met that failed."""
    shards, faults = list(pending.values()), list[ComposirError]()
    begun = _rows(gallery, shards)
    meter.start("encoding", None)
    while pending:
        for ended in ray.wait(list(pending), timeout=_SECONDS_BETWEEN_LOOKS)[0]:
            try:
                meter.failures += len(ray.get(ended).failures)
            except ray.exceptions.RayError as error:
                faults.append(_fault(pending[ended], error))
            del pending[ended]
        meter.done = max(_rows(gallery, shards) - begun, 0)
        meter.report()
    if faults:
        raise faults[0]


def _fault(shard: Shard, error: Exception) -> ComposirError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, ComposirError):
        return cause
    return ComposirError(
        f"{shard} was given up ({first_line(error)}); what it has encoded is kept, and the same "
        "command resumes"
    )


def _rows(gallery: Path, shards: Sequence[Shard]) -> int:
    """How many pictures are encoded; what a worker is just rewriting is not counted."""
    count = 0
    for shard in shards:
        folder = place_of(gallery, shard)
        with suppress(GalleryError, VersionGoneError):
            # Its width does not matter to count.
            count += len(Store(folder, 1)) if folder.is_dir() else 0
    return count
