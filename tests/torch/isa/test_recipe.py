"""`composir train isa`, whole, on a tiny model; and everything that may be wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from torch import Tensor  # noqa: E402

from composir.compose import load_composer  # noqa: E402
from composir.compose.trained import ComposerFolder  # noqa: E402
from composir.errors import ModelError, TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.config import read_config  # noqa: E402
from composir.train.isa.efficientnet_lite import (  # noqa: E402
    LITE_SPECS,
    EfficientNetLite,
)
from composir.train.isa.light_encoder import LightEncoderConfig  # noqa: E402
from composir.train.isa.recipe import IsaConfig, train_isa  # noqa: E402
from composir.train.loop import CHECKPOINT, METRICS, LoopConfig  # noqa: E402
from tests.torch.isa.makers import LEARNER, OBJECTIVE, pictures  # noqa: E402
from tests.torch.towers import LITE, make_bundle, seeing_trunk  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


@pytest.fixture(autouse=True)
def tiny_trunk(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> EfficientNetLite:
        return seeing_trunk(seed=1)

    monkeypatch.setattr("composir.train.isa.light_encoder.load_efficientnet_lite", load)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, `photos/` with a bad file among them, and a shared cache."""
    folder = tmp_path_factory.mktemp("isa")
    make_bundle(folder / "tiny", appearance=True)
    pictures(folder / "photos", 16)
    (folder / "photos/bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbut not really")
    return folder


def config(home: Path, **changes: object) -> IsaConfig:
    plain = IsaConfig(
        images=(str(home / "photos"),),
        model=str(home / "tiny"),
        cache=home / "cache",
        token_learner=LEARNER,
        objective=OBJECTIVE,
        dev_share=0.3,
        loop=LoopConfig(steps=3, warmup=1, evaluate_every=2, checkpoint_every=1),
    )
    return plain.changed(**changes)


@pytest.mark.parametrize("side", ["asymmetric", "symmetric"])
def test_a_folder_of_photos_becomes_a_composer(home: Path, tmp_path: Path, side: str) -> None:
    said: list[str] = []
    manifest = train_isa(config(home, side=side, views=2), tmp_path / "run", said.append)
    model = load_model(home / "tiny")
    composer = load_composer(str(tmp_path / "run/composer"), model)
    photo = Image.open(home / "photos/003.png").convert("RGB")

    assert manifest.input == {"asymmetric": "pixels", "symmetric": "patch_tokens"}[side]
    assert manifest.vector == (side == "asymmetric")
    assert (manifest.kind, manifest.tokens, manifest.name) == ("sentence", 2, "isa")
    assert manifest.efficiency.query_parameters
    assert any("skipping" in line and "bad.png" in line for line in said)
    assert "1 of 17 pictures cannot be read" in said
    plain = ComposerFolder.load(tmp_path / "run/composer-fp32").manifest
    assert (manifest.training["weights"], plain.training["weights"]) == ("int8", "float32")
    card = (tmp_path / "run/composer/README.md").read_text()
    assert "composir train isa --images photos --model tiny" in card
    assert str(tmp_path) not in card + (tmp_path / "run/composer/composer.json").read_text()
    assert composer is not None
    check_query(composer, photo, model)


def test_the_light_side_can_be_the_gallerys_own_network(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LITE_SPECS, "tiny", LITE)
    light = LightEncoderConfig(name="gallery", trained_blocks=1)
    train_isa(config(home, light=light), tmp_path / "run", lambda _: None)
    model = load_model(home / "tiny")
    manifest = ComposerFolder.load(tmp_path / "run/composer").manifest
    photo = Image.open(home / "photos/003.png").convert("RGB")
    card = (tmp_path / "run/composer/README.md").read_text()

    assert manifest.preprocess is not None
    assert (manifest.preprocess.size, manifest.vector) == (48, True)
    assert "the gallery's own network reads the reference at 48 px" in card
    assert not any("published weights" in source.name for source in manifest.sources)
    check_query(load_composer(str(tmp_path / "run/composer"), model), photo, model)


def check_query(composer: object, photo: Image.Image, model: object) -> None:
    from composir.compose.base import QueryBatch

    vectors = model.encode_images([photo])  # type: ignore[attr-defined]
    batch = QueryBatch(("red lamp",), vectors, [lambda: photo])
    made = composer.tokens(batch)  # type: ignore[attr-defined]

    assert made.words.shape[:2] == (1, 2)
    assert np.allclose(made.attention.sum((2, 3)), 1.0, atol=1e-4)


