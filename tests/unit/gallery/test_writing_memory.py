"""What an index run holds in memory from commit to commit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from composir.gallery import Gallery, rows, store, writing_memory
from composir.gallery.known import ContentSet
from composir.gallery.shards import parse_shard
from composir.gallery.shards.shard_run import index_shard
from composir.gallery.store import Store
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain

_BOUND = 64 << 10


def commits(gallery: Store, count: int) -> int:
    """Bytes that Lance holds after so many commits of a row."""
    gallery.create()
    vectors = rows.vector_column(np.eye(1, gallery.dimension, dtype=np.float32))
    for number in range(count):
        row = pa.table({"id": [f"{number:016x}"], "vector": vectors})
        gallery.append(row)
    return int(gallery.dataset.session().size_bytes())


def test_manifests_of_past_commits_do_not_pile_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing_memory, "_MOST_BYTES", _BOUND)
    for name in ("new", "reopened", "unbounded"):
        (tmp_path / name).mkdir()
    Store(tmp_path / "reopened", 4, writes=True).create()

    assert commits(Store(tmp_path / "new", 4, writes=True), 40) <= _BOUND
    assert commits(Store(tmp_path / "reopened", 4, writes=True), 40) <= _BOUND
    assert commits(Store(tmp_path / "unbounded", 4), 40) > 2 * _BOUND


@pytest.mark.parametrize("is_shard", [False, True])
def test_runs_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_shard: bool
) -> None:
    made: list[object] = []

    def bounded() -> object:
        made.append(writing_memory.bounded_session())
        return made[-1]

    monkeypatch.setattr(store, "bounded_session", bounded)
    plain(tmp_path / "pictures" / "red.png", (200, 0, 0))
    if is_shard:
        index_shard(
            tmp_path / "g", ColourModel(), [tmp_path / "pictures"], shard=parse_shard("1/1")
        )
    else:
        Gallery.create_or_open(tmp_path / "g", ColourModel()).index([tmp_path / "pictures"])

    assert len(made) == 1


def test_a_set_of_contents_keeps_what_it_was_given() -> None:
    keys = np.random.default_rng(3).integers(0, 2**64, 20_000, dtype=np.uint64)
    given = [int(key) for key in keys]
    contents = ContentSet(keys[:100])

    assert [contents.add(key) for key in given] == [False] * 100 + [True] * (len(given) - 100)
    assert not any(contents.add(key) for key in given)
    assert all(key in contents for key in given)
    assert not any(key ^ 1 in contents for key in given)
