"""Whoever prepares pictures for a model with exact preprocessing decodes them whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.bench.encode import encode_pictures
from composir.encode.image_files import ImageFile, read_pixels
from composir.errors import DatasetError
from composir.gallery import Gallery
from composir.images import read_image
from composir.images.preprocess import PreprocessSpec
from composir.triplets.make import MakeSettings, prepare
from composir.triplets.records import ImageSet, SourceImage
from composir.types import FloatArray, PixelArray
from tests.fakes import ColourModel
from tests.pictures import encoded

REASON = "3,000,000 x 1 pixels are too long"


class ExactModel(ColourModel):
    """Keeps what it was given."""

    image_spec = PreprocessSpec(size=8, fit="squash", exact="transformers")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[PixelArray] = []

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        self.seen.extend(pixels)
        return super().encode_pixels(pixels)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A JPEG that comes out otherwise at a smaller scale, and a picture without end."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    random = np.random.default_rng(5).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    (folder / "a.jpg").write_bytes(encoded(Image.fromarray(random), "JPEG", quality=90))
    (folder / "b.png").write_bytes(encoded(Image.new("RGB", (3_000_000, 1)), "PNG"))
    return folder


def check(model: ExactModel, pictures: Path) -> None:
    """The JPEG was seen whole, and nothing else."""
    whole = read_image(pictures / "a.jpg").rgb
    smaller = read_image(pictures / "a.jpg", min_side=256).rgb
    wanted = model.image_spec.apply(whole)
    assert (model.image_spec.apply(smaller) != wanted).any()
    assert len(model.seen) == 1
    np.testing.assert_array_equal(model.seen[0], wanted)


def test_the_gallery(pictures: Path, tmp_path: Path) -> None:
    model = ExactModel()
    report = Gallery.create_or_open(tmp_path / "gallery", model).index([pictures])
    check(model, pictures)
    assert report.total == 1
    assert [failure.path.name for failure in report.failures] == ["b.png"]
    assert REASON in report.failures[0].reason


def test_triplets(pictures: Path) -> None:
    model = ExactModel()
    images = tuple(SourceImage(name, pictures / name) for name in ("a.jpg", "b.png"))
    with pytest.raises(DatasetError, match=f"1 can be read; .*{REASON}"):
        prepare(ImageSet("pictures", images, "", ""), model, MakeSettings())
    check(model, pictures)


def test_bench(pictures: Path) -> None:
    model = ExactModel()
    encode_pictures(model, {"a": ImageFile(pictures / "a.jpg")})
    check(model, pictures)
    with pytest.raises(DatasetError, match=f"b.png: {REASON}"):
        encode_pictures(model, {"b": ImageFile(pictures / "b.png")})


def test_training(pictures: Path) -> None:
    model = ExactModel()
    pixels = read_pixels(ImageFile(pictures / "a.jpg"), model.image_spec)
    assert not isinstance(pixels, str)
    model.encode_pixels(pixels[None])
    check(model, pictures)
    assert REASON in str(read_pixels(ImageFile(pictures / "b.png"), model.image_spec))
