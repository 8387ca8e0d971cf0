"""Which columns can differ, and which hold pictures together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from composir.errors import DatasetError
from composir.triplets.pairs import (
    ColumnRoles,
    Grouping,
    choose_groupings,
    find_columns,
    groups_of,
    visibility,
)
from tests.fakes import COLOURS, ColourModel
from tests.unit.triplets.world import SHOWN, THINGS, picture, shop_source


def test_columns_are_told_apart(tmp_path: Path) -> None:
    assert find_columns(shop_source(tmp_path).images) == ColumnRoles(("colour", "kind"), ("title",))


def test_switches_and_placeholders_are_no_columns() -> None:
    rows = [picture(str(n), kids=str(n % 2 == 0), kind="Not sure") for n in range(8)]
    assert find_columns(rows) == ColumnRoles((), ())


def test_titles_agree_without_the_colours_words(tmp_path: Path) -> None:
    images = shop_source(tmp_path).images
    groups = groups_of(images, Grouping("colour", (), ("title",)))
    assert [sorted(group) for group in groups] == [sorted(SHOWN)] * len(THINGS)


def test_a_model_of_colours_sees_colours_and_no_kinds(tmp_path: Path) -> None:
    images = shop_source(tmp_path).images
    model = ColourModel()
    pixels = [np.full((8, 8, 3), COLOURS[i.attributes["colour"].lower()], np.uint8) for i in images]
    matrix = model.encode_pixels(np.stack(pixels))
    assert visibility(images, "colour", matrix, model.encode_texts) == 1.0
    assert visibility(images, "kind", matrix, model.encode_texts) <= 0.5


def test_what_is_seen_is_varied_within_the_rest(tmp_path: Path) -> None:
    images = shop_source(tmp_path).images
    columns = find_columns(images)
    chosen = choose_groupings(images, {"colour": 1.0, "kind": 0.4}, columns, (), ())
    assert chosen == (Grouping("colour", (), ("title",)),)
    both = choose_groupings(images, {"colour": 1.0, "kind": 0.9}, columns, (), ())
    assert both[0] == Grouping("colour", ("kind",), ("title",))
    assert both[1] == Grouping("kind", ("colour",), ())  # titles name numbers that differ


def test_the_user_may_choose(tmp_path: Path) -> None:
    images = shop_source(tmp_path).images
    chosen = choose_groupings(images, {}, find_columns(images), ("kind",), ("colour",))
    assert chosen == (Grouping("kind", ("colour",), ()),)
    with pytest.raises(
        DatasetError, match=r"no text column 'size' .* there is: title, colour, kind"
    ):
        choose_groupings(images, {}, find_columns(images), ("size",), ())
