"""The packaged model's confidence on pictures of the sample catalogue: what users complained of."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from composir.gallery import Gallery
from composir.model import load_model
from composir.types import Confidence, Query

PICTURES = Path(__file__).resolve().parents[3] / "examples" / "catalogue" / "images"


def gallery_of(kind: str, folder: Path) -> Gallery:
    """Nothing but one kind: whatever comes first is right, and nothing stands out."""
    (folder / "pictures").mkdir()
    for path in sorted(PICTURES.glob(f"{kind}-*.jpg"))[:8]:
        shutil.copy(path, folder / "pictures")
    gallery = Gallery.create_or_open(folder / "gallery", load_model("mini"))
    gallery.index([folder / "pictures"])
    return gallery


@pytest.fixture(scope="module")
def handbags(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """A kind that no class of the trunk is called."""
    return gallery_of("handbag", tmp_path_factory.mktemp("handbags"))


def said_of(gallery: Gallery, kind: str) -> list[Confidence]:
    """What is said of a kind in three wordings."""
    texts = (kind, f"a {kind}", f"a photo of a {kind}")
    return [gallery.search(Query(text=text)).confidence for text in texts]


def test_where_everything_is_right_no_wording_says_that_nothing_is(handbags: Gallery) -> None:
    said = said_of(handbags, "handbag")

    assert {confidence.verdict for confidence in said} <= {"good match", "uncertain"}
    values = [confidence.value for confidence in said]
    assert max(values) - min(values) < 0.2


@pytest.mark.parametrize("kind", ["bowl", "chair", "table lamp"])
def test_what_the_trunk_can_name_is_a_good_match_in_every_wording(
    tmp_path: Path, kind: str
) -> None:
    gallery = gallery_of(kind.replace(" ", "-"), tmp_path)

    assert {one.verdict for one in said_of(gallery, kind)} == {"good match"}


@pytest.mark.parametrize("text", ["a teapot", "a horse", "a giraffe"])
def test_what_is_not_there_is_told(handbags: Gallery, text: str) -> None:
    assert handbags.search(Query(text=text)).confidence.verdict == "nothing matches well"


def test_a_copy_of_the_picture_is_as_good_as_certain(handbags: Gallery, tmp_path: Path) -> None:
    picture = next((handbags.path.parent / "pictures").glob("*.jpg"))
    with Image.open(picture) as opened:
        rgb = opened.convert("RGB")
    rgb.resize((rgb.width * 3 // 4, rgb.height * 3 // 4)).save(tmp_path / "smaller.jpg", quality=80)
    ImageOps.mirror(rgb).save(tmp_path / "mirrored.png")

    for copy in (picture, tmp_path / "smaller.jpg"):
        found = handbags.search(Query(image=copy), include_reference=True)
        assert found.confidence.value == 1.0
    mirrored = handbags.search(Query(image=tmp_path / "mirrored.png"))
    assert mirrored.confidence.value > 0.9


def test_the_confidence_does_not_hang_on_how_many_hits_are_shown(handbags: Gallery) -> None:
    one, all_ = (handbags.search(Query(text="a red handbag"), k=k).confidence for k in (1, 8))

    assert one == all_
