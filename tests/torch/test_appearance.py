"""The appearance part: what it changes where pictures meet, and nothing where texts meet them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from torch import Tensor  # noqa: E402

from composir.errors import TrainingError  # noqa: E402
from composir.model import load_model  # noqa: E402
from composir.train.foundation.appearance import (  # noqa: E402
    Appearance,
    AppearanceConfig,
    kin_loss,
    meaning_part,
)
from composir.train.foundation.appearance_task import (  # noqa: E402
    draw_kin,
    find_kin,
    train_appearance,
)
from composir.train.foundation.corpus import Split, TrainingPicture  # noqa: E402
from composir.train.foundation.task import Bank  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.isa.light_vector import LightVector, LightVectorConfig  # noqa: E402
from composir.train.loop import LoopConfig  # noqa: E402
from tests.torch.towers import (  # noqa: E402
    APPEARANCE,
    DIMENSION,
    SIZE,
    WEIGHT,
    image_tower,
    make_bundle,
    text_tower,
)

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def unit(*shape: int) -> Tensor:
    rows: Tensor = torch.randn(*shape)
    unit_rows: Tensor = rows / rows.norm(dim=-1, keepdim=True)
    return unit_rows


def test_texts_meet_the_meaning_alone_and_pictures_both() -> None:
    torch.manual_seed(0)
    part, meaning, pooled = Appearance(6, 3, weight=2.0), unit(4, 5), torch.randn(4, 6)
    whole = part.beside(meaning, pooled)
    texts = torch.nn.functional.pad(unit(7, 5), (0, 3))
    shrunk = 1.0 / math.sqrt(1.0 + 2.0**2)

    torch.testing.assert_close(whole.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(whole @ texts.T, shrunk * meaning @ texts[:, :5].T)
    alike = (meaning @ meaning.T + 4.0 * part(pooled) @ part(pooled).T) / 5.0
    torch.testing.assert_close(whole @ whole.T, alike)
    torch.testing.assert_close(meaning_part(whole, 3)[:, :5], meaning)
    assert meaning_part(whole, 3)[:, 5:].abs().max() == 0.0
    assert meaning_part(whole, 0) is whole


def test_the_contrast_of_kin_by_hand() -> None:
    """Two pairs that are all orthogonal to each other, each its own partner."""
    rows = torch.eye(2)
    two = math.log(1.0 + math.exp(-1.0 / 0.5))

    apart = kin_loss(rows, rows, torch.tensor([0, 1]), temperature=0.5)
    assert float(apart) == pytest.approx(two, abs=1e-6)
    # Of one group they are no negatives, and nothing is left to be wrong.
    assert float(kin_loss(rows, rows, torch.tensor([3, 3]), 0.5)) == pytest.approx(0.0, abs=1e-6)


def test_it_starts_centred_and_white() -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((400, 6)) * [9, 5, 3, 1, 0.5, 0.1] + 7).astype(np.float32)
    part = Appearance(6, 4, 1.0)
    part.start(features)
    with torch.no_grad():
        made = part.project(torch.from_numpy(features)).numpy()

    np.testing.assert_allclose(made.mean(0), 0.0, atol=1e-4)
    spread = np.cov(made.T)
    np.testing.assert_allclose(spread / spread[0, 0], np.eye(4), atol=1e-3)


def pictures(count: int) -> list[TrainingPicture]:
    """Things in three colours; every fourth thing is for dev; one picture has no kin."""
    made = []
    for row in range(count):
        thing, colour = divmod(row, 3)
        split: Split = "dev" if thing % 4 == 0 else "train"
        kin = (f"thing {thing}", f"colour {colour}")
        made.append(TrainingPicture("shop", Path(f"{row}.jpg"), ("a thing",), split, kin=kin))
    return [*made, TrainingPicture("shop", Path("alone.jpg"), ("a thing",), "train")]


def test_kin_are_pairs_of_two_variants_in_one_split() -> None:
    bank = Bank(pictures(24), [])
    kin = find_kin(bank, "train")
    pairs, groups = draw_kin(kin, 20, np.random.default_rng(0))

    assert list(kin) == [f"thing {n}" for n in (1, 2, 3, 5, 6, 7)]
    assert len(pairs) == 20
    assert set(groups.tolist()) == set(range(6))
    for (left, right), group in zip(pairs, groups.tolist(), strict=True):
        first, second = bank.pictures[left].kin, bank.pictures[right].kin
        assert first is not None
        assert second is not None
        assert first[0] == second[0] == list(kin)[group]
        assert first[1] != second[1]


def things(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    """Lower features in which a thing's own pattern is drowned by its colour's."""
    shape = image_tower().trunk.lower(torch.zeros(1, 3, SIZE, SIZE)).shape[1:]
    rng = np.random.default_rng(0)
    own, colour = rng.random((rows, *shape)), rng.random((3, *shape))
    made = [own[row // 3] + 2.0 * colour[row % 3] for row in range(rows)]
    return np.stack([*made, own[-1]]).astype(np.float16)


def test_training_finds_a_thing_in_another_colour(tmp_path: Path) -> None:
    towers = image_tower(), text_tower()
    bank = Bank(pictures(60), [things(60)])
    config = AppearanceConfig(width=24, kin={"shop": 8}, views={"shop": 8}, rate=3e-3, dropout=0.0)
    figures = [
        train_appearance(
            towers,
            {"shop": bank},
            config,
            LoopConfig(steps=steps, warmup=1, average=0.5),
            tmp_path / str(steps),
            0,
            lambda _: None,
        )["shop/kin@1"]
        for steps in (1, 60)
    ]

    assert figures[1] > figures[0]
    assert towers[0].appearance is not None
    assert towers[1].head.appearance == 24
    assert not any(p.requires_grad for p in towers[0].head.parameters())


def test_a_source_without_kin_is_refused(tmp_path: Path) -> None:
    bank = Bank([TrainingPicture("shop", Path("a.jpg"), ("a",), "train")], [things(3)[:1]])
    config = AppearanceConfig(width=4, kin={"shop": 2}, views={})
    with pytest.raises(TrainingError, match="no kin among the training pictures of shop"):
        train_appearance(
            (image_tower(), text_tower()),
            {"shop": bank},
            config,
            LoopConfig(steps=1),
            tmp_path,
            0,
            lambda _: None,
        )


def test_a_bundle_carries_it_to_search_and_training(tmp_path: Path) -> None:
    image, _ = make_bundle(tmp_path / "tiny", appearance=True)
    model = load_model(tmp_path / "tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    with torch.no_grad():
        ours = image((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0)
    vectors = model.encode_pixels(pixels)
    texts = model.encode_texts(["red lamp", "a dog"])

    assert vectors.shape == (3, DIMENSION + APPEARANCE) == (3, model.dimension)
    np.testing.assert_allclose(vectors, ours.numpy(), atol=0.02)  # int8 weights
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    assert not texts[:, DIMENSION:].any()

    foundation = FrozenFoundation.load(tmp_path / "tiny")
    assert foundation.appearance == APPEARANCE
    words = foundation.embed([2, *foundation.word_ids("red lamp"), 3])[None]
    trained, _ = foundation.text(words, torch.ones(1, words.shape[1]))
    np.testing.assert_allclose(trained[0].numpy(), texts[0], atol=1e-4)
    shares = np.square(vectors[:, DIMENSION:]).sum(axis=1)
    np.testing.assert_allclose(shares, WEIGHT**2 / (1 + WEIGHT**2), atol=1e-4)


def test_the_light_side_takes_over_the_gallerys_map(tmp_path: Path) -> None:
    image, _ = make_bundle(tmp_path / "tiny", appearance=True)
    bundle = load_model(tmp_path / "tiny").bundle
    head = LightVector.of_gallery(bundle, LightVectorConfig(width=0)).eval()
    with torch.no_grad():
        spatial = image.trunk.spatial(torch.randn(2, 3, SIZE, SIZE))
        estimates, exact = head(spatial), image.from_map(image.trunk.widen(spatial))

    assert image.appearance is not None
    torch.testing.assert_close(estimates[:, DIMENSION:], exact[:, DIMENSION:], atol=0.02, rtol=0.0)
    torch.testing.assert_close(estimates.norm(dim=1), torch.ones(2))


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(TrainingError, match="appearance"):
        AppearanceConfig(width=-1)
