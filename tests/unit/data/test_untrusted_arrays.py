"""Arrays and tables of others: checked before anything is allocated."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from composir.bench.packed import MOST_OUTCOMES, Packed
from composir.data import parquet
from composir.data.parquet import read_table
from composir.data.untrusted_arrays import ArrayFaultError, read_array, read_arrays
from composir.errors import BenchError, BundleError
from tests.hostile import array_variants, bomb, described, npy, refusals, zipped

MATRIX = np.arange(12, dtype=np.float32).reshape(3, 4)


def read(path: Path, **more: Any) -> Any:
    wanted: dict[str, Any] = {"shape": (None, 4), "dtypes": ("float32",), "finite": True}
    return read_array(path, BundleError, **(wanted | more))


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_read_as_numpy_reads_it(tmp_path: Path, mapped: bool, order: Any) -> None:
    np.save(tmp_path / "a.npy", np.asarray(MATRIX, order=order))
    found = read(tmp_path / "a.npy", mapped=mapped)
    assert np.array_equal(found, MATRIX)
    assert found.flags.writeable is not mapped
    np.save(tmp_path / "none.npy", MATRIX[:0])
    assert read(tmp_path / "none.npy", mapped=mapped).shape == (0, 4)


@pytest.mark.parametrize("mapped", [False, True])
def test_anything_else_is_refused(tmp_path: Path, mapped: bool) -> None:
    variants = array_variants(MATRIX)
    refused = refusals(tmp_path / "a.npy", variants, lambda path: read(path, shape=(3, 4)))
    assert refused == set(variants)
    assert refused == refusals(
        tmp_path / "b.npy", variants, lambda path: read(path, shape=(3, 4), mapped=mapped)
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(described("'<f4'", "(10, 4)"), bytes(8)), r"takes 160 bytes, and there are 8"),
        (npy(described("'<f8'", "(1, 4)"), bytes(32)), r"of type float64; it must hold float32"),
        (npy(described("'<f4'", "(2, 2)"), bytes(16)), r"shape \(2, 2\); it must be \(n, 4\)"),
        (npy(described("'|O'", "(1, 4)"), bytes(32)), r"type object, not of plain numbers"),
    ],
)
def test_messages_say_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(BundleError, match=rf"a\.npy: .*{message}"):
        read(tmp_path / "a.npy")


def test_a_header_is_believed_only_as_far_as_the_file_goes(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy(described("'<f4'", "(1000000000, 4)"), bytes(100)))
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match="was it cut short"):
            read(tmp_path / "a.npy")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_archive_that_unpacks_to_far_more_than_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.data.untrusted_arrays.MOST_UNPACKED", 1_000_000)
    (tmp_path / "bomb.npz").write_bytes(zipped({"matrix.npy": bomb(20_000_000)}))
    tracemalloc.start()
    try:
        with pytest.raises(ArrayFaultError, match=r"unpack to 20,0\d\d,\d+ are no vectors"):
            read_arrays(tmp_path / "bomb.npz", ["matrix"])
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_an_archive_is_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "v.npz", a=MATRIX, b=np.array(["x", "yy"]))
    first, second = read_arrays(tmp_path / "v.npz", ["a", "b"])
    assert np.array_equal(first, MATRIX)
    assert second.tolist() == ["x", "yy"]


def test_packed_outcomes_unpack_to_what_they_say_and_no_more() -> None:
    sound = Packed.of(np.array([[1, 2], [3, 4]]))
    assert sound.array().tolist() == [[1, 2], [3, 4]]
    large = Packed.of(np.zeros((1000, 1000), dtype=np.int64))
    lying = Packed(shape=(2, 2), data=large.data)
    tracemalloc.start()
    try:
        with pytest.raises(BenchError, match="damaged: no 2 x 2 whole numbers"):
            lying.array()
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="more than are ever made"):
        Packed(shape=(MOST_OUTCOMES, 2), data="")


def test_a_table_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x" * 1000] * 20_000}), path)
    assert path.stat().st_size < 10_000
    assert read_table(path, BundleError).num_rows == 20_000
    monkeypatch.setattr(parquet, "MOST_TABLE", 1_000_000)
    with pytest.raises(BundleError, match=r"t\.parquet: unpacks to more than"):
        read_table(path, BundleError)
    monkeypatch.setattr(parquet, "MOST_ROWS", 100)
    with pytest.raises(BundleError, match="20,000 rows and 1 columns; at most 100"):
        read_table(path, BundleError)


def test_damaged_tables_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3]}), file)
    sound = file.getvalue()
    variants = {"empty": b"", "cut": sound[:-10], "no footer": sound[:50], "text": b"PAR1" * 100}
    refused = refusals(tmp_path / "t.parquet", variants, lambda path: read_table(path, BundleError))
    assert refused == set(variants)
