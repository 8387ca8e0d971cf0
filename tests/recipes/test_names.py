"""Names that the trunk's classifier has for a picture, in its vector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from classes import Likely, class_texts  # noqa: E402
from contrast import Bank  # noqa: E402
from corpus import TrainingPicture  # noqa: E402
from names import NamesTask, name_vectors  # noqa: E402
from settings import NamesConfig  # noqa: E402
from texts import TextBank  # noqa: E402

from composir.foundation.name_part import NamePart  # noqa: E402
from composir.train.isa.efficientnet_lite import HEAD_CHANNELS  # noqa: E402
from composir.train.loop import LoopConfig, train  # noqa: E402
from tests.torch.towers import (  # noqa: E402
    give_names,
    image_tower,
    text_tower,
    tokenizer,
    words,
)

pytestmark = pytest.mark.torch


def test_a_picture_moves_towards_the_names_by_how_sure_they_are() -> None:
    part = NamePart(channels=1, classes=2, dimension=3)
    with torch.no_grad():
        part.classify.weight.copy_(torch.tensor([[1.0], [0.0]]))
        part.classify.bias.copy_(torch.tensor([0.0, np.log(3.0)]))
        part.names.weight.copy_(torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]))
        meaning = torch.tensor([[1.0, 0.0, 0.0]]).repeat(2, 1)
        made = part(meaning, torch.tensor([[0.0], [100.0]]))

    unsure, sure = np.array([1.0, 0.5, 1.5]), np.array([1.0, 2.0, 0.0])
    expected = [one / np.linalg.norm(one) for one in (unsure, sure)]
    np.testing.assert_allclose(made.numpy(), expected, atol=1e-6)


def test_a_tower_reads_names_where_its_head_looks_first() -> None:
    image = image_tower()
    give_names(image)
    assert image.names is not None
    features = torch.rand(2, HEAD_CHANNELS, 2, 2, generator=torch.Generator().manual_seed(0))
    features[:, 0] = 0.0
    features[:, 0, 1, 0] = 1.0  # the place that the first attention looks at, and no other
    with torch.no_grad():
        image.head.attention.weight[0] = torch.eye(1, HEAD_CHANNELS)[0] * 100.0
        meaning = image.head(features)
        told = image.from_map(features, torch.zeros(2, 0))
        there = image.names(meaning, features[:, :, 1, 0])
        elsewhere = image.names(meaning, features.mean(dim=(2, 3)))

    np.testing.assert_allclose(told.numpy(), there.numpy(), atol=1e-5)
    assert float((told - elsewhere).abs().max()) > 1e-3


def test_the_classifier_learns_again_what_the_published_one_said(tmp_path: Path) -> None:
    """Averages say the class by their sign; the classifier starts with both the wrong way round."""
    signs = np.resize([1.0, -1.0], 40).astype(np.float32)
    pictures = [
        TrainingPicture("shop", Path(f"{row}.jpg"), ("a",), "dev" if row < 8 else "train")
        for row in range(40)
    ]
    likely = Likely(torch.tensor(signs < 0).long()[:, None], torch.ones(40, 1))
    part = NamePart(channels=1, classes=2, dimension=3)
    with torch.no_grad():
        part.classify.weight.copy_(torch.tensor([[-0.5], [0.5]]))
        part.classify.bias.zero_()
    config = NamesConfig(rate=0.1, batch=16, dropout=0.0)
    bank = {"shop": Bank(pictures, [], likely)}
    task = NamesTask(part, bank, {"shop": signs[:, None]}, config, seed=0)

    assert task.evaluate() == {"names/same": 0.0}
    figures = train(task, LoopConfig(steps=60, warmup=1, weight_decay=0.0), tmp_path)
    assert figures == {"names/same": 100.0}


def test_vectors_of_names_leave_out_what_all_have_in_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("texts.load_tokenizer", tokenizer)
    names, text = ["lamp", "dog", "red lamp"], text_tower()
    wordings = [one for some in class_texts(names) for one in some]
    bank = TextBank(text, words(), wordings, 1)
    vectors = name_vectors(text, bank, names)

    assert vectors.shape == (3, text.spec.dimension)
    np.testing.assert_allclose(vectors.sum(dim=0).numpy(), 0.0, atol=1e-5)
    plain = bank.encode(text, [bank.index["a photo of a dog"]], trained=True).detach()
    assert int((vectors @ plain[0]).argmax()) == 1
