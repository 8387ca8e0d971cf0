"""Dev figures by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch.nn import functional  # noqa: E402

from composir.train.isa.dev_figures import (  # noqa: E402
    own_picture_figures,
    steering_figures,
)

pytestmark = pytest.mark.torch


def test_sentences_that_find_their_own_picture() -> None:
    vectors = torch.eye(3)
    figures = own_picture_figures(vectors[[0, 1, 1]], vectors)

    assert figures["image/recall@1"] == pytest.approx(200 / 3)
    assert figures["image/recall@10"] == 100.0
    assert figures["image/cosine"] == pytest.approx(2 / 3)


def test_a_query_that_copies_its_reference_finds_likeness_and_no_phrase() -> None:
    # Forty pictures on two angles: what they are like (first plane), what fits (second plane).
    angles = torch.arange(40) * 0.15
    alike = torch.stack([angles.cos(), angles.sin()], 1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    fits = alike[order]
    vectors = functional.normalize(torch.cat([alike, fits], 1), dim=1)
    phrase = functional.normalize(torch.tensor([[0.0, 0.0, 1.0, 0.0]]), dim=1)
    reference = torch.tensor([20])
    copied = functional.normalize(torch.cat([alike[:1] * 0, alike[:1] * 0], 1) + vectors[20], dim=1)
    figures = {
        name: steering_figures("q", query, reference, phrase, vectors)
        for name, query in {"copy": copied, "text": phrase}.items()
    }

    assert figures["copy"]["q/like@10"] == 100.0
    assert figures["text"]["q/phrase@10"] == 100.0
    assert figures["copy"]["q/phrase@10"] < 60.0
    assert figures["text"]["q/both@10"] <= figures["text"]["q/like@10"]
