"""The one store of encoded rows: shared, resumable, and never believed where it is damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from composir.encode.feature_store import INDEX, FeatureStore
from composir.encode.image_files import CropBox, ImageFile
from composir.encode.stored import RowKind
from composir.errors import CacheError, OutputError

VECTORS = RowKind("vectors", "model", (4,), is_unit=True)
PATCHES = RowKind("patches", "model", (2, 3), "float16")


def unit(number: int) -> NDArray[np.float32]:
    row = np.array([1.0, number, 2.0, 3.0], dtype=np.float32)
    return row / np.linalg.norm(row)


def rows(*names: str) -> dict[str, NDArray[np.float32]]:
    return {name: unit(len(name)) for name in names}


def test_rows_are_found_by_key_in_any_order(tmp_path: Path) -> None:
    FeatureStore(tmp_path).put(VECTORS, rows("a", "bb"))
    FeatureStore(tmp_path).put(VECTORS, rows("ccc"))
    found = FeatureStore(tmp_path).rows(VECTORS, ["ccc", "a", "a"])
    np.testing.assert_array_equal(np.asarray(found), [unit(3), unit(1), unit(1)])
    assert set(FeatureStore(tmp_path).known(VECTORS, ["a", "bb", "d", ""])) == {"a", "bb"}


def test_kinds_share_nothing(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(VECTORS, rows("a"))
    store.put(PATCHES, {"a": np.ones((2, 3))})
    others = [RowKind("vectors", "other", (4,)), RowKind("vectors", "model", (5,)), PATCHES]
    assert [len(store.known(kind, ["a"])) for kind in others] == [0, 0, 1]
    assert store.rows(PATCHES, ["a"])[0].dtype == np.float16


def test_rows_are_read_where_they_are_indexed(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    store.put(VECTORS, rows("a", "bb", "ccc"))
    found = store.rows(VECTORS, ["ccc", "bb", "a"])
    assert (len(found), found.shape) == (3, (3, 4))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0], unit(3))
    np.testing.assert_array_equal(found[[2, 0]], [unit(1), unit(3)])
    np.testing.assert_array_equal(found[1:], [unit(2), unit(1)])
    np.testing.assert_array_equal(found.part(np.array([1]))[0], unit(2))


def test_rows_of_another_shape_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vectors are"):
        FeatureStore(tmp_path).put(VECTORS, {"a": np.ones(3)})


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def zero(path: Path) -> None:
    path.write_bytes(b"\0" * path.stat().st_size)


@pytest.mark.parametrize("damage", [delete, cut, zero])
def test_rows_that_are_lost_cut_or_damaged_are_not_believed(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    store = FeatureStore(tmp_path)
    store.put(VECTORS, rows("a", "bb"))
    damage(tmp_path / VECTORS.file)
    assert "bb" not in store.known(VECTORS, ["a", "bb"])
    store.put(VECTORS, rows("a", "bb", "ccc"))
    found = store.rows(VECTORS, ["a", "bb", "ccc"])
    np.testing.assert_array_equal(np.asarray(found), [unit(1), unit(2), unit(3)])


@pytest.mark.parametrize("place", [-1, 10**9, "text", None])
def test_places_that_are_none_are_not_believed(tmp_path: Path, place: object) -> None:
    store = FeatureStore(tmp_path)
    store.put(VECTORS, rows("a"))
    with closing(sqlite3.connect(tmp_path / INDEX)) as index, index:
        index.execute("UPDATE rows SET place = ?", (place,))
    assert store.known(VECTORS, ["a"]) == {}
    store.put(VECTORS, rows("a", "bb"))
    np.testing.assert_array_equal(store.rows(VECTORS, ["bb"])[0], unit(2))


def test_a_process_killed_between_rows_and_index_loses_that_batch_alone(tmp_path: Path) -> None:
    code = f"""
import os, numpy as np
from composir.encode.feature_store import FeatureStore
from tests.unit.encode.test_feature_store import VECTORS, rows
from pathlib import Path
store = FeatureStore(Path({str(tmp_path)!r}))
store.put(VECTORS, rows("a"))
write = FeatureStore._write
def killed(self, *given):
    write(self, *given)
    os._exit(9)
FeatureStore._write = killed
store.put(VECTORS, rows("bb"))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False)
    assert ended.returncode == 9
    store = FeatureStore(tmp_path)
    assert set(store.known(VECTORS, ["a", "bb"])) == {"a"}
    store.put(VECTORS, rows("ccc"))
    np.testing.assert_array_equal(np.asarray(store.rows(VECTORS, ["a", "ccc"])), [unit(1), unit(3)])
    assert (tmp_path / VECTORS.file).stat().st_size == 2 * VECTORS.row_bytes


