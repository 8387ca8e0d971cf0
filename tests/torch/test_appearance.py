"""The appearance part: what it changes where pictures meet, and nothing where texts meet them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")

from appearance_task import (  # noqa: E402
    SPREAD_FLOOR,
    AppearanceData,
    _flat,
    _found_first,
    check_sources,
    draw_kin,
    find_kin,
    same_group_loss,
    start_as,
    start_white,
    train_appearance,
)
from corpus import Split, TrainingPicture  # noqa: E402
from PIL import Image  # noqa: E402
from settings import AppearanceConfig  # noqa: E402
from summaries import summarise  # noqa: E402
from torch import Tensor  # noqa: E402

from composir.errors import BundleError, TrainingError  # noqa: E402
from composir.foundation.appearance import (  # noqa: E402
    AppearancePart,
    look_at,
    text_aligned_part,
)
from composir.model import load_model  # noqa: E402
from composir.model.bundle import MANIFEST_NAME  # noqa: E402
from composir.train.frozen import FrozenFoundation  # noqa: E402
from composir.train.isa.batches import Batches  # noqa: E402
from composir.train.isa.efficientnet_lite import HEAD_CHANNELS  # noqa: E402
from composir.train.isa.light_vector import LightVector, LightVectorConfig  # noqa: E402
from composir.train.loop import LoopConfig  # noqa: E402
from composir.train.mapping.caption_bank import neutral_phrases  # noqa: E402
from composir.train.mapping.mapper import Mapper, MapperConfig  # noqa: E402
from composir.train.mapping.task import (  # noqa: E402
    MapBank,
    MapObjective,
    MappingTask,
)
from composir.train.steering import (  # noqa: E402
    ALONE,
    Phrases,
    PhraseSteering,
)
from composir.types import FloatArray  # noqa: E402
from tests.torch.isa.makers import LEARNER, OBJECTIVE  # noqa: E402
from tests.torch.towers import (  # noqa: E402
    APPEARANCE,
    DIMENSION,
    SIZE,
    SPEC,
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
    part, meaning, look = AppearancePart(6, 3, weight=2.0), unit(4, 5), torch.randn(4, 6)
    whole = part.beside(meaning, look)
    texts = torch.nn.functional.pad(unit(7, 5), (0, 3))
    shrunk = 1.0 / math.sqrt(1.0 + 2.0**2)

    torch.testing.assert_close(whole.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(whole @ texts.T, shrunk * meaning @ texts[:, :5].T)
    alike = (meaning @ meaning.T + 4.0 * part(look) @ part(look).T) / 5.0
    torch.testing.assert_close(whole @ whole.T, alike)
    torch.testing.assert_close(text_aligned_part(whole, 3)[:, :5], meaning)
    assert text_aligned_part(whole, 3)[:, 5:].abs().max() == 0.0
    assert text_aligned_part(whole, 0) is whole


def test_the_contrast_of_kin_by_hand() -> None:
    """Two pairs that are all orthogonal to each other, each its own partner."""
    rows = torch.eye(2)
    two = math.log(1.0 + math.exp(-1.0 / 0.5))

    apart = same_group_loss(rows, rows, torch.tensor([0, 1]), temperature=0.5)
    assert float(apart) == pytest.approx(two, abs=1e-6)
    # Of one group they are no negatives, and nothing is left to be wrong.
    assert float(same_group_loss(rows, rows, torch.tensor([3, 3]), 0.5)) == pytest.approx(
        0.0, abs=1e-6
    )


def test_it_starts_centred_and_white() -> None:
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((400, 6)) * [9, 5, 3, 1, 0.5, 0.1] + 7).astype(np.float32)
    part = AppearancePart(6, 4, 1.0)
    start_white(part, features)
    with torch.no_grad():
        scaled = torch.from_numpy(features) * part.scale
        made = part.project(scaled).numpy()

    np.testing.assert_allclose(scaled.std(dim=0, correction=0).numpy(), 1.0, atol=1e-4)
    np.testing.assert_allclose(made.mean(0), 0.0, atol=1e-4)
    spread = np.cov(made.T)
    np.testing.assert_allclose(spread / spread[0, 0], np.eye(4), atol=1e-3)


def test_a_number_that_never_changes_is_not_blown_up() -> None:
    looks = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    looks[:, 1] = 7.0
    part = AppearancePart(3, 2, 1.0)
    start_white(part, looks)

    assert float(part.scale.max()) == pytest.approx(1.0 / SPREAD_FLOOR)
    assert torch.isfinite(part(torch.from_numpy(looks))).all()


def test_a_part_of_an_older_model_reads_the_average_alone() -> None:
    torch.manual_seed(0)
    part, features, statistics = AppearancePart(6, 3, 1.0), torch.randn(4, 6, 2, 2), unit(4, 5)
    look = look_at(features, statistics)

    assert look.shape == (4, 11)
    torch.testing.assert_close(part(look), part(features.mean(dim=(2, 3))))


def test_a_part_that_goes_on_from_another_begins_as_that_one() -> None:
    torch.manual_seed(0)
    former, part = AppearancePart(6, 3, 1.0), AppearancePart(9, 3, 1.0)
    former.scale.copy_(torch.rand(6) + 0.5)
    looks = 5.0 * torch.randn(40, 9) + 2.0
    start_white(part, looks.numpy())
    start_as(part, former)

    torch.testing.assert_close(part(looks), former(looks))
    assert float(part.scale.min()) < 1.0  # its own scale, not the former's
    for other in (AppearancePart(6, 4, 1.0), AppearancePart(10, 3, 1.0)):
        with pytest.raises(TrainingError, match=r"appearance\.from_start=false"):
            start_as(part, other)


def pictures(count: int, folder: Path = Path()) -> list[TrainingPicture]:
    """Things in three colours; every fourth thing is for dev; one picture has no kin."""
    made = []
    for row in range(count):
        thing, colour = divmod(row, 3)
        split: Split = "dev" if thing % 4 == 0 else "train"
        kin = (f"thing {thing}", f"colour {colour}")
        made.append(TrainingPicture("shop", folder / f"{row}.jpg", ("a thing",), split, kin=kin))
    return [*made, TrainingPicture("shop", folder / "alone.jpg", ("a thing",), "train")]


def test_kin_are_pairs_of_two_variants_in_one_split() -> None:
    made = pictures(24)
    kin = find_kin(made, "train")
    pairs, groups = draw_kin(kin, 20, np.random.default_rng(0))

    assert list(kin) == [f"thing {n}" for n in (1, 2, 3, 5, 6, 7)]
    assert len(pairs) == 20
    assert set(groups.tolist()) == set(range(6))
    for (left, right), group in zip(pairs, groups.tolist(), strict=True):
        first, second = made[left].kin, made[right].kin
        assert first is not None
        assert second is not None
        assert first[0] == second[0] == list(kin)[group]
        assert first[1] != second[1]


def things(rows: int) -> FloatArray:
    """Looks in which a few numbers say the thing, as many its colour, and as many nothing."""
    rng = np.random.default_rng(0)
    own, colour = rng.standard_normal((rows, 8)), rng.standard_normal((3, 8))
    told = [np.concatenate([own[row // 3], colour[row % 3]]) for row in range(rows)]
    seen = np.stack([*told, np.zeros(16)]) + 0.3 * rng.standard_normal((rows + 1, 16))
    return np.concatenate([seen, rng.standard_normal((rows + 1, 16))], axis=1).astype(np.float32)


def test_training_finds_a_thing_in_another_colour(tmp_path: Path) -> None:
    towers = image_tower(), text_tower()
    config = AppearanceConfig(width=24, kin={"shop": 16}, views={"shop": 8}, rate=1e-2, dropout=0.0)
    figures = [
        train_appearance(
            towers,
            AppearanceData({"shop": pictures(240)}, {"shop": [things(240)]}),
            (config, LoopConfig(steps=steps, warmup=1, average=0.5), 0),
            tmp_path / str(steps),
            lambda _: None,
        )["shop/kin@1"]
        for steps in (1, 60)
    ]

    assert figures[1] > figures[0] + 20.0
    assert towers[0].appearance is not None
    assert towers[1].spec.appearance == 24
    assert not any(p.requires_grad for p in towers[0].head.parameters())


def test_finding_a_thing_in_the_same_colour_is_no_success() -> None:
    """Two things in two colours, two pictures each; a vector says the colour and nothing else."""
    made = [
        TrainingPicture("shop", Path(f"{row}.jpg"), ("a",), "dev", kin=(thing, colour))
        for row, (thing, colour) in enumerate(2 * [(t, c) for t in "ab" for c in ("red", "blue")])
    ]
    rows, groups, variants = _flat(find_kin(made, "dev"))
    by_colour = torch.eye(2)[[int(made[row].kin == (made[row].kin[0], "red")) for row in rows]]  # type: ignore[index]
    by_thing = torch.eye(2)[groups]

    assert sorted(rows) == list(range(8))
    assert _found_first(by_thing, groups, variants) == 1.0
    assert _found_first(by_colour, groups, variants) == 0.0


@pytest.mark.parametrize(("asked", "said"), [("kin", "kin asks for shop"), ("views", "views asks")])
def test_sources_that_cannot_serve_are_refused_before_anything_is_trained(
    asked: str, said: str
) -> None:
    counts = {"kin": {"shop": 0}, "views": {"shop": 1}} | {asked: {"shop": 2}}
    split: Split = "train" if asked == "kin" else "dev"
    alone = [TrainingPicture("shop", Path("a.jpg"), ("a",), split)]
    with pytest.raises(TrainingError, match=said):
        check_sources(AppearanceConfig(width=4, **counts), alone)  # type: ignore[arg-type]
    check_sources(AppearanceConfig(kin={"shop": 2}, views={"shop": 2}), pictures(24))


def test_a_part_wider_than_the_pictures_can_fill_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"appearance.width is 4, more than 3 training"):
        start_white(AppearancePart(6, 4, 1.0), np.ones((3, 6), np.float32))


def test_summaries_are_made_once_for_weights_and_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, files = np.random.default_rng(0), [tmp_path / f"{row}.png" for row in range(4)]
    pixels = rng.integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    for file, one in zip(files, pixels, strict=True):
        Image.fromarray(one).save(file)
    image = image_tower()
    with torch.no_grad():  # the first attention looks at one place alone
        image.head.attention.weight[0] = 50.0 * torch.sign(torch.arange(HEAD_CHANNELS) - 500.5)
    told = summarise(image, SPEC, files, 0, tmp_path / "run")
    other = summarise(image_tower(seed=1), SPEC, files, 0, tmp_path / "run")
    monkeypatch.setattr("summaries.fastest", None)  # nothing is run again
    again = summarise(image, SPEC, files, 0, tmp_path / "run")

    with torch.no_grad():
        moved = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0
        spatial, statistics = image.trunk.climb(moved)
        features = image.trunk.widen(spatial)
        places = features.flatten(2).transpose(1, 2)
        looked_at = image.head.attention(places)[..., 0].argmax(dim=1)
        there = places[torch.arange(4), looked_at]
    look = look_at(features, statistics).numpy()
    np.testing.assert_allclose(told.look, look, atol=2e-3)
    np.testing.assert_allclose(told.first, there.numpy(), atol=2e-3)
    np.testing.assert_array_equal(again.first, told.first)
    np.testing.assert_array_equal(again.look, told.look)
    assert np.abs(other.look - told.look).max() > 1e-2


def test_a_bundle_carries_it_to_search_and_training(tmp_path: Path) -> None:
    image, _ = make_bundle(tmp_path / "tiny", appearance=True)
    model = load_model(tmp_path / "tiny")
    pixels = np.random.default_rng(0).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    with torch.no_grad():
        ours = image((torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127.0) / 128.0)
    vectors = model.encode_pixels(pixels)
    texts = model.encode_texts(["red lamp", "a dog"])

    assert vectors.shape == (3, DIMENSION + APPEARANCE) == (3, model.dimension)
    np.testing.assert_allclose(vectors, ours.numpy(), atol=0.06)  # int8 weights
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    assert not texts[:, DIMENSION:].any()

    foundation = FrozenFoundation.load(tmp_path / "tiny")
    assert foundation.appearance_width == APPEARANCE
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
        spatial, statistics = image.trunk.climb(torch.randn(2, 3, SIZE, SIZE))
        estimates = head(spatial, statistics)
        exact = image.from_map(image.trunk.widen(spatial), statistics)

    assert image.appearance is not None
    torch.testing.assert_close(estimates[:, DIMENSION:], exact[:, DIMENSION:], atol=0.02, rtol=0.0)
    torch.testing.assert_close(estimates.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    "changes",
    [
        {"width": -1},
        {"weight": 0.0},
        {"temperature": 0.0},
        {"rate": 0.0},
        {"dropout": 1.0},
        {"kin": {"shop": -1}},
        {"kin": {}, "views": {"shop": 0}},
    ],
)
def test_numbers_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match=next(iter(changes))):
        AppearanceConfig().changed(**changes)


def test_a_bundle_that_is_all_appearance_is_refused(tmp_path: Path) -> None:
    make_bundle(tmp_path / "tiny", appearance=True)
    path = tmp_path / "tiny" / MANIFEST_NAME
    text = path.read_text().replace(f'"dimension": {DIMENSION + APPEARANCE}', '"dimension": 8')
    path.write_text(text)
    with pytest.raises(BundleError, match="leaves nothing of 8 dimensions for texts"):
        load_model(tmp_path / "tiny")


def foundation_and_vectors(folder: Path) -> tuple[FrozenFoundation, Tensor, Tensor]:
    """A model with the part; vectors of six pictures, and the same with other appearances."""
    make_bundle(folder / "tiny", appearance=True)
    foundation = FrozenFoundation.load(folder / "tiny")
    vectors = unit(6, foundation.dimension)
    other = torch.cat([vectors[:, :DIMENSION], unit(6, APPEARANCE)], dim=1)
    return foundation, vectors, other / other.norm(dim=1, keepdim=True)


def test_isas_sentences_match_the_meaning_and_its_light_side_all(tmp_path: Path) -> None:
    foundation, vectors, _ = foundation_and_vectors(tmp_path)

    class Pictures:
        train, views = np.arange(6), (0,)

        def targets(self, rows: list[int], _: list[int]) -> np.ndarray[Any, Any]:
            return vectors.numpy()[rows]

    vector = foundation.encode_texts(["red"])
    steering = PhraseSteering(Phrases(("red",), (ALONE,)), vector, OBJECTIVE.steering)
    batches = Batches(Pictures(), OBJECTIVE, steering, LEARNER, 0, foundation.text_aligned)  # type: ignore[arg-type]
    batch = batches.draw(2)

    torch.testing.assert_close(batch.targets, foundation.text_aligned(batch.teachers))
    assert batch.teachers[:, DIMENSION:].abs().max() > 0.1
    assert batch.targets[:, DIMENSION:].abs().max() == 0.0
    assert batch.goals[:, DIMENSION:].abs().max() == 0.0


def test_a_mapper_that_does_not_read_the_appearance_is_not_trained_by_it(tmp_path: Path) -> None:
    foundation, vectors, other = foundation_and_vectors(tmp_path)
    torch.manual_seed(0)
    config = MapperConfig(width=8, injection_layers=0, dropout=0.0)
    mapper = Mapper(
        foundation.dimension,
        foundation.word_statistics(neutral_phrases()),
        None,
        config,
        ignored=APPEARANCE,
    )
    losses = []
    for seen in (vectors, other):
        rows = np.arange(6)
        texts = foundation.encode_texts(["red lamp", "a dog"])
        bank = MapBank(seen, None, rows, rows[:0], texts, [[row % 2] for row in range(6)])
        task = MappingTask(foundation, mapper, bank, MapObjective(batch=4, negatives=2), 0)
        losses.append(float(task.loss(1).detach()))

    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    torch.testing.assert_close(mapper.eval()(other)[0], mapper(vectors)[0])
