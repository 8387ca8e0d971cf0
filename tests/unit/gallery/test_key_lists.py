"""Lists of keys, and what two of them share."""

import random
from collections import Counter

import pytest

from composir.gallery.key_lists import KeyList


def listed(keys: list[int]) -> KeyList:
    made = KeyList()
    for key in keys:
        made.append(key)
    return made


def test_ids_come_back_in_order_as_they_were() -> None:
    ids = ["00000000000000ff", "ffffffffffffffff", "0000000000000000", "00000000000000ff"]
    made = KeyList()
    for image_id in ids:
        made.append_id(image_id)

    assert list(made.as_ids()) == ids
    assert len(made) == 4


@pytest.mark.parametrize("seed", range(5))
def test_what_two_share_is_counted_as_often_as_in_both(seed: int) -> None:
    chance = random.Random(seed)
    keys = [chance.getrandbits(64) for _ in range(30)]
    first, second = ([chance.choice(keys) for _ in range(50)] for _ in range(2))

    expected = (Counter(first) & Counter(second)).total()
    assert listed(first).count_shared(listed(second)) == expected > 0


def test_nothing_is_shared_with_none() -> None:
    assert listed([]).count_shared(listed([1, 2])) == 0
    assert listed([1, 2]).count_shared(listed([])) == 0
    assert listed([]).count_shared(listed([])) == 0
    assert listed([1]).count_shared(listed([2])) == 0
