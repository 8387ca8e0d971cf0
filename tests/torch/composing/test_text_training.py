"""Stage 2 from texts: what stands for a reference, the loss, and runs from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch.nn import functional  # noqa: E402

from composir.compose.trained import ComposerFolder, ComposerManifest  # noqa: E402
from composir.errors import ComposirError, TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.model.sessions import open_session  # noqa: E402
from composir.train.composing.compose_config import ComposeConfig  # noqa: E402
from composir.train.composing.query_tokens import ModalityGap, TextReader  # noqa: E402
from composir.train.composing.recipe import STAGE, train_composing  # noqa: E402
from composir.train.composing.task import ComposingTask  # noqa: E402
from composir.train.composing.text_batches import (  # noqa: E402  # noqa: E402
    TextBatchConfig,
    TextBatches,
    TextTraining,
    TextVectors,
)
from composir.train.config import read_config  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.loop import CHECKPOINT, METRICS  # noqa: E402
from composir.train.run_folder import LEFT_OUT  # noqa: E402
from composir.triplets.caption_edits import TextTriplet  # noqa: E402
from tests.torch.composing.test_composing_recipe import SMALL, composed  # noqa: E402
from tests.torch.composing.tiny_start import (  # noqa: E402
    make_model,
    make_stage1,
    make_text_triplets,
    make_triplets,
)
from tests.torch.towers import APPEARANCE, WEIGHT, make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
TEXTS = ("a red dog", "a blue lamp")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    model = make_model(folder / "bundle")
    make_stage1(folder / "map", model)
    make_stage1(folder / "isa", model, pixels=True, vector=True, name="tiny-isa")
    make_triplets(folder / "triplets")
    make_text_triplets(folder / "texts.jsonl")
    return folder


@pytest.fixture(scope="module")
def foundation(tiny: Path) -> FrozenFoundation:
    return FrozenFoundation.load(tiny / "bundle")


def settings(tiny: Path, *more: str, cache: str = "cache") -> ComposeConfig:
    chosen = [
        f"model={tiny / 'bundle'}",
        f"start={tiny / 'map'}",
        f"text_triplets=['{tiny / 'texts.jsonl'}']",
        f"cache={tiny / cache}",
    ]
    return read_config(ComposeConfig, None, [*chosen, *SMALL, *more])


def both(tiny: Path, *more: str) -> ComposeConfig:
    return settings(tiny, f"triplets=['{tiny / 'triplets'}']", *more)


def run(config: ComposeConfig, out: Path) -> tuple[ComposerManifest, str]:
    said: list[str] = []
    return train_composing(config, out, said.append), "\n".join(said)


def losses(folder: Path) -> list[float]:
    lines = (folder / STAGE / METRICS).read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def no_gap(foundation: FrozenFoundation) -> ModalityGap:
    return ModalityGap.between(foundation, np.zeros((1, foundation.dimension), np.float32), None)


def reader(tiny: Path, foundation: FrozenFoundation, start: str, *, maps: bool) -> TextReader:
    composer = ComposerFolder.load(tiny / start / "composer")
    return TextReader(composer, foundation, no_gap(foundation), maps=maps)


def test_texts_are_moved_to_where_pictures_lie(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny", appearance=True)
    foundation = FrozenFoundation.load(tmp_path / "tiny")
    texts = foundation.model.encode_texts(["red", "blue", "a dog"])
    picture = np.linspace(-1, 1, foundation.dimension, dtype=np.float32)
    gap = ModalityGap.between(foundation, texts, picture)
    crossed = gap.crossed(torch.from_numpy(texts))
    meaning, appearance = crossed[:, :-APPEARANCE], crossed[:, -APPEARANCE:]
    length = (1 + WEIGHT**2) ** -0.5
    wanted = picture[:-APPEARANCE] / length - texts.mean(0)[:-APPEARANCE] + texts[0, :-APPEARANCE]

    assert torch.allclose(meaning.norm(dim=-1), torch.tensor(length), atol=1e-5)
    assert torch.allclose(appearance, torch.from_numpy(picture[-APPEARANCE:]).expand(3, -1))
    assert torch.allclose(
        functional.normalize(meaning[0], dim=-1),
        functional.normalize(torch.from_numpy(wanted), dim=-1),
        atol=1e-5,
    )


def test_a_mapping_reads_a_texts_vector(tiny: Path, foundation: FrozenFoundation) -> None:
    made = reader(tiny, foundation, "map", maps=True)
    vectors = foundation.encode_texts(TEXTS)
    tokens = made.tokens(TEXTS, vectors)
    graph = open_session(ComposerFolder.load(tiny / "map" / "composer").file("query.onnx"))
    (expected,) = graph.run(["tokens"], {"vector": vectors.numpy()})

    assert made.maps
    assert np.allclose(torch.stack(tokens), expected, atol=1e-5)
    noisy = [made.tokens(TEXTS, vectors, noise=1.0) for _ in range(2)]
    assert not torch.allclose(noisy[0][0], noisy[1][0])


@pytest.mark.parametrize("start", ["isa", "map"])
def test_words_stand_for_themselves(tiny: Path, foundation: FrozenFoundation, start: str) -> None:
    made = reader(tiny, foundation, start, maps=False)
    tokens = made.tokens(["a red dog", "dog", "a dog " * 20], foundation.encode_texts(["a"] * 3))

    assert not made.maps
    assert [len(one) for one in tokens] == [3, 1, foundation.model.texts.max_tokens // 2]
    assert torch.equal(tokens[0], foundation.embed(foundation.word_ids("a red dog")))


def test_a_start_on_pixels_maps_no_text(tiny: Path, foundation: FrozenFoundation) -> None:
    with pytest.raises(TrainingError, match=r"maps no vectors.*text_batch\.read=words"):
        reader(tiny, foundation, "isa", maps=True)


def test_how_many_texts_find_themselves_is_counted(
    tiny: Path, foundation: FrozenFoundation, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, vectors = reader(tiny, foundation, "map", maps=True), foundation.model.encode_texts(TEXTS)
    sentences = vectors[[0, 0]]
    encoder = type(foundation.model.texts)
    monkeypatch.setattr(encoder, "encode_spliced", lambda *_: (sentences, []))

    assert made.found(TEXTS, vectors) == 0.5


@pytest.mark.parametrize(
    ("found", "read", "told"),
    [
        (0.9, "auto", "90% of texts are found by what tiny-map maps them to: it reads texts so"),
        (0.1, "auto", "10% of texts are found by what tiny-map maps them to: it reads their own"),
        (0.1, "mapped", "it reads texts so"),
        (0.9, "words", "tiny-map reads the own words of texts"),
    ],
)
def test_a_mapping_that_says_nothing_of_texts_is_not_used(
    tiny: Path,
    tmp_path: Path,
    found: float,
    read: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(TextReader, "found", lambda *_: found)
    config = settings(tiny, f"text_batch.read={read}", "max_text_triplets=0")

    assert told in run(config, tmp_path / "run")[1]


def test_what_answers_a_question_is_no_negative(tiny: Path, foundation: FrozenFoundation) -> None:
    made = (
        TextTriplet("a red dog", "blue", "a blue dog", ""),
        TextTriplet("a dog", "blue", "a blue dog", ""),
        TextTriplet("a red dog", "blue", "a blue photo", ""),
        TextTriplet("a lamp", "red", "a red lamp", ""),
    )
    texts = tuple(dict.fromkeys(text for t in made for text in (t.reference, t.target)))
    vectors = TextVectors(texts, foundation.model.encode_texts(texts))
    config = TextBatchConfig(rows=4, alike=2, noise=0.0)
    readers = [reader(tiny, foundation, "map", maps=True)]
    batches = TextBatches(made, 4, 2, seed=0)
    batch = TextTraining(made, batches, vectors, readers, config).batch(1)
    order = batches.rows(1).tolist()
    back = np.argsort(order)
    valid = batch.valid.numpy()[back][:, [*back, 4]]

    assert valid[:, :4].tolist() == [
        [True, False, False, True],
        [False, True, True, True],
        [False, True, True, True],
        [True, True, True, True],
    ]
    assert valid[:, 4].all()
    assert np.allclose(batch.negatives[back[0], 0], vectors.of(["a red dog"])[0])
    without = TextTraining(made, batches, vectors, readers, config.changed(reference=0)).batch(1)
    assert without.negatives.shape[1] == 0
    assert without.valid.shape == (4, 4)


def test_texts_alone_make_a_composer(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(settings(tiny), tmp_path / "run")
    rows = [row["method"] for row in manifest.training["before_after"]]
    card = (tmp_path / "run" / "composer" / "README.md").read_text()

    assert manifest.kind == "adapted"
    assert manifest.moves is None
    assert manifest.training["train_triplets"] == 0
    assert manifest.training["train_text_triplets"] > 0
    assert manifest.settings == ComposerFolder.load(tiny / "map" / "composer").manifest.settings
    assert rows[-2:] == ["stage 1, sentence alone", "stage 2, sentence alone"]
    assert "held-out text triplets" in card
    assert "--text-triplets texts.jsonl" in card
    assert "text triplets: texts.jsonl" in card
    assert "dev/mean_recall" in said
    assert np.allclose(np.linalg.norm(composed(tmp_path / "run", tiny), axis=-1), 1.0, atol=1e-5)


def test_both_kinds_train_together_and_pictures_choose(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(both(tiny), tmp_path / "run")
    run(both(tiny, "text_batch.weight=0"), tmp_path / "weightless")
    figures = json.loads((tmp_path / "run" / STAGE / METRICS).read_text().splitlines()[0])

    assert manifest.moves is not None
    assert manifest.training["train_triplets"] > 0
    assert manifest.training["train_text_triplets"] > 0
    assert {"dev/mean_recall", "texts/mean_recall", "texts/recall@1"} <= figures.keys()
    assert "held-out triplets" in said
    assert losses(tmp_path / "run") != pytest.approx(losses(tmp_path / "weightless"), abs=1e-3)


def test_texts_alone_may_be_judged_by_pictures(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(both(tiny, "max_triplets=0"), tmp_path / "run")

    assert manifest.training["train_triplets"] == 0
    assert manifest.training["train_text_triplets"] > 0
    assert "texts/mean_recall" in said
    assert (tmp_path / "run" / STAGE / CHECKPOINT).exists()


def test_without_any_training_triplets_stage_1_comes_back(tiny: Path, tmp_path: Path) -> None:
    manifest, said = run(settings(tiny, "max_text_triplets=0"), tmp_path / "run")
    first, second = manifest.training["before_after"][-2:]

    assert "which is stage 1" in said
    assert [first[f"recall@{k}"] for k in (1, 5, 10)] == [second[f"recall@{k}"] for k in (1, 5, 10)]


@pytest.mark.parametrize("made", [settings, both])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tiny: Path, tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = made(tiny)
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


def test_a_start_on_pixels_takes_its_turn(tiny: Path, tmp_path: Path) -> None:
    starts = f"start=['{tiny / 'map'}', '{tiny / 'isa'}']"
    manifest, said = run(settings(tiny, starts), tmp_path / "run")
    second = ComposerFolder.load(tmp_path / "run" / "composer-tiny-isa").manifest

    assert second.input == "pixels"
    assert manifest.files["text.onnx"].sha256 == second.files["text.onnx"].sha256
    assert "dev/tiny-isa/mean_recall" in said
    assert "on the query side of tiny-isa:" in said


def test_only_what_steps_draw_is_encoded_and_only_once(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = type(load_model(tiny / "bundle"))
    encoded: list[str] = []
    real = model.encode_texts

    def counted(one: Any, texts: Any) -> Any:
        encoded.extend(texts)
        return real(one, texts)

    monkeypatch.setattr(model, "encode_texts", counted)
    few = ("loop.steps=1", "text_batch.rows=2", "dev=0.05", "held_out=0.05")
    made = settings(tiny, *few, "captions=[]", cache="other-cache")
    run(made.changed(composing=made.composing.changed(anchor_texts=0)), tmp_path / "one")
    every = {
        row
        for line in (tiny / "texts.jsonl").read_text().splitlines()
        for name, row in json.loads(line).items()
        if name in {"reference", "target"}
    }
    first = [text for text in encoded if text in every]
    assert 0 < len(set(first)) < len(every)


def test_lines_left_out_are_listed(tiny: Path, tmp_path: Path) -> None:
    lines = (tiny / "texts.jsonl").read_text() + '{"reference": "a dog"}\n'
    (tmp_path / "more.jsonl").write_text(lines)
    chosen = settings(tiny, f"text_triplets=['{tmp_path / 'more.jsonl'}']", "max_text_triplets=0")
    _, said = run(chosen, tmp_path / "run")

    assert "1 lines left out" in said
    assert f"line {lines.count(chr(10))}: no " in (tmp_path / "run" / LEFT_OUT).read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("text_triplets=['nowhere.jsonl']",), "no such file of text triplets"),
        (("text_triplets=[]",), "--text-triplets"),
        (("text_batch.rows=500",), "fewer than the 500 of a step"),
        (("text_batch.read=guessed",), "text_batch.read"),
        (("start=isa", "text_batch.read=mapped"), "text_batch.read=words"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    tiny: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    chosen = [one.replace("start=isa", f"start={tiny / 'isa'}") for one in more]
    with pytest.raises(ComposirError, match=message):
        run(settings(tiny, *chosen), tmp_path / "run")
