"""What a staging says is what its picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from composir.triplets.edits import COLOURS
from composir.triplets.staged import stagings
from composir.triplets.staged.backdrops import (
    BACKDROPS,
    WALLS,
    Backdrop,
    Patch,
    draw_backdrop,
    usable_patches,
)
from composir.triplets.staged.cut_outs import CutOut
from composir.triplets.staged.masks import opened, pieces
from composir.triplets.staged.stage import paint_pair
from composir.triplets.staged.stagings import CHANGES, Print, StagedPair, Staging, draw_pair

PLAIN = Staging(None, "plain", 1, Backdrop("white"), "soft", "normal")
GRASS = (80, 150, 60)


def thing(name: str = "box", colour: tuple[int, int, int] = (150, 120, 100)) -> CutOut:
    alpha = np.zeros((120, 150), dtype=np.uint8)
    alpha[6:-6, 6:-6] = 255
    rgb = np.full((120, 150, 3), colour, dtype=np.uint8)
    return CutOut(name, "set/1", rgb, alpha, np.array(colour, dtype=np.float32))


def patch(colour: tuple[int, int, int] = GRASS) -> Patch:
    rgb = np.full((60, 60, 3), colour, dtype=np.uint8)
    return Patch(rgb, np.array(colour, dtype=np.float32), 60)


def shown(after: Staging, before: Staging = PLAIN, seed: int = 0) -> np.ndarray:
    """The target's pixels."""
    pair = StagedPair(thing(), before, after, ("colour",), Print("blue", 24.0, is_turned=False))
    _, target = paint_pair(pair, np.random.default_rng(seed), np.random.default_rng(seed + 1))
    return np.asarray(target, dtype=float)


def near(pixels: np.ndarray, colour: tuple[int, int, int], within: float = 45.0) -> np.ndarray:
    return np.asarray(np.abs(pixels - colour).max(axis=-1) < within)


@pytest.mark.parametrize("name", ["red", "blue", "green", "yellow"])
def test_a_dyed_thing_has_its_colour_and_the_rest_has_not(name: str) -> None:
    dyed = near(shown(replace(PLAIN, colour=name)), COLOURS[name])
    assert 0.1 < dyed.mean() < 0.4
    rows, columns = np.nonzero(dyed)
    assert rows.min() > 60
    assert columns.max() - columns.min() < 200


@pytest.mark.parametrize("count", [1, 2, 3])
def test_so_many_things_are_so_many_blobs(count: int) -> None:
    for seed in range(5):
        dark = shown(replace(PLAIN, count=count, colour="red"), seed=seed)[..., 1] < 90
        assert pieces(opened(dark, 7)).max() == count


@pytest.mark.parametrize("pattern", ["stripes", "dots", "checks"])
@pytest.mark.parametrize("turned", [False, True])
def test_a_pattern_is_painted_in_ink_on_a_part_of_the_thing(pattern: str, turned: bool) -> None:
    style = Print("blue", 24.0, turned)
    pair = StagedPair(thing(), PLAIN, replace(PLAIN, pattern=pattern), ("pattern",), style)
    pictures = paint_pair(pair, np.random.default_rng(0), np.random.default_rng(0))
    before, after = (near(np.asarray(one, float), COLOURS["blue"]).mean() for one in pictures)
    assert before == 0.0
    assert 0.03 < after < 0.2


@pytest.mark.parametrize("wall", WALLS)
def test_a_wall_has_its_colour(wall: str) -> None:
    pixels = shown(replace(PLAIN, backdrop=Backdrop("wall", wall)))
    assert near(pixels[:20], COLOURS[wall]).all()


def test_a_ground_shows_its_patch_below_and_what_is_beyond_above() -> None:
    ground = Backdrop("grass", "", patch(), Backdrop("sky", "", patch((120, 170, 230))), 0.4)
    pixels = shown(replace(PLAIN, backdrop=ground))
    assert near(pixels[:60], (120, 170, 230), 6).all()
    assert near(pixels[180:, :20], GRASS, 6).mean() > 0.9


def test_light_and_size_change_as_they_say() -> None:
    day = shown(PLAIN)
    assert shown(replace(PLAIN, light="night")).mean() < 0.6 * day.mean()
    warm = shown(replace(PLAIN, light="warm"))
    assert warm[..., 2].mean() < 0.8 * day[..., 2].mean()
    area = {size: (shown(replace(PLAIN, size=size)) < 180).mean() for size in stagings.SIZES}
    assert 0.2 < area["small"] / area["normal"] < 0.5


PATCHES = usable_patches({"grass": [patch()] * 3, "sky": [patch((120, 170, 230))] * 3})


@pytest.mark.parametrize("patches", [PATCHES, {}], ids=["patches", "none"])
@pytest.mark.parametrize("colour", [(150, 120, 100), (8, 8, 8), (250, 250, 250), (200, 30, 35)])
def test_only_what_is_changed_changes(
    patches: dict[str, list[Patch]], colour: tuple[int, int, int]
) -> None:
    kinds = set()
    for seed in range(120):
        pair = draw_pair(thing("box", colour), patches, np.random.default_rng(seed))
        differs = {
            name for name in CHANGES if getattr(pair.before, name) != getattr(pair.after, name)
        }
        assert differs == set(pair.changed)
        assert 1 <= len(pair.changed) <= 2
        kinds |= differs
        backs = (pair.before.backdrop, pair.after.backdrop)
        assert "backdrop" not in differs or not backs[0].says_as_much(backs[1])
        for staging in (pair.before, pair.after):
            own = stagings.colour_of(pair.thing, staging)
            assert staging.light == "night" or stagings.apart(own, staging.backdrop.colour) > 35
    assert kinds == set(CHANGES)


def test_two_patches_are_too_few_for_a_backdrop() -> None:
    found = {"grass": [patch()] * 3, "sand": [patch()] * 2, "sea": []}
    assert [*usable_patches(found)] == ["grass"]
    drawn = {draw_backdrop(usable_patches(found), np.random.default_rng(n)).name for n in range(80)}
    assert drawn == {"white", "grey", "wall", "grass"}


def test_no_region_is_of_two_backdrops() -> None:
    names = [name for names in BACKDROPS.values() for name in names]
    assert len(names) == len(set(names))
