"""Dev figures by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch.nn import functional  # noqa: E402

from composir.train.isa.dev_figures import (  # noqa: E402
    own_picture_figures,
    slot_figures,
    steering_figures,
)

pytestmark = pytest.mark.torch


def test_sentences_that_find_their_own_picture() -> None:
    vectors = torch.eye(3)
    figures = own_picture_figures(vectors[[0, 1, 1]], vectors)

    assert figures["image/recall@1"] == pytest.approx(200 / 3)
    assert figures["image/recall@10"] == 100.0
    assert figures["image/cosine"] == pytest.approx(2 / 3)


def test_one_word_several_times_is_told_from_several_words() -> None:
    copies = torch.eye(3)[:, None].expand(-1, 2, -1)
    # What every picture's token has in common is no likeness.
    several = torch.stack([torch.eye(3), 7 + torch.eye(3)[[1, 2, 0]]], dim=1)
    maps = torch.tensor([[[1.0, 0.0], [0.5, 0.5]]]).expand(3, -1, -1)
    vectors = torch.eye(3)
    one = slot_figures(copies, maps, vectors, vectors, vectors)
    two = slot_figures(several, maps, vectors, vectors[[1, 2, 2]], vectors)

    assert one["slots/cosine"] == pytest.approx(1.0)
    assert two["slots/cosine"] == pytest.approx(-0.5)
    assert one["slots/overlap"] == pytest.approx(0.5**0.5)
    assert one["slots/entropy"] == pytest.approx(0.5)
    assert (one["averaged/cosine"], one["averaged/fall@1"]) == (1.0, 0.0)
    assert two["averaged/cosine"] == pytest.approx(1 / 3)
    assert two["averaged/fall@1"] == pytest.approx(200 / 3)


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
