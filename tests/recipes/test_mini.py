"""The recipe of the packaged model, whole, at the size of seconds: towers and data are tiny."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

import bundle  # noqa: E402
import classes  # noqa: E402
import minilm  # noqa: E402
import train as recipe  # noqa: E402
from appearance_task import train_appearance  # noqa: E402
from image_tower import ImageTower  # noqa: E402
from settings import AppearanceConfig, ContrastConfig, MiniConfig, NamesConfig  # noqa: E402
from start import continue_from  # noqa: E402
from torch import Tensor  # noqa: E402

from composir.compose.phrase_files import all_phrases  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.foundation.appearance import AppearancePart  # noqa: E402
from composir.foundation.text_tower import TextTower  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.isa.efficientnet_lite import (  # noqa: E402
    HEAD_CHANNELS,
    EfficientNetLite,
)
from composir.train.loop import LoopConfig  # noqa: E402
from tests.torch.towers import LITE, TEXT, seeing_trunk, tokenizer, words  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

SHOP = "fashion-recolour"
COLOURS = {"red": (200, 30, 30), "blue": (30, 30, 200)}
LOOP = LoopConfig(steps=2, warmup=1, evaluate_every=1, checkpoint_every=1)


class StoppedError(Exception):
    """Plays a machine that goes down."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of lamps in two colours, and towers of random weights in the place of packages."""
    folder = tmp_path / "data" / SHOP
    (folder / "images").mkdir(parents=True)
    rows = [_lamp(folder, maker, colour) for maker in range(20) for colour in COLOURS]
    (folder / "gallery.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    tokenizer().save(str(tmp_path / "tokenizer.json"))
    for module in (minilm, bundle):
        monkeypatch.setattr(module, "minilm_folder", lambda: tmp_path)
    monkeypatch.setattr(recipe, "load_efficientnet_lite", _trunk)
    monkeypatch.setattr(recipe, "load_minilm", _text_tower)
    return tmp_path


def _lamp(folder: Path, maker: int, colour: str) -> dict[str, str]:
    name = f"images/{maker}-{colour}.png"
    pixels = np.full((20, 16, 3), COLOURS[colour], dtype=np.uint8)
    pixels[maker % 16 : maker % 16 + 4, ::2] = 255
    Image.fromarray(pixels).save(folder / name)
    title = f"Maker{maker} {colour} lamp"
    return {"id": name, "file": name, "title": title, "type": "lamp", "colour": colour}


def _trunk(_name: str) -> EfficientNetLite:
    return seeing_trunk(replace(LITE, resolution=96))


def _text_tower(dimension: int) -> tuple[TextTower, Tensor]:
    torch.manual_seed(0)
    spec = replace(TEXT, positions=bundle.MAX_TOKENS, dimension=dimension)
    return TextTower(spec).eval(), words()


def config(home: Path) -> MiniConfig:
    """Few steps of every stage."""
    heads = ContrastConfig(batch={SHOP: 6}, text_blocks=0)
    joint = ContrastConfig(
        batch={SHOP: 6}, text_blocks=1, image_stages=True, attribute_weight=0.5, varied=True
    )
    return MiniConfig(
        data=home / "data",
        cache=home / "cache",
        name="tiny",
        dimension=16,
        views={SHOP: 2},
        heads=heads,
        heads_loop=LOOP,
        joint=joint,
        joint_loop=LOOP,
        names=NamesConfig(weight=0),
        names_loop=LOOP,
        appearance=AppearanceConfig(width=4, kin={SHOP: 6}, views={SHOP: 6}),
        appearance_loop=LOOP,
    )


def quiet(_line: str) -> None:
    """Progress that nobody reads."""


def stopping_at(text: str) -> Callable[[str], None]:
    """Progress that ends the run at a line."""

    def say(line: str) -> None:
        if text in line:
            raise StoppedError

    return say


def test_data_become_a_bundle_that_encodes_pictures_and_texts(home: Path) -> None:
    manifest = recipe.train_mini(config(home), home / "run", quiet)
    model = load_model(home / "run" / "bundle", threads=1)
    precise = load_model(home / "run" / "bundle-fp32", threads=1)
    picture = Image.open(home / "data" / SHOP / "images" / "0-red.png")
    vectors, words = model.encode_images([picture]), model.encode_texts(["a red lamp"])

    assert (manifest.name, model.dimension, precise.name) == ("tiny", 20, "tiny-fp32")
    assert vectors.shape == words.shape == (1, 20)
    np.testing.assert_allclose(np.linalg.norm([vectors, words], axis=-1), 1.0, atol=1e-4)
    assert np.abs(words[:, 16:]).max() == 0.0 < np.abs(vectors[:, 16:]).min()
    assert float((vectors * precise.encode_images([picture])).sum()) > 0.95
    figures = manifest.training["dev_figures"]
    assert set(figures) == {"heads", "joint", "appearance"}
    assert f"{SHOP}/recall@1" in figures["joint"]
    for made in (model, precise):
        assert tuple(made.known_texts) == all_phrases()
    assert "tiny" in (home / "run" / "bundle" / "README.md").read_text(encoding="utf-8")


def test_an_interrupted_run_ends_as_if_nothing_had_been(home: Path) -> None:
    whole = recipe.train_mini(config(home), home / "whole", quiet)
    for line in ("joint {", "appearance {"):  # twice in the same run
        with pytest.raises(StoppedError):
            recipe.train_mini(config(home), home / "run", stopping_at(line))
    again = recipe.train_mini(config(home), home / "run", quiet)

    def graphs(folder: str) -> list[bytes]:
        return [p.read_bytes() for p in sorted((home / folder / "bundle").glob("*.onnx"))]

    assert graphs("run") == graphs("whole")
    assert again.training["dev_figures"] == whole.training["dev_figures"]


def test_a_run_of_another_configuration_is_refused(home: Path) -> None:
    with pytest.raises(StoppedError):
        recipe.train_mini(config(home), home / "run", stopping_at("joint {"))
    with pytest.raises(TrainingError, match=r"run of another configuration .*choose another --out"):
        recipe.train_mini(config(home).changed(seed=1), home / "run", quiet)


def test_a_run_that_failed_before_training_is_begun_with_other_settings(home: Path) -> None:
    with pytest.raises(StoppedError):
        recipe.train_mini(config(home), home / "run", stopping_at("encoding their texts"))
    with pytest.raises(StoppedError):
        recipe.train_mini(config(home).changed(seed=1), home / "run", stopping_at("heads {"))

    assert json.loads((home / "run" / "config.json").read_text(encoding="utf-8"))["seed"] == 1


def test_kin_that_no_picture_has_are_refused_before_anything_is_trained(home: Path) -> None:
    asked = config(home).changed(appearance=AppearanceConfig(width=4, kin={"pacs-domains": 6}))
    with pytest.raises(TrainingError, match=r"--set appearance\.kin\.pacs-domains=0"):
        recipe.train_mini(asked, home / "run", quiet)
    assert not (home / "run" / "heads").exists()


def test_a_run_goes_on_from_a_bundle_without_its_first_stage(home: Path) -> None:
    recipe.train_mini(config(home), home / "first", quiet)
    asked = config(home).changed(start=home / "first" / "bundle")
    manifest = recipe.train_mini(asked, home / "second", quiet)

    assert set(manifest.training["dev_figures"]) == {"joint", "appearance"}
    image, text = ImageTower(_trunk(""), 16), _text_tower(16)[0]
    before = [{k: v.clone() for k, v in one.state_dict().items()} for one in (image, text)]
    continue_from(home / "first" / "bundle", image, text)
    for module, old in zip((image, text), before, strict=True):
        moved = {name for name, value in module.state_dict().items() if not value.equal(old[name])}
        assert any("projection" in name or "head.project" in name for name in moved)
        assert not any(name.startswith(("trunk.stem.", "trunk.stages.0.")) for name in moved)


def test_where_nothing_is_trained_the_appearance_stays_too(home: Path) -> None:
    recipe.train_mini(config(home), home / "first", quiet)
    asked = config(home).changed(start=home / "first" / "bundle", joint=ContrastConfig())
    # Neither texts nor features of pictures are asked for.
    manifest = recipe.train_mini(asked, home / "second", stopping_at("encoding their texts"))

    assert manifest.training["dev_figures"] == {}
    before, after = (_weights(home / run) for run in ("first/bundle", "second/bundle-fp32"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)
    pixels = [Image.open(home / "data" / SHOP / "images" / "0-red.png")]
    first, second = (
        load_model(home / run / "bundle", threads=1).encode_images(pixels)
        for run in ("first", "second")
    )
    np.testing.assert_allclose(second, first, atol=1e-3)
    wider = asked.changed(appearance=asked.appearance.changed(width=6))
    with pytest.raises(TrainingError, match=r"no appearance part of width 6 and weight 1\.4"):
        recipe.train_mini(wider, home / "third", quiet)


def test_an_appearance_part_goes_on_from_the_starts_or_begins_anew(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe.train_mini(config(home), home / "first", quiet)
    formers = []

    def spy(*given: Any) -> dict[str, float]:
        formers.append(given[1].former)
        return train_appearance(*given)

    monkeypatch.setattr(recipe, "train_appearance", spy)
    asked = config(home).changed(
        start=home / "first" / "bundle", joint=ContrastConfig(), keep=("names",)
    )
    manifest = recipe.train_mini(asked, home / "second", quiet)
    anew = asked.appearance.changed(from_start=False)
    recipe.train_mini(asked.changed(appearance=anew), home / "third", quiet)
    recipe.train_mini(config(home).changed(start=home / "first" / "bundle"), home / "moved", quiet)

    assert set(manifest.training["dev_figures"]) == {"appearance"}
    assert isinstance(formers[0], AppearancePart)
    assert formers[1:] == [None, None]


def test_parts_that_are_kept_are_names_and_appearance(home: Path) -> None:
    with pytest.raises(TrainingError, match="names and appearance can be kept, not head"):
        config(home).changed(keep=("head",))


def _weights(folder: Path) -> dict[str, Tensor]:
    """Of both towers, as training would go on from them."""
    image, text = ImageTower(_trunk(""), 16), _text_tower(16)[0]
    continue_from(folder, image, text)
    return dict(image.state_dict()) | dict(text.state_dict())


def test_another_shape_is_no_bundle_to_go_on_from(home: Path) -> None:
    recipe.train_mini(config(home), home / "first", quiet)
    with pytest.raises(TrainingError, match="no bundle to go on from"):
        continue_from(home / "first" / "bundle", ImageTower(_trunk(""), 24), _text_tower(24)[0])


@pytest.fixture
def classified(home: Path, monkeypatch: pytest.MonkeyPatch) -> MiniConfig:
    """Settings for these lamps and a picture of each of some classes, which a classifier knows."""
    folder = home / "data" / classes.SOURCE
    (folder / "images").mkdir(parents=True)
    rows = []
    for number in range(classes.KEPT + 4):
        name = f"images/{number}.png"
        Image.fromarray(np.full((16, 16, 3), 10 * number, dtype=np.uint8)).save(folder / name)
        called = " ".join(["red"] * number + ["lamp"])  # words of the vocabulary, all different
        rows.append({"id": name, "file": name, "class": called, "index": number})
    (folder / "gallery.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    classifier = {
        "_fc.weight": torch.randn(len(rows), HEAD_CHANNELS, generator=generator),
        "_fc.bias": torch.zeros(len(rows)),
    }
    monkeypatch.setattr(classes, "published_weights", lambda _name: classifier)
    both = {SHOP: 6, classes.SOURCE: 4}
    plain = config(home).changed(views=dict.fromkeys(both, 1))
    return plain.changed(
        joint=plain.joint.changed(batch=both), heads=plain.heads.changed(batch=both)
    )


def test_pictures_learn_class_names_and_captions_with_one_word_changed(
    home: Path, classified: MiniConfig
) -> None:
    asked = classified.changed(
        joint=classified.joint.changed(class_weight=1.0, classes=8, changed_weight=0.5)
    )
    manifest = recipe.train_mini(asked, home / "run", quiet)

    figures = manifest.training["dev_figures"]["joint"]
    assert 0.0 <= figures[f"{classes.SOURCE}/top1"] <= figures[f"{classes.SOURCE}/top5"] <= 100.0
    losses = [
        json.loads(line)["loss"]
        for line in (home / "run" / "joint" / "metrics.jsonl").read_text().splitlines()
    ]
    assert np.isfinite(losses).all()


def test_finished_towers_are_given_the_names_that_the_classifier_has(
    home: Path, classified: MiniConfig
) -> None:
    plain = recipe.train_mini(classified, home / "plain", quiet)
    named = recipe.train_mini(
        classified.changed(names=NamesConfig(weight=4.0, batch=8)), home / "named", quiet
    )

    assert set(named.training["dev_figures"]) - set(plain.training["dev_figures"]) == {"names"}
    pixels = Image.open(home / "data" / classes.SOURCE / "images/3.png")
    first, second = (
        load_model(home / run / "bundle", threads=1).encode_images([pixels])[0]
        for run in ("plain", "named")
    )
    assert np.abs(first - second).max() > 0.02
    kept = classified.changed(
        names=NamesConfig(weight=4.0),
        keep=("names", "appearance"),
        start=home / "named" / "bundle-fp32",
        **dict.fromkeys(("heads", "joint"), ContrastConfig()),
    )
    again = recipe.train_mini(kept, home / "kept", quiet)
    model = load_model(home / "kept" / "bundle-fp32", threads=1)
    third = load_model(home / "named" / "bundle-fp32", threads=1).encode_images([pixels])[0]
    assert again.training["dev_figures"] == {}
    np.testing.assert_allclose(model.encode_images([pixels])[0], third, atol=1e-4)
    for other in ({"start": home / "plain" / "bundle"}, {"names": NamesConfig(weight=2.0)}):
        with pytest.raises(TrainingError, match=r"no part of names of weight \d to keep"):
            recipe.train_mini(kept.changed(**other), home / f"no-{next(iter(other))}", quiet)
    np.testing.assert_allclose(second[16:], first[16:], atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(second), 1.0, atol=1e-4)
