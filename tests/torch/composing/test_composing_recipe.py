"""Stage 2 from end to end on tiny models: train, resume, table, composer, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from PIL import Image  # noqa: E402

from composir.compose import load_composer  # noqa: E402
from composir.compose.base import QueryBatch  # noqa: E402
from composir.compose.trained import (  # noqa: E402
    ComposerFolder,
    ComposerManifest,
    Templates,
)
from composir.errors import ComposirError, ModelError, TrainingError  # noqa: E402
from composir.model import Model, load_model  # noqa: E402
from composir.train.composing.compose_config import ComposeConfig  # noqa: E402
from composir.train.composing.recipe import STAGE, train_composing  # noqa: E402
from composir.train.config import read_config  # noqa: E402
from composir.train.loop import CHECKPOINT  # noqa: E402
from composir.train.run_folder import LEFT_OUT, claim  # noqa: E402
from tests.torch.composing.tiny_rows import write_lines  # noqa: E402
from tests.torch.composing.tiny_start import (  # noqa: E402
    make_model,
    make_stage1,
    make_triplets,
)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
NO_IMAGE = dict.fromkeys(("image", "exchange", "learned"), 0.0)
SMALL = (
    "loop.steps=6",
    "loop.warmup=1",
    "loop.evaluate_every=3",
    "loop.checkpoint_every=2",
    "composing.batch=6",
    "composing.rate=0.01",
    "composing.anchor_texts=2",
    "composing.anchor_images=2",
    "adapters.width=4",
    "mining.pool=6",
    "mining.hardest=4",
    "mining.refresh_every=3",
    "mining.same_picture=2.0",
    "text_batch.rows=8",
    "text_batch.alike=2",
    "dev=0.2",
    "held_out=0.2",
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    make_stage1(folder / "map", make_model(folder / "bundle"))
    make_triplets(folder / "triplets")
    return folder


def settings(tiny: Path, *more: str, **named: str) -> ComposeConfig:
    chosen = {"model": "bundle", "start": "map", "triplets": "triplets", "cache": "cache"} | named
    paths = [f"{key}={tiny / value}" for key, value in chosen.items()]
    paths = [p.replace("=", "=['", 1) + "']" if p.startswith("triplets=") else p for p in paths]
    return read_config(ComposeConfig, None, [*paths, *SMALL, *more])


def run(config: ComposeConfig, out: Path) -> tuple[ComposerManifest, str]:
    said: list[str] = []
    return train_composing(config, out, said.append), "\n".join(said)


def composed(folder: Path, tiny: Path, name: str = "composer") -> Any:
    model = load_model(tiny / "bundle")
    vectors = np.eye(16, dtype=np.float32)[:2]
    pictures = [lambda: Image.new("RGB", (40, 40), (220, 30, 30))] * 2
    composer = load_composer(str(folder / name), model)
    return composer.compose(QueryBatch(("red", "a blue lamp"), vectors, pictures)).vectors


def two_starts(tiny: Path, folder: Path, *more: str, **fields: Any) -> ComposeConfig:
    """The mapper and a light side at `folder/isa` that gives its own vector."""
    make_stage1(folder / "isa", load_model(tiny / "bundle"), pixels=True, **fields)
    return settings(tiny, f"start=['{tiny / 'map'}', '{folder / 'isa'}']", *more)


def test_a_run_ends_with_a_composer_a_card_and_a_table(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(settings(tiny), tmp_path / "run")

    assert manifest.kind == "adapted"
    assert manifest.moves in manifest.files
    assert "phrases tell which way pictures move" in said
    assert manifest.training["train_triplets"] > 0
    assert {r["method"] for r in manifest.training["before_after"]} >= {
        "sum",
        "stage 1, as it came",
        "stage 2, weights chosen on dev",
    }
    assert json.loads((tmp_path / "run" / "before_after.json").read_text())["parity"] < 1e-3
    card = (tmp_path / "run" / "composer" / "README.md").read_text()
    assert "R@1 of stage 2 minus stage 1" in card
    assert str(tmp_path) not in card + json.dumps(manifest.training)
    assert "R@10" in said
    graph = ComposerFolder.load(tiny / "map" / "composer").file("query.onnx").read_bytes()
    assert (tmp_path / "run" / "composer" / "query.onnx").read_bytes() == graph
    assert np.allclose(np.linalg.norm(composed(tmp_path / "run", tiny), axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("kind", ["bottleneck", "lora", "bottleneck for two starts"])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tiny: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from composir.train.composing.task import ComposingTask

    adapters = f"adapters.kind={kind.split(maxsplit=1)[0]}"
    if kind.endswith("starts"):
        config = two_starts(tiny, tmp_path, adapters, name="isa", vector=True)
    else:
        config = settings(tiny, adapters)
    run(config, tmp_path / "whole")
    loss = ComposingTask.loss

    def stopped(task: ComposingTask, step: int) -> Any:
        if step == 6:
            raise KeyboardInterrupt
        return loss(task, step)

    monkeypatch.setattr(ComposingTask, "loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "parts")
    monkeypatch.undo()
    run(config, tmp_path / "parts")

    ends = [
        torch.load(tmp_path / name / STAGE / CHECKPOINT, weights_only=True)["parameters"]
        for name in ("whole", "parts")
    ]
    assert all(torch.equal(one, two) for one, two in zip(*ends, strict=True))
    assert np.array_equal(composed(tmp_path / "whole", tiny), composed(tmp_path / "parts", tiny))


def test_several_starts_share_one_text_encoder(tiny: Path, tmp_path: Path) -> None:
    config = two_starts(
        tiny,
        tmp_path,
        f"dev_sets=['{tiny / 'triplets'}']",
        "composing.blend.image=0.5",
        name="isa",
        vector=True,
        templates=Templates(composed="a picture of {} {text}"),
    )
    out = tmp_path / "run"
    first, said = run(config, out)
    second = ComposerFolder.load(out / "composer-isa").manifest

    assert (first.name, second.name) == ("compose", "isa-compose")
    assert first.files["text.onnx"].sha256 == second.files["text.onnx"].sha256
    assert (first.input, second.input) == ("vector", "pixels")
    assert (first.vector, second.vector) == (False, True)
    assert second.templates.composed == "a picture of {} {text}"
    assert second.preprocess == load_model(tiny / "bundle").image_spec
    tables = [json.loads((out / f"before_after{end}.json").read_text()) for end in ("", "-isa")]
    assert tables[0]["before_after"] != tables[1]["before_after"]
    assert [table["shared_with"] for table in tables] == [["isa"], ["tiny-map"]]
    assert {m.training["blend"]["chosen_by"] for m in (first, second)} == {
        "mean of recall@10 and map@10"
    }
    assert "--from map --from isa" in second.training["command"]
    card = (out / "composer-isa" / "README.md").read_text()
    assert "`tiny-map`" in card
    assert "query graph's own" in card
    assert "(shades " in card
    assert "dev/isa/mean_recall" in said
    for name in ("composer", "composer-isa"):
        assert np.allclose(np.linalg.norm(composed(out, tiny, name), axis=-1), 1.0, atol=1e-5)


def test_starts_of_one_name_are_refused(tiny: Path, tmp_path: Path) -> None:
    config = two_starts(tiny, tmp_path, name="tiny-map")

    with pytest.raises(TrainingError, match=r"two starts are named tiny-map.*isa"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_composers_of_one_name_are_refused(tiny: Path, tmp_path: Path) -> None:
    config = two_starts(tiny, tmp_path, "name=isa-compose", name="isa")

    with pytest.raises(TrainingError, match="would be named isa-compose"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("pixels", "vector", "asked", "fixed"),
    [
        (False, False, "auto", {}),
        (False, False, "zero", NO_IMAGE),
        (True, False, "auto", NO_IMAGE),
        (True, False, "chosen", {}),
        (True, True, "auto", {}),
    ],
)
def test_the_image_weighs_nothing_where_the_device_has_no_vector(
    tiny: Path, tmp_path: Path, pixels: bool, vector: bool, asked: str, fixed: dict[str, float]
) -> None:
    make_stage1(tmp_path / "side", load_model(tiny / "bundle"), pixels=pixels, vector=vector)
    start = ComposerFolder.load(tmp_path / "side" / "composer").manifest

    assert settings(tiny, f"image_weight={asked}").fixed_weights(start) == fixed


def test_no_triplets_give_stage_1_back(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(settings(tiny, "max_triplets=0"), tmp_path / "run")
    rows = {row["method"]: row for row in manifest.training["before_after"]}

    assert "stage 1" in said
    first, second = rows["stage 1, sentence alone"], rows["stage 2, sentence alone"]
    assert [first[f"recall@{k}"] for k in (1, 5, 10)] == [second[f"recall@{k}"] for k in (1, 5, 10)]


def test_the_table_asks_the_start_with_all_of_its_blend(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny / "bundle")
    monkeypatch.setattr(Model, "spread", np.eye(model.dimension, dtype=np.float32))
    came = {"image": 1.0, "exchange": 1.5, "description": 3.0, "evened": 1.0}
    make_stage1(tmp_path / "map", model, settings={"sentence": 0.0, **came})
    manifest, _ = run(settings(tiny, start=str(tmp_path / "map")), tmp_path / "run")
    rows = {row["method"]: row for row in manifest.training["before_after"]}

    assert rows["stage 1, as it came"]["weights"] == came
    made = manifest.settings  # the dev triplets chose without these
    assert (made.exchange, made.description, made.evened) == (0.0, 0.0, None)


def test_any_composer_can_be_the_start(tiny: Path, tmp_path: Path) -> None:
    model = load_model(tiny / "bundle")
    make_stage1(tmp_path / "isa", model, pixels=True)
    config = settings(tiny, f"dev_sets=['{tiny / 'triplets'}']", start=str(tmp_path / "isa"))
    manifest, _ = run(config, tmp_path / "run")
    rows = {row["method"]: row for row in manifest.training["before_after"]}

    assert manifest.input == "pixels"
    assert manifest.settings.image == 0.0
    assert "image" not in rows["stage 2, weights chosen on dev"]["weights"]
    assert manifest.preprocess == model.image_spec


def test_click_logs_captions_and_text_only_costs(tiny: Path, tmp_path: Path) -> None:
    shades = tiny / "triplets"
    rows = [
        {
            "reference": f"images/{kind}-red.png",
            "text": "blue",
            "clicked": f"images/{kind}-blue.png",
            "shown": [f"images/{(kind + 1) % 12}-blue.png"],
        }
        for kind in range(12)
    ]
    lost = {**rows[0], "reference": "lost.png"}
    clicks = write_lines(tmp_path / "clicks.jsonl", [*rows, lost])
    captions = tmp_path / "captions.txt"
    captions.write_text("a red dog\na blue lamp\n")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "dataset.json").write_text('{"name": "plain"}')
    write_lines(plain / "gallery.jsonl", [{"id": "0", "file": str(shades / "images/0-red.png")}])
    write_lines(plain / "queries.jsonl", [{"id": "q", "text": "a red dog", "targets": ["0"]}])
    config = settings(
        tiny,
        f"images={shades}",
        f"captions=['{captions}']",
        f"text_only={plain}",
        triplets=str(clicks),
    )
    manifest, said = run(config, tmp_path / "run")

    assert "1 rows left out" in said
    assert "line 13" in (tmp_path / "run" / LEFT_OUT).read_text()
    assert manifest.training["dev_figures"]["text/recall@1/off"] == 100.0
    assert manifest.training["dev_figures"]["text/recall@1/on"] == 100.0


def test_a_folder_of_another_configuration_is_refused(tiny: Path, tmp_path: Path) -> None:
    run(settings(tiny, "max_triplets=0"), tmp_path / "run")

    with pytest.raises(TrainingError, match="another configuration"):
        run(settings(tiny, "max_triplets=0", "seed=1"), tmp_path / "run")


def test_a_mistyped_first_command_does_not_keep_the_folder(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposirError, match="no such file"):
        run(settings(tiny, triplets="nowhere.jsonl"), tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()
    manifest, _ = run(settings(tiny, "max_triplets=0"), tmp_path / "run")

    assert manifest.name == "compose"


def test_a_damaged_checkpoint_is_named(tiny: Path, tmp_path: Path) -> None:
    claim(tmp_path / "run", settings(tiny))
    (tmp_path / "run" / STAGE).mkdir()
    (tmp_path / "run" / STAGE / CHECKPOINT).write_bytes(b"nothing")

    with pytest.raises(TrainingError, match=f"{CHECKPOINT} does not fit"):
        run(settings(tiny), tmp_path / "run")


def test_a_start_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    model = load_model(tiny / "bundle")
    make_stage1(tmp_path / "other", model, text="0" * 64)

    with pytest.raises(ModelError, match="trained for another model"):
        run(settings(tiny, start=str(tmp_path / "other")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("named", "more", "message"),
    [
        ({"start": "nowhere"}, (), "no run of stage 1"),
        ({}, ("start=",), "brings no composer named map"),
        ({}, ("triplets=[]",), "no triplets"),
        ({}, ("composing.batch=500",), "fewer than a batch of 500"),
        ({}, ("composing.temperature=0",), "temperature"),
        ({}, ("dev=0.6", "held_out=0.5"), "too few"),
        ({}, ("adapters.kind=prefix",), "adapters.kind"),
        ({"triplets": "nowhere.jsonl"}, (), "no such file"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tiny: Path, tmp_path: Path, named: dict[str, str], more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ComposirError, match=message):
        run(settings(tiny, *more, **named), tmp_path / "run")


def test_stage_2_of_stage_2_is_refused(tiny: Path, tmp_path: Path) -> None:
    run(settings(tiny, "max_triplets=0"), tmp_path / "run")

    with pytest.raises(TrainingError, match="of stage 2 already"):
        run(settings(tiny, start=str(tmp_path / "run")), tmp_path / "again")