def test_the_same_command_goes_on_and_changes_nothing_when_done(home: Path, tmp_path: Path) -> None:
    train_isa(config(home), tmp_path, lambda _: None)
    first = (tmp_path / "composer/query.onnx").read_bytes()
    metrics = (tmp_path / METRICS).read_text()
    train_isa(config(home), tmp_path, lambda _: None)

    assert (tmp_path / "composer/query.onnx").read_bytes() == first
    assert (tmp_path / METRICS).read_text() == metrics
    assert [json.loads(line)["step"] for line in metrics.splitlines()] == [2, 3]


def test_upper_blocks_can_be_trained(home: Path, tmp_path: Path) -> None:
    settings = config(home, light=IsaConfig(images=("x",)).light.changed(trained_blocks=1))
    manifest = train_isa(settings, tmp_path, lambda _: None)

    assert manifest.training["config"]["light"]["trained_blocks"] == 1


def test_a_run_folder_of_another_configuration_is_refused(home: Path, tmp_path: Path) -> None:
    train_isa(config(home), tmp_path, lambda _: None)
    with pytest.raises(TrainingError, match="a run of another configuration"):
        train_isa(config(home, seed=1), tmp_path, lambda _: None)


def test_a_damaged_checkpoint_is_refused(home: Path, tmp_path: Path) -> None:
    train_isa(config(home), tmp_path, lambda _: None)
    (tmp_path / CHECKPOINT).write_bytes(b"cut off")
    with pytest.raises(TrainingError, match="does not fit this run or is damaged"):
        train_isa(config(home), tmp_path, lambda _: None)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from composir.train.isa import task as module

    losses = iter([1.0, float("nan")])

    def broken(sentences: Tensor, *_: object) -> Tensor:
        return sentences.sum() * next(losses)

    monkeypatch.setattr(module, "gcd_loss", broken)
    with pytest.raises(TrainingError, match=r"loss is nan at step 2.*lower the learning rate"):
        train_isa(config(home), tmp_path, lambda _: None)
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["step"] == 1


def test_no_images_all_bad_or_too_few_are_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/x.png").write_bytes(b"no picture")
    pictures(tmp_path / "few", 2)
    for name, said in {
        "empty": "no training images",
        "bad": "none of the 1 training images can be read",
        "few": "fewer than a batch of 4",
        "missing": "does not exist",
    }.items():
        images = (str(tmp_path / name),)
        settings = config(home, images=images, dev_share=0.0, cache=tmp_path / "cache")
        with pytest.raises(TrainingError, match=said):
            train_isa(settings, tmp_path / f"run-{name}", lambda _: None)
    with pytest.raises(TrainingError, match="name a folder with --images"):
        read_config(IsaConfig, None, [])


@pytest.mark.parametrize("side", ["asymmetric", "symmetric"])
def test_a_model_without_spatial_features_says_so(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    from composir.model.image_encoder import ImageEncoder

    monkeypatch.setattr(ImageEncoder, "_outputs", lambda *_: frozenset({"vector"}))
    settings = config(home, side=side, cache=tmp_path / "cache")
    with pytest.raises(ModelError, match="no spatial features"):
        train_isa(settings, tmp_path / "run", lambda _: None)
    if side == "asymmetric":
        objective = OBJECTIVE.changed(lar=OBJECTIVE.lar.changed(weight=0.0))
        settings = settings.changed(objective=objective)
        assert train_isa(settings, tmp_path / "run-2", lambda _: None).kind == "sentence"


def test_a_composer_of_another_model_is_refused(home: Path, tmp_path: Path) -> None:
    train_isa(config(home), tmp_path, lambda _: None)
    folder = ComposerFolder.load(tmp_path / "composer")
    with pytest.raises(ModelError, match="trained for another model"):
        folder.check_model("other", "0" * 16, folder.manifest.text, folder.manifest.word_dimension)


def test_settings_by_file_and_assignment(tmp_path: Path) -> None:
    file = tmp_path / "isa.toml"
    file.write_text('images = ["a"]\n[objective.gcd]\nqueue = 0\n')
    made = read_config(IsaConfig, file, ["token_learner.num_tokens=6", "light.name=timm:vit_tiny"])

    assert (made.objective.gcd.queue, made.token_learner.num_tokens) == (0, 6)
    assert made.light.name == "timm:vit_tiny"
