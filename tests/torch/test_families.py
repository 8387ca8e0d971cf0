"""Training through text towers of other families: torch reads what the runtime reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.compose import QueryBatch, load_composer  # noqa: E402
from composir.compose.spliced import SplicedComposer  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.model.bundle import MANIFEST_NAME  # noqa: E402
from composir.model.image_encoder import ImageEncoder  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.sentences import encode_sentences, read_embedded  # noqa: E402
from composir.types import FloatArray, PixelArray  # noqa: E402
from tests.torch.family_towers import FAMILIES, make_family_bundle  # noqa: E402
from tests.torch.towers import TEXT, make_bundle  # noqa: E402
from tests.torch.trainers import TRAINERS, Trainer, check_query, write_data  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
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
    write_data(folder)
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


@pytest.mark.parametrize("trainer", TRAINERS.values(), ids=TRAINERS)
def test_every_trainer_gives_a_composer_that_answers(
    home: Path, tmp_path: Path, trainer: Trainer
) -> None:
    manifest = trainer(home, tmp_path / "run")
    model = load_model(home / "bundle")

    assert manifest.text == model.text_checksum
    check_query(tmp_path / "run" / "composer", model)


@pytest.mark.parametrize("name", ["map", "isa, symmetric"])
def test_patches_need_not_be_a_square(
    tmp_path: Path, plain: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six patches as two rows of three: of an encoder whose pictures are wider than high."""
    real = ImageEncoder.encode_patches

    def wide(encoder: ImageEncoder, pixels: PixelArray) -> tuple[FloatArray, FloatArray]:
        vectors, patches = real(encoder, pixels)
        return vectors, np.concatenate([patches, patches[:, :2] + 1.0], axis=1)

    monkeypatch.setattr(ImageEncoder, "encode_patches", wide)
    make_family_bundle(tmp_path / "bundle", "clip", plain)
    write_data(tmp_path)
    with pytest.raises(TrainingError, match=r"6 patch tokens, which are no grid of 2 x 2"):
        TRAINERS[name](tmp_path, tmp_path / "refused")
    fields = json.loads((tmp_path / "bundle" / MANIFEST_NAME).read_text())
    fields["image"]["grid"] = [2, 3]
    (tmp_path / "bundle" / MANIFEST_NAME).write_text(json.dumps(fields))
    TRAINERS[name](tmp_path, tmp_path / "run")
    model = load_model(tmp_path / "bundle")
    composer = load_composer(tmp_path / "run" / "composer", model)
    picture = Image.new("RGB", (40, 40), "green")
    assert isinstance(composer, SplicedComposer)
    found = composer.tokens(QueryBatch(("red",), model.encode_images([picture]), [picture.copy]))

    assert found.attention is not None
    assert found.attention.shape[2:] == (2, 3)