def test_processes_that_write_at_once_keep_all_their_rows(tmp_path: Path) -> None:
    store, names = FeatureStore(tmp_path), [[f"{n}" * (k + 1) for k in range(6)] for n in range(4)]

    def write(own: list[str]) -> None:
        for name in own:
            FeatureStore(tmp_path).put(VECTORS, rows(name))

    writers = [Thread(target=write, args=(own,)) for own in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    everything = [name for own in names for name in own]
    wanted = [unit(len(name)) for name in everything]
    np.testing.assert_array_equal(np.asarray(store.rows(VECTORS, everything)), wanted)


def test_who_needs_what_another_run_computes_waits_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, held = FeatureStore(tmp_path), []

    def wait() -> None:
        with FeatureStore(tmp_path).filling(VECTORS):
            held.append(True)

    waiting = Thread(target=wait)
    with store.filling(VECTORS), store.filling(PATCHES):
        waiting.start()
        waiting.join(timeout=0.5)
        assert not held
    waiting.join(timeout=60.0)
    assert held
    assert "another run is computing the same vectors: waiting for it" in caplog.text


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("composir.encode.feature_store.try_lock", refuse)
    store = FeatureStore(tmp_path, "choose another")
    with (
        pytest.raises(CacheError, match=r"cannot be locked: .*No locks.* disk: choose another"),
        store.filling(VECTORS),
    ):
        pass


def test_a_store_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / INDEX).write_text("this is not a data base, it is a text of some length")
    with pytest.raises(CacheError, match="run with --no-cache"):
        FeatureStore(tmp_path, "delete it, or run with --no-cache")
    with pytest.raises(CacheError, match="cannot be used"):
        FeatureStore(tmp_path / INDEX / "below")


def test_a_store_is_not_left_through_links(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / INDEX).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="a link"):
        FeatureStore(tmp_path / "store")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "store" / INDEX).rename(tmp_path / "store" / "somebody's own")
    FeatureStore(tmp_path / "store")


def test_damage_within_the_index_says_what_to_do(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, "delete it")
    store.put(VECTORS, {f"{number:05}": unit(number) for number in range(500)})
    file = tmp_path / INDEX
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)  # all but the first page
    file.write_bytes(content)
    uses: list[Callable[[], object]] = [
        lambda: store.known(VECTORS, ["00007"]),
        lambda: store.put(VECTORS, rows("x")),
        lambda: store.keys([ImageFile(file)]),
    ]
    for use in uses:
        with pytest.raises(CacheError, match=r": the cache of vectors .*; delete it"):
            use()


def paint(file: Path, colour: str) -> Path:
    """Uncompressed, of as many bytes in every colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (32, 32), colour).save(file)
    return file


def test_keys_go_by_content_cut_and_view(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    red = ImageFile(paint(tmp_path / "a/red.bmp", "red"))
    again = ImageFile(paint(tmp_path / "b/red.bmp", "red"))
    other = ImageFile(paint(tmp_path / "c/red.bmp", "blue"))
    part = ImageFile(red.path, CropBox((0, 0, 9, 9)))
    keys = store.keys([red, again, other, part])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    views = {*store.keys([red]), *store.keys([red], 1), *store.keys([red], 2)}
    assert len(views) == 3


def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = FeatureStore(tmp_path / "store"), paint(tmp_path / "a.bmp", "red")
    os.utime(file, ns=(1, 1))
    [red] = store.keys([ImageFile(file)])
    size = file.stat().st_size
    paint(file, "blue")  # of the same size, at another time
    [blue] = store.keys([ImageFile(file)])
    assert file.stat().st_size == size
    assert red != blue

    def unread(_: ImageFile) -> str:
        raise AssertionError("read again")

    monkeypatch.setattr(ImageFile, "digest", unread)
    assert store.keys([ImageFile(file)]) == [blue]


def test_others_may_write_while_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file = FeatureStore(tmp_path / "store"), paint(tmp_path / "a.bmp", "red")
    digest = ImageFile.digest

    def meanwhile(picture: ImageFile) -> str:
        FeatureStore(tmp_path / "store").put(VECTORS, rows("a"))
        return digest(picture)

    monkeypatch.setattr(ImageFile, "digest", meanwhile)
    assert store.keys([ImageFile(file)])[0]
    assert "a" in store.known(VECTORS, ["a"])


def test_a_moved_data_set_keeps_its_rows(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path / "store")
    keys = store.keys([ImageFile(paint(tmp_path / "here/a.bmp", "red"))])
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert store.keys([ImageFile(tmp_path / "there/a.bmp")]) == keys


def test_a_stretch_of_a_shard_is_the_content_alone(tmp_path: Path) -> None:
    whole = paint(tmp_path / "a.bmp", "red").read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"x" * 512 + whole + b"y" * 512)
    part = ImageFile(tmp_path / "shard.tar", begin=512, size=len(whole), member="shard.tar/a.bmp")
    store = FeatureStore(tmp_path / "store")
    assert store.keys([part]) == store.keys([ImageFile(tmp_path / "a.bmp")])
    assert part.open().getpixel((0, 0)) == (255, 0, 0)
    assert part.name == "shard.tar/a.bmp"


def test_what_cannot_be_read_has_no_key(tmp_path: Path) -> None:
    odd = [ImageFile(tmp_path / "none.png"), ImageFile(Path("a\0b")), ImageFile(tmp_path)]
    assert FeatureStore(tmp_path / "store").keys(odd) == ["", "", ""]
