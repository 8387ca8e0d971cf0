"""Training through text towers of other families: torch reads what the runtime reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.compose import QueryBatch, open_trained  # noqa: E402
from composir.compose.trained import ComposerManifest  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.model import Model, load_model  # noqa: E402
from composir.train.baselines.text_map_task import TextObjective  # noqa: E402
from composir.train.baselines.text_only import TextMapConfig, train_text_map  # noqa: E402
from composir.train.composing.config import ComposeConfig  # noqa: E402
from composir.train.composing.recipe import train_composing  # noqa: E402
from composir.train.config import read_config  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.isa.recipe import IsaConfig, train_isa  # noqa: E402
from composir.train.loop import LoopConfig  # noqa: E402
from composir.train.mapping.mapper import MapperConfig  # noqa: E402
from composir.train.mapping.recipe import MapConfig, train_map  # noqa: E402
from composir.train.mapping.task import MapObjective  # noqa: E402
from composir.train.pictures import PictureSources  # noqa: E402
from composir.train.sentences import encode_sentences, read_embedded  # noqa: E402
from tests.torch.composing.test_composing_recipe import SMALL  # noqa: E402
from tests.torch.composing.tiny_start import make_stage1, make_triplets  # noqa: E402
from tests.torch.family_towers import FAMILIES, make_family_bundle  # noqa: E402
from tests.torch.isa.makers import LEARNER, OBJECTIVE, pictures  # noqa: E402
from tests.torch.mapping.data import write_data_set  # noqa: E402
from tests.torch.towers import TEXT, make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
LOOP = LoopConfig(steps=2, warmup=1, evaluate_every=2, checkpoint_every=2)
TEXTS = ["a red lamp", "red", "a blue dog " * 6]  # the last is too long for 16 tokens


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "bundle"
    make_bundle(folder)
    return folder


@pytest.fixture(scope="module", params=FAMILIES)
def home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, plain: Path
) -> Path:
    """A bundle, and what trainers read."""
    folder = tmp_path_factory.mktemp(request.param)
    make_family_bundle(folder / "bundle", request.param, plain)
    pictures(folder / "photos", 12)
    write_data_set(folder / "own")
    make_triplets(folder / "triplets")
    return folder


@pytest.fixture
def foundation(home: Path) -> FrozenFoundation:
    return FrozenFoundation.load(home / "bundle")


def test_spliced_sentences_are_the_runtimes(foundation: FrozenFoundation) -> None:
    tokens = torch.randn(3, 2, TEXT.width) * 0.1
    template = "a photo of {} that {text}"
    ours = encode_sentences(foundation, foundation.text, template, tokens, TEXTS)
    asked = [template.replace("{text}", text) for text in TEXTS]
    theirs, states = foundation.model.texts.encode_spliced(asked, list(tokens.numpy()))

    assert np.abs(ours.vectors.numpy() - theirs).max() < 1e-4
    for row, state in enumerate(states):
        own = ours.states[row][ours.mask[row] > 0].numpy()
        assert np.abs(own - state).max() < 1e-3
        start = int(ours.start[row])
        assert np.abs(ours.states[row, start].numpy() - state[start]).max() < 1e-3
    assert len({len(state) for state in states}) == 3


def test_plain_sentences_are_the_runtimes(foundation: FrozenFoundation) -> None:
    ids = foundation.model.texts.tokenise(TEXTS)
    read = read_embedded(foundation, foundation.text, [foundation.embed(row) for row in ids])

    gap = (read.vectors - foundation.encode_texts(TEXTS)).abs().max()
    assert float(gap) < 1e-4


def test_gradients_reach_pseudo_words_and_no_weight(foundation: FrozenFoundation) -> None:
    tokens = (torch.randn(2, 1, TEXT.width) * 0.1).requires_grad_()
    read = encode_sentences(foundation, foundation.text, "a {}", tokens)
    read.vectors[:, 0].sum().backward()  # type: ignore[no-untyped-call]

    assert tokens.grad is not None
    assert (tokens.grad.abs().sum(dim=(1, 2)) > 0).all()
    assert all(parameter.grad is None for parameter in foundation.text.parameters())


def test_pseudo_words_that_do_not_fit_are_refused(foundation: FrozenFoundation) -> None:
    with pytest.raises(TrainingError, match="16 pseudo-words do not fit 16 tokens"):
        encode_sentences(foundation, foundation.text, "{}", torch.zeros(1, 16, TEXT.width))


def test_padding_before_a_sentence_moves_its_places(tmp_path: Path, plain: Path) -> None:
    model = make_family_bundle(tmp_path / "bundle", "siglip", plain)
    text = model.manifest.text
    framing = text.framing.model_copy(update={"padding_side": "left"})  # type: ignore[union-attr]
    changed = {"text": text.model_copy(update={"framing": framing})}
    model.bundle.manifest = model.manifest.model_copy(update=changed)
    foundation = FrozenFoundation(model, FrozenFoundation.load(tmp_path / "bundle").text)
    tokens = torch.randn(1, 2, TEXT.width) * 0.1
    ours = encode_sentences(foundation, foundation.text, "a photo of {} red", tokens)
    theirs, states = model.texts.encode_spliced(["a photo of {} red"], [tokens[0].numpy()])

    assert np.abs(ours.vectors.numpy() - theirs).max() < 1e-4
    assert ours.start.tolist() == [16 - 7 + 3]
    assert np.abs(ours.states[0, 12].numpy() - states[0][3]).max() < 1e-3


# --- Trainers -------------------------------------------------------------------------------------


def check_query(folder: Path, model: Model) -> None:
    """The composer answers, and both the reference and the words count."""
    composer = open_trained(folder, model)
    vectors = np.eye(model.dimension, dtype=np.float32)
    asked = [("red", 0, "green"), ("blue", 0, "green"), ("red", 1, "white")]
    found = []
    for text, row, colour in asked:
        picture = Image.new("RGB", (40, 40), colour)
        batch = QueryBatch((text,), vectors[row : row + 1], [picture.copy])
        found.append(composer.compose(batch).vectors[0, 0])
    assert np.linalg.norm(found[0]) == pytest.approx(1.0, abs=1e-4)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    assert np.abs(found[0] - found[2]).max() > 1e-4


def text_map(home: Path, out: Path) -> ComposerManifest:
    own = PictureSources(data=(home / "own",))
    config = TextMapConfig(
        model=str(home / "bundle"),
        sources=own,
        cache=home / "cache",
        mapper=MapperConfig(width=32, injection_layers=0),
        objective=TextObjective(batch=4),
        loop=LOOP,
    )
    return train_text_map(config, out, lambda _: None)


def mapping(home: Path, out: Path) -> ComposerManifest:
    config = MapConfig(
        model=str(home / "bundle"),
        sources=PictureSources(data=(home / "own",), dev_share=0.2),
        cache=home / "cache",
        mapper=MapperConfig(width=32, injection_heads=2, injection_width=16),
        objective=MapObjective(batch=6, negatives=4, bank=8),
        loop=LOOP,
    )
    return train_map(config, out, lambda _: None)


def isa(home: Path, out: Path) -> ComposerManifest:
    config = IsaConfig(
        images=(str(home / "photos"),),
        model=str(home / "bundle"),
        side="symmetric",
        cache=home / "cache",
        token_learner=LEARNER,
        objective=OBJECTIVE,
        dev_share=0.3,
        loop=LOOP,
    )
    return train_isa(config, out, lambda _: None)


def stage2(home: Path, out: Path) -> ComposerManifest:
    make_stage1(out.parent / "map", load_model(home / "bundle"))
    chosen = [
        f"model={home / 'bundle'}",
        f"start={out.parent / 'map'}",
        f"triplets=['{home / 'triplets'}']",
        f"cache={home / 'cache'}",
    ]
    return train_composing(read_config(ComposeConfig, None, [*chosen, *SMALL]), out, lambda _: None)


@pytest.mark.parametrize("trainer", [text_map, mapping, isa, stage2])
def test_every_trainer_gives_a_composer_that_answers(
    home: Path, tmp_path: Path, trainer: Any
) -> None:
    manifest = trainer(home, tmp_path / "run")
    model = load_model(home / "bundle")

    assert manifest.text == model.text_checksum
    check_query(tmp_path / "run" / "composer", model)
