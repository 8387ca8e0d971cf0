"""The torch side of a bundle equals its runtime side, for texts and for spliced sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("onnx", reason="needs the train extra")

from composir.compose.template import filled  # noqa: E402
from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.frozen import FrozenFoundation, load_text_tower  # noqa: E402
from composir.train.sentences import encode_sentences  # noqa: E402
from tests.torch.towers import TEXT, make_bundle  # noqa: E402

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]
TEXTS = ["a red lamp", "a photo of a blue dog", "red"]


@pytest.fixture
def foundation(tmp_path: Path) -> FrozenFoundation:
    make_bundle(tmp_path / "tiny")
    return FrozenFoundation.load(tmp_path / "tiny")


def test_the_torch_tower_gives_the_runtimes_vectors(foundation: FrozenFoundation) -> None:
    opening, closing = foundation.frame
    for text in TEXTS:
        words = foundation.embed([*opening, *foundation.word_ids(text), *closing])[None]
        ours = foundation.text(words, torch.ones(1, words.shape[1]))[0]
        assert np.abs(ours.numpy() - foundation.encode_texts([text]).numpy()).max() < 1e-5


def test_words_count_as_often_as_texts_use_them(foundation: FrozenFoundation) -> None:
    red, lamp = (foundation.embed(foundation.word_ids(word)).mean(0) for word in ("red", "lamp"))
    often = foundation.word_statistics(["red lamp", "red", "red"])

    assert len(foundation.word_ids("red")) == len(foundation.word_ids("lamp")) == 1
    assert torch.allclose(often.mean, (3 * red + lamp) / 4, atol=1e-6)
    assert torch.allclose(often.deviation, (red - lamp).abs() * 3**0.5 / 4, atol=1e-6)
    assert often.norm == pytest.approx(float((3 * red.norm() + lamp.norm()) / 4))


def test_spliced_sentences_equal_the_runtimes(foundation: FrozenFoundation) -> None:
    tokens = torch.randn(3, 2, TEXT.width) * 0.1
    template = "a photo of {} that {text}"
    ours = encode_sentences(foundation, foundation.text, template, tokens, TEXTS)
    filled = [template.replace("{text}", text) for text in TEXTS]
    theirs, states = foundation.model.texts.encode_spliced(filled, list(tokens.numpy()))

    assert np.abs(ours.vectors.numpy() - theirs).max() < 1e-5
    assert ours.start.tolist() == [4, 4, 4]
    for row, state in enumerate(states):
        assert int(ours.mask[row].sum()) == len(state)
        assert np.abs(ours.states[row, : len(state)].numpy() - state).max() < 1e-4


def test_a_lone_star_is_the_place_of_the_pseudo_words_as_in_a_search(
    foundation: FrozenFoundation,
) -> None:
    template = "a photo of {} that {text}"
    texts = ["a dog of *", "* of a red lamp, * of a dog", "red", "a dog of {}", "a*b of 5*"]
    tokens = torch.randn(len(texts), 2, TEXT.width) * 0.1
    ours = encode_sentences(foundation, foundation.text, template, tokens, texts)
    asked = [filled(template, text) for text in texts]
    theirs, _ = foundation.model.texts.encode_spliced(asked, list(tokens.numpy()))

    assert np.abs(ours.vectors.numpy() - theirs).max() < 1e-5
    assert ours.start.tolist() == [4, 1, 4, 4, 4]


def test_a_modification_too_long_before_its_star_is_named(foundation: FrozenFoundation) -> None:
    text = "red " * 20 + "*"
    with pytest.raises(TrainingError, match=r"do not fit 16 tokens after 'red red .*shorten"):
        encode_sentences(
            foundation, foundation.text, "{} that {text}", torch.zeros(1, 1, TEXT.width), [text]
        )


def test_a_real_words_own_embedding_gives_that_words_vector(foundation: FrozenFoundation) -> None:
    lamp = foundation.embed(foundation.word_ids("lamp"))[None]
    ours = encode_sentences(foundation, foundation.text, "a photo of {}", lamp)

    expected = foundation.encode_texts(["a photo of lamp"])
    assert (ours.vectors - expected).abs().max() < 1e-5


def test_gradients_reach_the_pseudo_words_and_no_weight(foundation: FrozenFoundation) -> None:
    tokens = (torch.randn(2, 1, TEXT.width) * 0.1).requires_grad_()
    encoded = encode_sentences(foundation, foundation.text, "a {}", tokens)
    encoded.vectors.sum().backward()  # type: ignore[no-untyped-call]

    assert tokens.grad is not None
    assert float(tokens.grad.abs().sum()) > 0
    assert all(parameter.grad is None for parameter in foundation.text.parameters())


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "{} that {text}"])
def test_templates_without_their_places_are_refused(
    foundation: FrozenFoundation, template: str
) -> None:
    with pytest.raises(TrainingError, match="needs one"):
        encode_sentences(foundation, foundation.text, template, torch.zeros(1, 1, TEXT.width))


def test_too_many_pseudo_words_are_refused(foundation: FrozenFoundation) -> None:
    with pytest.raises(TrainingError, match="do not fit 16 tokens"):
        encode_sentences(foundation, foundation.text, "a {}", torch.zeros(1, 15, TEXT.width))


def test_a_graph_without_names_cannot_be_trained_through(tmp_path: Path) -> None:
    import onnx

    make_bundle(tmp_path / "tiny")
    bundle = load_model(tmp_path / "tiny").bundle
    path = bundle.folder / bundle.manifest.text.graph
    model = onnx.load(str(path))
    del model.graph.initializer[:]
    onnx.save(model, str(path))
    bundle.file = lambda name: bundle.folder / name  # type: ignore[method-assign]

    with pytest.raises(TrainingError, match="cannot be trained through"):
        load_text_tower(bundle)
