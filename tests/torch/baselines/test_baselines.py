"""Pic2Word and text-only mapping: what they are, what they leave behind, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.compose import QueryBatch, open_trained  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.baselines.pic2word import PRESET, train_pic2word  # noqa: E402
from composir.train.baselines.text_only import (  # noqa: E402  # noqa: E402  # noqa: E402
    GAP,
    TextMapConfig,
    TextMapTask,
    TextObjective,
    gapped,
    train_text_map,
    with_gaps,
)
from composir.train.config import read_config  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.loop import LoopConfig  # noqa: E402
from composir.train.mapping.caption_bank import neutral_phrases  # noqa: E402
from composir.train.mapping.mapper import Mapper, MapperConfig  # noqa: E402
from composir.train.mapping.recipe import MapConfig  # noqa: E402
from composir.train.source_pictures import PictureSources  # noqa: E402
from tests.torch.mapping.data import write_data_set, write_queries  # noqa: E402
from tests.torch.towers import make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
LOOP = LoopConfig(steps=2, warmup=1, evaluate_every=2, checkpoint_every=2)
PLAIN = MapperConfig(width=32, injection_layers=0)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    make_bundle(folder)
    return folder


def text_config(bundle: Path, folder: Path) -> TextMapConfig:
    return TextMapConfig(
        model=str(bundle),
        sources=PictureSources(data=(folder / "own",)),
        cache=folder / "cache",
        mapper=PLAIN,
        objective=TextObjective(batch=4),
        loop=LOOP,
    )


def test_pic2word_is_a_mapper_of_vectors_named_so(bundle: Path, tmp_path: Path) -> None:
    own = write_data_set(tmp_path / "own")
    asked = [f'model="{bundle}"', f'sources.data=["{own}"]', f'cache="{tmp_path / "cache"}"']
    small = ["mapper.width=32", "objective.batch=6", "loop.steps=2", "loop.warmup=1"]
    config = read_config(MapConfig, None, [*PRESET, *asked, *small])
    manifest = train_pic2word(config, tmp_path / "run", lambda _: None)
    model = load_model(bundle)
    vectors = model.encode_texts(["a dog", "a lamp"])
    composed = open_trained(tmp_path / "run" / "composer", model).compose(
        QueryBatch(("in blue", "red"), vectors)
    )

    assert (manifest.name, manifest.kind, manifest.input) == ("pic2word", "pseudo_word", "vector")
    assert composed.vectors.shape == (2, 1, model.dimension)
    assert "2302.03084" in (tmp_path / "run" / "composer" / "README.md").read_text()


def test_pic2word_with_more_than_that_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="use `composir train map`"):
        train_pic2word(MapConfig(), tmp_path, lambda _: None)


def test_text_map_trains_on_captions_and_serves_pictures(bundle: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "own")
    dev = write_queries(write_data_set(tmp_path / "dev", 12))
    config = text_config(bundle, tmp_path).changed(dev=(dev,))
    manifest = train_text_map(config, tmp_path / "run", lambda _: None)
    model = load_model(bundle)
    batch = QueryBatch(("in blue",), model.encode_texts(["a dog"]))

    assert (manifest.name, manifest.kind, manifest.input) == ("text-map", "pseudo_word", "vector")
    assert open_trained(tmp_path / "run" / "composer", model).compose(batch).vectors.shape[0] == 1
    assert manifest.training["blend"]["by_dev_set"].keys() == {"dev"}
    assert [source.name for source in manifest.sources] == ["model tiny", "own"]


def test_text_map_takes_plain_text_files_and_no_pictures(bundle: Path, tmp_path: Path) -> None:
    lines = tmp_path / "captions.txt"
    lines.write_text("a red lamp\n\na blue dog of a photo\n")
    config = text_config(bundle, tmp_path).changed(sources=PictureSources(), texts=(lines,))

    assert train_text_map(config, tmp_path / "run", lambda _: None).tokens == 1
    missing = config.changed(texts=(tmp_path / "none.txt",))
    with pytest.raises(TrainingError, match=r"none\.txt: this file is missing"):
        train_text_map(missing, tmp_path / "other", lambda _: None)


def test_text_map_without_captions_or_with_injection_says_what_to_do(
    bundle: Path, tmp_path: Path
) -> None:
    config = text_config(bundle, tmp_path)
    with pytest.raises(TrainingError, match="no captions"):
        train_text_map(config.changed(sources=PictureSources()), tmp_path / "run", lambda _: None)
    with pytest.raises(TrainingError, match="sees no patches"):
        train_text_map(config.changed(mapper=MapperConfig()), tmp_path / "other", lambda _: None)


def test_gaps_filled_with_the_words_own_embeddings_give_the_caption_back(bundle: Path) -> None:
    foundation = FrozenFoundation.load(bundle)
    captions = gapped(foundation, ["a photo of a lamp", "a dog", "of a"])
    mapper = Mapper(
        foundation.dimension, foundation.word_statistics(neutral_phrases()), None, PLAIN
    )
    vectors = foundation.encode_texts([caption.text for caption in captions])
    objective = TextObjective(batch=2)
    task = TextMapTask(foundation, mapper, (captions, []), (vectors, vectors[:0]), objective, 0)
    words = torch.stack([foundation.embed(foundation.word_ids(w)) for w in ("lamp", "dog")])

    assert [caption.text for caption in captions] == ["a photo of a lamp", "a dog"]
    assert torch.allclose(task.filled(captions, words), vectors, atol=1e-5)
    assert task.evaluate() == {}


def test_fewer_captions_than_a_batch_are_refused(bundle: Path) -> None:
    foundation = FrozenFoundation.load(bundle)
    mapper = Mapper(
        foundation.dimension, foundation.word_statistics(neutral_phrases()), None, PLAIN
    )
    captions = gapped(foundation, ["a dog"])
    vectors = foundation.encode_texts(["a dog"])
    with pytest.raises(TrainingError, match=r"1 captions .* batch of 256"):
        TextMapTask(foundation, mapper, (captions, []), (vectors, vectors), TextObjective(), 0)


@pytest.mark.parametrize(
    ("caption", "parts"),
    [
        ("a brown dog runs through the tall grass", ["a", GAP, "through the", GAP]),
        ("A photo of the T-shirt, in red.", ["A photo of the", GAP, ", in", GAP, "."]),
        ("lamp", [GAP]),
        ("of the", ["of the"]),
        ("", []),
    ],
)
def test_runs_of_content_words_become_one_gap(caption: str, parts: list[str | None]) -> None:
    assert with_gaps(caption) == parts
