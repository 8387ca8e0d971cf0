"""Features of training pictures: computed once, in the order of the files, and only where read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.errors import TrainingError  # noqa: E402
from composir.images import read_image  # noqa: E402
from composir.model import Model  # noqa: E402
from composir.train.gallery_features import gallery_features  # noqa: E402
from composir.train.isa.picture_bank import light_features  # noqa: E402
from composir.types import FloatArray  # noqa: E402
from tests.tiny_bundle import make_bundle  # noqa: E402
from tests.torch.isa.makers import lite_encoder  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
Open = Callable[[Path, list[Path]], FloatArray]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return make_bundle(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(params=["gallery", "light"])
def open_features(request: pytest.FixtureRequest, model: Model) -> Open:
    """Each of the two, as the numbers that it gives."""

    def gallery(cache: Path, files: list[Path]) -> FloatArray:
        found = gallery_features(cache, files, model)
        patches = np.asarray(found.patch_tokens, dtype=np.float32).reshape(len(found.kept), -1)
        return np.concatenate([found.vectors, patches], axis=1)

    def light(cache: Path, files: list[Path]) -> FloatArray:
        return np.array(light_features(cache, files, lite_encoder(), "lite", 0).rows, np.float32)

    kinds: dict[str, Open] = {"gallery": gallery, "light": light}
    return kinds[request.param]


def paint(folder: Path, *colours: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number}.bmp" for number in range(len(colours))]
    for file, colour in zip(files, colours, strict=True):
        Image.new("RGB", (32, 32), colour).save(file)
    return files


def test_features_go_by_content_and_come_in_order(tmp_path: Path, open_features: Open) -> None:
    files = paint(tmp_path / "set", "red", "blue", "green")
    first = open_features(tmp_path / "cache", files)
    again = open_features(tmp_path / "cache", files[::-1])
    np.testing.assert_array_equal(again, first[::-1])
    np.testing.assert_array_equal(open_features(tmp_path / "fresh", files), first)
    assert len(np.unique(first, axis=0)) == 3
    same = paint(tmp_path / "copies", "blue")
    np.testing.assert_array_equal(open_features(tmp_path / "cache", same), first[1:2])


def test_features_are_read_and_not_made_again(
    tmp_path: Path, open_features: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = paint(tmp_path / "set", "red", "blue")
    first = open_features(tmp_path / "cache", files)

    def unread(*_: object, **__: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("composir.encode.image_files.read_image", unread)
    np.testing.assert_array_equal(open_features(tmp_path / "cache", files), first)


def test_vectors_and_patches_are_those_of_the_model(tmp_path: Path, model: Model) -> None:
    files = paint(tmp_path / "set", "red", "blue")
    pictures = [read_image(file, min_side=model.image_spec.min_side).rgb for file in files]
    vectors, patches = model.encode_patches(model.image_spec.apply_each(pictures))
    found = gallery_features(tmp_path / "cache", files, model)
    np.testing.assert_array_equal(found.vectors, vectors)
    np.testing.assert_array_equal(np.asarray(found.patch_tokens), patches.astype(np.float16))
    plain = gallery_features(tmp_path / "cache", files, model, spatial=False)
    np.testing.assert_array_equal(plain.vectors, vectors)
    assert plain.patch_tokens.shape == (2, 0, 0)


def test_what_cannot_be_read_is_left_out_and_listed(tmp_path: Path, model: Model) -> None:
    files = paint(tmp_path / "set", "red", "blue", "green")
    files[1].write_bytes(b"no picture")
    found = gallery_features(tmp_path / "cache", files, model)
    assert found.kept.tolist() == [0, 2]
    assert [file for file, _ in found.failures] == [files[1]]
    light = light_features(tmp_path / "cache", files, lite_encoder(), "lite", 0)
    assert list(light.failures) == [1]
    assert len(light.rows) == 3
    whole = light_features(tmp_path / "cache", [files[2]], lite_encoder(), "lite", 0)
    np.testing.assert_array_equal(light.rows[2], whole.rows[0])
    files[0].unlink()
    with pytest.raises(TrainingError, match=r"none of the 2 training images .*0\.bmp"):
        gallery_features(tmp_path / "cache", files[:2], model)


def test_views_differ_from_each_other_but_not_between_runs(tmp_path: Path, model: Model) -> None:
    [file] = paint(tmp_path / "set", "red")
    Image.radial_gradient("L").convert("RGB").save(file)
    views = [gallery_features(tmp_path / "a", [file], model, view=v).vectors for v in range(3)]
    assert len({view.tobytes() for view in views}) == 3
    np.testing.assert_array_equal(
        gallery_features(tmp_path / "b", [file], model, view=2).vectors, views[2]
    )
