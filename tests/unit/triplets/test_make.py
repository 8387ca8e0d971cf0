"""The whole way, with a model of colours."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from composir.encode.feature_store import FeatureStore
from composir.errors import DatasetError
from composir.triplets import Made, MakeSettings, make_triplets, read_captioned
from composir.triplets.sieve import PER_REFERENCE, FilterSettings
from composir.triplets.templates import TemplateWriter
from tests.fakes import ColourModel
from tests.unit.triplets.world import captioned, shop_source

STRICT = FilterSettings(max_similarity=0.999)


def names(made: Made) -> list[tuple[str, str, str]]:
    ids = [image.id for image in made.images]
    return [(ids[t.pair.reference], t.written.text, ids[t.pair.target]) for t in made.triplets]


def made_of_shop(folder: Path, count: int = 30, seed: int = 0, **more: object) -> Made:
    settings = MakeSettings(count=count, seed=seed, filters=STRICT, **more)  # type: ignore[arg-type]
    return make_triplets(shop_source(folder), ColourModel(), TemplateWriter(seed), settings)


def test_a_shop_is_recoloured(tmp_path: Path) -> None:
    made = made_of_shop(tmp_path)
    assert made.seen["colour"] == 1.0
    assert [grouping.vary for grouping in made.groupings] == ["colour"]
    assert len(made.triplets) == 30
    for reference, text, target in names(made):
        assert reference.split("-")[0] == target.split("-")[0]
        assert target.split("-")[1] in text


def test_fewer_triplets_are_the_first_of_more(tmp_path: Path) -> None:
    many = names(made_of_shop(tmp_path, count=40))
    assert names(made_of_shop(tmp_path, count=40)) == many
    assert names(made_of_shop(tmp_path, count=7)) == many[:7]
    assert names(made_of_shop(tmp_path, count=40, seed=1)) != many


def test_the_reference_is_never_the_target_and_has_its_share(tmp_path: Path) -> None:
    settings = MakeSettings(count=500, filters=FilterSettings(0.999, per_reference=2))
    made = make_triplets(shop_source(tmp_path), ColourModel(), TemplateWriter(), settings)
    assert all(t.pair.reference != t.pair.target for t in made.triplets)
    assert max(Counter(t.pair.reference for t in made.triplets).values()) == 2
    assert made.dropped[PER_REFERENCE] == 30


def test_captions_make_pairs_by_look_and_by_words(tmp_path: Path) -> None:
    source = read_captioned(*captioned(tmp_path))
    settings = MakeSettings(count=20, filters=STRICT)
    made = make_triplets(source, ColourModel(), TemplateWriter(), settings)
    kinds = Counter(triplet.pair.kind for triplet in made.triplets)
    assert set(kinds) == {"image", "caption"}
    for _, text, target in names(made):
        assert target.removesuffix(".png") in text


def test_pictures_that_cannot_be_read_are_failures(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path)
    (photos / "red.png").write_bytes(b"no picture")
    cache = FeatureStore(tmp_path / "vectors")
    source = read_captioned(photos, table)
    made = make_triplets(
        source, ColourModel(), TemplateWriter(), MakeSettings(count=9, filters=STRICT), cache=cache
    )
    assert [failure.path.name for failure in made.failures] == ["red.png"]
    assert "red.png" not in {image.id for image in made.images}
    for photo in photos.iterdir():
        photo.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="a pair needs two pictures, and 0 can be read"):
        make_triplets(
            read_captioned(photos, table), ColourModel(), TemplateWriter(), MakeSettings()
        )


def test_a_second_run_encodes_no_picture(tmp_path: Path) -> None:
    source = shop_source(tmp_path)
    cache = FeatureStore(tmp_path / "vectors")
    model = ColourModel()
    settings = MakeSettings(count=5, filters=STRICT)
    first = make_triplets(source, model, TemplateWriter(), settings, cache=cache)
    assert model.encoded == 15
    assert names(make_triplets(source, model, TemplateWriter(), settings, cache=cache)) == names(
        first
    )
    assert model.encoded == 15


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    photos, table = captioned(tmp_path)
    source = read_captioned(photos, table)
    cache = FeatureStore(tmp_path / "vectors")
    model = ColourModel()

    def stop(stage: str, _done: int, _total: int) -> None:
        if stage == "encoding captions":
            raise KeyboardInterrupt

    settings = MakeSettings(count=5, filters=STRICT)
    with pytest.raises(KeyboardInterrupt):
        make_triplets(source, model, TemplateWriter(), settings, cache=cache, progress=stop)
    made = make_triplets(source, model, TemplateWriter(), settings, cache=cache)
    assert len(made.triplets) == 5
    assert model.encoded == 8


def test_where_nothing_passes_the_reasons_are_told(tmp_path: Path) -> None:
    settings = MakeSettings(filters=FilterSettings(0.999, margin=5.0))
    with pytest.raises(
        DatasetError, match=r"no triplet is left; dropped: 60 x the text does not fit"
    ):
        make_triplets(shop_source(tmp_path), ColourModel(), TemplateWriter(), settings)


def test_where_there_is_nothing_to_say_is_an_error(tmp_path: Path) -> None:
    settings = MakeSettings(kinds=("image",))
    with pytest.raises(DatasetError, match="nothing to write triplets from: no captions"):
        make_triplets(shop_source(tmp_path), ColourModel(), TemplateWriter(), settings)
