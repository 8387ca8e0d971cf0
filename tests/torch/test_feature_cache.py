"""Caches of features: they notice other pictures, and trust nothing that is lost or damaged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from features import cached_view  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.model import Model  # noqa: E402
from composir.train.feature_cache import (  # noqa: E402
    Progressed,
    filling,
    picture_stamp,
    read_note,
    write_note,
)
from composir.train.gallery_features import gallery_features  # noqa: E402
from composir.train.images import TrainingImage  # noqa: E402
from composir.train.isa.features import light_features  # noqa: E402
from composir.types import FloatArray  # noqa: E402
from tests.tiny_bundle import make_bundle  # noqa: E402
from tests.torch.isa.makers import lite_encoder  # noqa: E402
from tests.torch.towers import SPEC, seeing_trunk  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
Open = Callable[[Path, list[Path]], FloatArray]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(params=["gallery", "light", "foundation"])
def open_cache(request: pytest.FixtureRequest, model: Model) -> Open:
    """Each of the three caches, as the numbers that it gives."""

    def gallery(cache: Path, files: list[Path]) -> FloatArray:
        found = gallery_features(cache, files, model)
        patches = found.patch_tokens.reshape(len(files), -1).astype(np.float32)
        return np.concatenate([found.vectors, patches], axis=1)

    def light(cache: Path, files: list[Path]) -> FloatArray:
        return np.array(light_features(cache, files, lite_encoder(), "lite", 0).rows, np.float32)

    def foundation(cache: Path, files: list[Path]) -> FloatArray:
        return np.array(cached_view(cache, files, seeing_trunk(), SPEC, 0), "f4")

    kinds: dict[str, Open] = {"gallery": gallery, "light": light, "foundation": foundation}
    return kinds[request.param]


def paint(folder: Path, colour: str) -> list[Path]:
    """Three uncompressed pictures, of as many bytes in every colour."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.bmp" for number in range(3)]
    for file in files:
        Image.new("RGB", (32, 32), colour).save(file)
    return files


def test_pictures_of_sibling_folders_share_nothing(tmp_path: Path, open_cache: Open) -> None:
    red = open_cache(tmp_path / "cache", paint(tmp_path / "set/train", "red"))
    files = paint(tmp_path / "set/test", "blue")
    blue = open_cache(tmp_path / "cache", files)

    np.testing.assert_array_equal(blue, open_cache(tmp_path / "fresh", files))
    assert not np.array_equal(blue, red)


def test_a_picture_replaced_by_one_of_its_size_is_read_again(
    tmp_path: Path, open_cache: Open
) -> None:
    files = paint(tmp_path / "set", "red")
    for file in files:
        os.utime(file, ns=(1, 1))
    sizes = [file.stat().st_size for file in files]
    red = open_cache(tmp_path / "cache", files)
    paint(tmp_path / "set", "blue")
    blue = open_cache(tmp_path / "cache", files)

    assert [file.stat().st_size for file in files] == sizes
    np.testing.assert_array_equal(blue, open_cache(tmp_path / "fresh", files))
    assert not np.array_equal(blue, red)


def delete(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damage", [delete, cut])
def test_lost_or_cut_data_are_made_anew(
    tmp_path: Path, open_cache: Open, damage: Callable[[Path], None]
) -> None:
    files, cache = paint(tmp_path / "set", "red"), tmp_path / "cache"
    whole = open_cache(cache, files)
    data = [path for path in cache.iterdir() if path.suffix != ".json"]
    for path in data:
        damage(path)

    np.testing.assert_array_equal(open_cache(cache, files), whole)
    assert data
    assert np.abs(whole).max() > 0


@pytest.mark.parametrize(
    "note", [b"{", b"\xff\xfe", b"[]", b'{"done": "3"}', b'{"done": 4}', b'{"done": -1}']
)
def test_a_damaged_note_is_not_believed(tmp_path: Path, open_cache: Open, note: bytes) -> None:
    files, cache = paint(tmp_path / "set", "red"), tmp_path / "cache"
    whole = open_cache(cache, files)
    (path,) = cache.glob("*.json")
    path.write_bytes(note)

    np.testing.assert_array_equal(open_cache(cache, files), whole)
    assert json.loads(path.read_text())["done"] == 3


def test_a_good_cache_is_read_and_not_made_again(tmp_path: Path, open_cache: Open) -> None:
    files, cache = paint(tmp_path / "set", "red"), tmp_path / "cache"
    whole = open_cache(cache, files)
    (note,) = cache.glob("*.json")
    before = note.stat().st_mtime_ns
    for file in files:  # the same for all that a cache looks at; reading them would now fail
        written = file.stat()
        file.write_bytes(b"\0" * written.st_size)
        os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))

    np.testing.assert_array_equal(open_cache(cache, files), whole)
    assert note.stat().st_mtime_ns == before


def test_a_stamp_stays_where_the_data_sets_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = paint(tmp_path / "here/set/images", "red")[0]
    stamp = picture_stamp(file)
    shutil.copytree(tmp_path / "here", tmp_path / "there")  # keeps the times of files
    monkeypatch.chdir(tmp_path / "here/set")

    assert picture_stamp(tmp_path / "there/set/images/0.bmp") == stamp
    assert picture_stamp(Path("images/0.bmp")) == stamp
    assert picture_stamp(file.with_name("none.bmp")) == "set/images/none.bmp/-1"


def test_a_part_of_a_shard_is_known_by_its_name_and_size(tmp_path: Path) -> None:
    part = TrainingImage("a.tar/1.png", tmp_path / "a.tar", 512, 99)
    assert picture_stamp(part) == "a.tar/1.png/99"


def test_a_note_says_what_was_written(tmp_path: Path) -> None:
    note, data = tmp_path / "x.json", tmp_path / "x.rows"
    data.write_bytes(b"1234")
    state = Progressed(2, {"1": "no picture"})
    write_note(note, state)

    assert read_note(note, {data: 4}, 3) == state
    assert read_note(note, {data: 5}, 3) == Progressed()
    write_note(note, Progressed(1, {"2": "beyond what is done"}))
    assert read_note(note, {data: 4}, 3) == Progressed()


def test_who_needs_a_cache_that_another_run_fills_waits_for_it(
    open_cache: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, files = tmp_path / "cache", paint(tmp_path / "set", "red")
    expected = open_cache(cache, files)
    locks = sorted(cache.glob("*.lock"))
    found: list[FloatArray] = []
    waiting = Thread(target=lambda: found.append(open_cache(cache, files)))
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(filling(lock))
        waiting.start()
        waiting.join(timeout=1.0)
        assert waiting.is_alive()
    waiting.join(timeout=60.0)

    assert locks
    assert len(found) == 1
    np.testing.assert_array_equal(found[0], expected)
    assert "another run is computing the features" in caplog.text


def test_a_file_system_without_locks_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("composir.train.feature_cache.try_lock", refuse)
    with (
        pytest.raises(TrainingError, match=r"cannot be locked: .*No locks.*--set cache="),
        filling(tmp_path / "cache" / "some"),
    ):
        pass
