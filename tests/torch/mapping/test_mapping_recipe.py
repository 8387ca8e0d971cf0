"""Stage 1 as a user runs it: pictures in, a composer folder out that searches accept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from PIL import Image  # noqa: E402

from composir.compose import QueryBatch, load_composer, open_trained  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.blend import choose_blend  # noqa: E402
from composir.train.dev_set import open_dev_set  # noqa: E402
from composir.train.loop import LoopConfig  # noqa: E402
from composir.train.mapping.mapper import MapperConfig  # noqa: E402
from composir.train.mapping.recipe import MapConfig, train_map  # noqa: E402
from composir.train.mapping.task import MapObjective  # noqa: E402
from composir.train.source_pictures import PictureSources  # noqa: E402
from tests.torch.mapping.data import (  # noqa: E402
    write_data_set,
    write_pictures,
    write_queries,
)
from tests.torch.towers import TEXT, make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
SMALL = MapperConfig(width=32, injection_heads=2, injection_width=16)
LOOP = LoopConfig(steps=3, warmup=1, evaluate_every=2, checkpoint_every=2)
OBJECTIVE = MapObjective(batch=6, negatives=4, bank=8)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_bundle(folder, appearance=True)
    return folder


def config(bundle: Path, folder: Path, **changes: Any) -> MapConfig:
    made = MapConfig(
        model=str(bundle),
        sources=PictureSources(data=(folder / "own",), dev_share=0.2),
        cache=folder / "cache",
        mapper=SMALL,
        objective=OBJECTIVE,
        loop=LOOP,
    )
    return made.changed(**changes)


def test_a_run_gives_a_composer_that_composes_and_its_blend_is_chosen(
    bundle: Path, tmp_path: Path
) -> None:
    write_data_set(tmp_path / "own")
    dev = write_queries(write_data_set(tmp_path / "dev", 12))
    told: list[str] = []
    settings = config(bundle, tmp_path, dev=(dev,))
    manifest = train_map(settings, tmp_path / "run", told.append)
    folder = tmp_path / "run" / "composer"
    model = load_model(bundle)
    composer = open_trained(folder, model)
    picture = Image.new("RGB", (40, 40), (200, 20, 20))
    batch = QueryBatch(("in blue",), model.encode_images([picture]), [lambda: picture])
    found = composer.tokens(batch)
    records = [json.loads(row) for row in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]

    assert (manifest.kind, manifest.input, manifest.tokens) == ("pseudo_word", "patch_tokens", 1)
    assert [(s.name, s.licence) for s in manifest.sources[1:]] == [("own", "CC-BY-4.0")]
    assert found.words.shape == (1, 1, TEXT.width)
    assert found.attention is not None
    assert found.attention.sum() == pytest.approx(1.0, abs=1e-5)
    assert composer.compose(batch).vectors.shape == (1, 1, model.dimension)
    figures = {"contrast_accuracy", "dev/sentence/recall@10", "dev/blend/recall@10"}
    assert figures <= set(records[-1])
    assert manifest.training["blend"]["by_dev_set"].keys() == {"dev"}
    assert str(tmp_path) not in (folder / "README.md").read_text() + manifest.model_dump_json()
    assert not any("left out of training" in line for line in told)


def test_dev_queries_pictures_are_not_trained_on(bundle: Path, tmp_path: Path) -> None:
    own = write_queries(write_data_set(tmp_path / "own"))
    told: list[str] = []
    train_map(config(bundle, tmp_path, dev=(own,)), tmp_path / "run", told.append)

    assert any("5 pictures that the dev queries ask about are left out" in line for line in told)


def test_plain_mapper_takes_vectors_and_the_blend_can_be_chosen_later(
    bundle: Path, tmp_path: Path
) -> None:
    write_data_set(tmp_path / "own")
    dev = write_queries(write_data_set(tmp_path / "dev", 12))
    plain = config(bundle, tmp_path, mapper=SMALL.changed(injection_layers=0, tokens=2))
    manifest = train_map(plain, tmp_path / "run", lambda _: None)
    folder, model = tmp_path / "run" / "composer", load_model(bundle)
    before = load_composer(folder, model).settings
    choice = choose_blend(
        model, folder, [open_dev_set(dev, model, tmp_path / "cache")], {"image": 0.0}
    )
    after = load_composer(folder, model).settings

    assert (manifest.input, manifest.tokens) == ("vector", 2)
    assert (before["direction"], before["image"]) == (1.5, 1.0)
    assert after["image"] == choice.settings["image"] == 0.0
    assert 0.0 <= choice.score <= 100.0
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"image 0, text {choice.settings['text']:g}" in card
    assert f"chosen among {choice.tried} on dev queries" in card


def test_a_stopped_run_goes_on_to_the_same_weights(bundle: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "own")
    whole = config(bundle, tmp_path)
    train_map(whole, tmp_path / "whole", lambda _: None)

    def stop(line: str) -> None:
        if line.startswith("step 2"):
            raise KeyboardInterrupt

    later = whole.changed(loop=LOOP.changed(checkpoint_every=1))
    with pytest.raises(KeyboardInterrupt):
        train_map(later, tmp_path / "parts", stop)
    train_map(later, tmp_path / "parts", lambda _: None)
    one, two = (
        torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["average"]
        for name in ("whole", "parts")
    )
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_run_on_another_model_is_not_gone_on_with(bundle: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "own")
    run = config(bundle, tmp_path)
    train_map(run, tmp_path / "run", lambda _: None)
    (tmp_path / "run" / "model.txt").write_text("tiny 0123 4567\n")

    with pytest.raises(TrainingError, match="another model"):
        train_map(run, tmp_path / "run", lambda _: None)


def test_one_picture_or_fewer_than_a_batch_says_what_to_do(bundle: Path, tmp_path: Path) -> None:
    write_pictures(tmp_path / "one", 1)
    sources = PictureSources(images=(str(tmp_path / "one"),), dev_share=0.0)

    with pytest.raises(TrainingError, match=r"fewer than a batch of 6: .* objective\.batch"):
        train_map(config(bundle, tmp_path, sources=sources), tmp_path / "run", lambda _: None)


def test_pictures_that_cannot_be_read_are_told_and_left_out(bundle: Path, tmp_path: Path) -> None:
    folder = write_data_set(tmp_path / "own")
    (folder / "images" / "03.png").write_bytes(b"no picture")
    told: list[str] = []
    train_map(config(bundle, tmp_path), tmp_path / "run", told.append)

    assert any(line.startswith("skipping ") and "03.png" in line for line in told)


def test_a_template_without_its_places_is_refused(bundle: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "own")
    wrong = config(bundle, tmp_path, composed_template="a photo")

    with pytest.raises(TrainingError, match="template"):
        train_map(wrong, tmp_path / "run", lambda _: None)


def test_alignment_alone_pulls_sentences_towards_the_pictures_texts(
    bundle: Path, tmp_path: Path
) -> None:
    write_data_set(tmp_path / "own")
    objective = OBJECTIVE.changed(rate=0.01, alignment=5.0, negatives=0)
    loop = LoopConfig(steps=30, warmup=1, evaluate_every=30, checkpoint_every=30, average=0.5)
    told: list[str] = []
    run = config(bundle, tmp_path, objective=objective, loop=loop)
    train_map(run, tmp_path / "run", told.append)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()

    assert np.isfinite(json.loads(rows[-1])["loss"])
    with pytest.raises(TrainingError, match="batch is 1: it must be from 2"):
        objective.changed(batch=1)
