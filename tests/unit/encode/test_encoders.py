"""Pictures to rows: each content once, goes on where it stopped, names what cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from composir.encode.encoders import Encoder, encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile, read_pixels
from composir.encode.stored import RowKind
from composir.encode.stream import decoded
from composir.images.preprocess import PreprocessSpec
from composir.types import PixelArray
from tests.fakes import ColourModel

SPEC = PreprocessSpec(size=8, fit="squash")
KINDS = (RowKind("vectors", "m", (3,)), RowKind("patches", "m", (2, 3), "float16"))


class Counting:
    """Means and corners of pictures, and how many it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, pixels: PixelArray) -> Sequence[NDArray[Any]]:
        self.asked.append(len(pixels))
        return pixels.mean(axis=(1, 2)), pixels[:, 0, :2].astype(np.float32)


def paint(folder: Path, count: int = 5) -> list[ImageFile]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [ImageFile(folder / f"{number}.png") for number in range(count)]
    for number, file in enumerate(files):
        picture = Image.radial_gradient("L").convert("RGB").resize((40 + number, 30))
        picture.putpixel((0, 0), (number, 0, 0))
        picture.save(file.path)
    return files


@pytest.mark.parametrize("kept", [True, False])
def test_all_kinds_come_in_order_and_failures_by_place(tmp_path: Path, kept: bool) -> None:
    files = [*paint(tmp_path / "set"), ImageFile(tmp_path / "none.png")]
    files[1].path.write_bytes(b"no picture")
    told: list[int] = []
    encoder = Encoder(KINDS, SPEC, Counting(), batch=2)
    store = FeatureStore(tmp_path / "store") if kept else None
    found = encode_images(files, encoder, store, failed=lambda place, _: told.append(place))
    assert found.kept.tolist() == [0, 2, 3, 4]
    assert sorted(found.failures) == sorted(told) == [1, 5]
    for row, place in enumerate(found.kept):
        pixels = read_pixels(files[place], SPEC)
        assert not isinstance(pixels, str)
        np.testing.assert_allclose(found.rows[0][row], pixels.mean(axis=(0, 1)), rtol=1e-6)
        np.testing.assert_array_equal(found.rows[1][row], pixels[0, :2].astype(np.float16))


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    files, store = paint(tmp_path / "set"), FeatureStore(tmp_path / "store")

    def stop(done: int, _total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_images(files, Encoder(KINDS, SPEC, Counting(), batch=2), store, progress=stop)
    run, seen = Counting(), list[tuple[int, int]]()
    encoder = Encoder(KINDS, SPEC, run, batch=2)
    whole = encode_images(files, encoder, store, progress=lambda *told: seen.append(told))
    assert (run.asked, seen) == ([1], [(5, 5)])
    fresh = encode_images(files, Encoder(KINDS, SPEC, Counting()), None)
    np.testing.assert_array_equal(np.asarray(whole.rows[0]), np.asarray(fresh.rows[0]))


def test_one_more_picture_costs_one_more(tmp_path: Path) -> None:
    files, store, run = paint(tmp_path / "set"), FeatureStore(tmp_path / "store"), Counting()
    encode_images(files[:4], Encoder(KINDS, SPEC, run), store)
    encode_images([files[4], *files[:4]], Encoder(KINDS, SPEC, run), store)
    assert run.asked == [4, 1]


def test_a_second_kind_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    files, store = paint(tmp_path / "set"), FeatureStore(tmp_path / "store")
    first = Encoder(KINDS[:1], SPEC, lambda pixels: (np.ones((len(pixels), 3)),))
    encode_images(files, first, store)
    both = encode_images(files, Encoder(KINDS, SPEC, Counting()), store)
    assert (np.asarray(both.rows[0]) == 1).all()
    assert np.asarray(both.rows[1]).any()


def test_views_are_augmented_alike_for_every_encoder_and_drawn_by_name(tmp_path: Path) -> None:
    [file] = paint(tmp_path / "a", 1)
    [same] = paint(tmp_path / "b", 1)
    plain, one, two = (read_pixels(file, SPEC, view) for view in range(3))
    assert not np.array_equal(plain, one)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, read_pixels(same, SPEC, 1))
    store = FeatureStore(tmp_path / "store")
    encoder = Encoder(KINDS, SPEC, Counting())
    rows = [encode_images([file], encoder, store, view=view).rows[0][0] for view in range(3)]
    assert len({row.tobytes() for row in rows}) == 3


def test_no_pictures_are_no_rows(tmp_path: Path) -> None:
    for store in (None, FeatureStore(tmp_path / "store")):
        found = encode_images([], image_encoder(ColourModel()), store)
        assert found.rows[0].shape == (0, 4)


def test_two_batches_are_in_memory_at_most(tmp_path: Path) -> None:
    files = paint(tmp_path / "set", 12)
    begun: list[str] = []

    def read(picture: ImageFile) -> str:
        begun.append(picture.name)
        return "none"

    for number, _ in enumerate(decoded(files, range(12), read, 2)):
        assert len(begun) <= 2 * (number + 2)
    assert len(begun) == 12


def test_what_cannot_be_read_again_is_named_for_all_its_copies(tmp_path: Path) -> None:
    files = paint(tmp_path / "set", 3)
    for file in files[1:]:
        file.path.write_bytes(b"no picture")
    found = encode_images(files, image_encoder(ColourModel()), FeatureStore(tmp_path / "store"))
    assert list(found.failures) == [1, 2]
