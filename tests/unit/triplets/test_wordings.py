"""Every change can be asked for in many ways, each of which says what the target shows."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from composir.triplets.edits import COLOURS
from composir.triplets.staged import stagings
from composir.triplets.staged.backdrops import BACKDROPS, PLAIN, Backdrop
from composir.triplets.staged.stagings import CHANGES, Print, StagedPair, Staging
from composir.triplets.staged.wordings import ANY, NAMED, WORDINGS, words_of
from composir.triplets.words import plural
from tests.unit.triplets.test_stage import patch, thing

SAYS = {
    "colour": {ANY: r"{colour}|{a_colour}"},
    "pattern": {
        "stripes": "strip",
        "dots": "dot",
        "checks": "check|chequer",
        "plain": "plain|pattern|{old}",
    },
    "count": {
        "1": r"\b(one|single)\b",
        "2": r"\b(two|pair|couple)\b",
        "3": r"\b(three|trio)\b",
    },
    "backdrop": {
        "white": "white",
        "grey": "grey",
        "wall": "{wall}|{a_wall}",
        "grass": "grass|lawn",
        "sand": "sand",
        "snow": "snow",
        "sea": r"\bsea",
        "water": "water",
        "sky": "sky",
        "floor": "floor",
        "road": "road|street",
        "pavement": "pavement|sidewalk",
        "field": "field",
        "earth": "ground|earth|dirt|soil",
        "trees": "trees",
        "mountain": "mountain",
        "rug": "rug|carpet",
        "curtain": "curtain",
        "rock": "rock",
    },
    "light": {
        "night": "night|dark|little light",
        "warm": "warm|sun|golden|lamp|evening",
        "soft": r"day|neutral|normal|plain white",
    },
    "size": {
        "small": "smaller|further|space|out|distance",
        "normal": "closer|larger|in$|bigger|filling|nearby",
    },
}
FIRST = Staging(None, "dots", 1, Backdrop("white"), "soft", "normal")
CASES = [(change, value) for change in SAYS for value in SAYS[change]]


def test_every_change_and_every_value_has_wordings() -> None:
    values = {
        "colour": {ANY},
        "pattern": set(stagings.PATTERNS),
        "count": {str(count) for count in stagings.COUNTS},
        "backdrop": {*PLAIN, "wall", *BACKDROPS},
        "light": set(stagings.LIGHTS),
        "size": set(stagings.SIZES),
    }
    assert values.keys() == set(CHANGES)
    for table in (WORDINGS, SAYS):
        assert {change: set(table[change]) for change in table} == values


@pytest.mark.parametrize(("change", "value"), CASES)
def test_each_has_six_wordings_at_least_and_none_lacks_its_value(change: str, value: str) -> None:
    forms = WORDINGS[change][value]
    assert len(set(forms)) == len(forms) >= 6
    for form in (*forms, *NAMED.get(change, {}).get(value, ())):
        assert re.search(SAYS[change][value], form), form
        assert form == form.strip()
    for form in NAMED.get(change, {}).get(value, ()):
        assert "{thing}" in form or "{things}" in form


def said(*changed: str, name: str = "sofa", before: Staging = FIRST, **new: object) -> set[str]:
    """All that is said of one change in many draws."""
    after = replace(before, **new)  # type: ignore[arg-type]
    pair = StagedPair(thing(name), before, after, changed, Print("blue", 24.0, is_turned=False))
    return {words_of(pair, np.random.default_rng(seed)) for seed in range(300)}


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_are_named_after_the_right_article(colour: str) -> None:
    texts = said("colour", colour=colour)
    assert len(texts) > 15
    assert all(colour in text for text in texts)
    assert any("sofa" in text for text in texts)
    assert not any(re.search(r"\ba [aeiou]|\ban [^aeiou]|[{}]", text) for text in texts)


def test_many_things_are_spoken_of_as_many() -> None:
    two = replace(FIRST, count=2)
    for texts in (
        said("colour", before=two, colour="red"),
        said("colour", name="jeans", colour="red"),
    ):
        assert not any(text.endswith(" one") or " it" in text for text in texts)
        assert "make them red" in texts
    assert not any("pair" in text for text in said("count", name="jeans", count=2))
    assert "two chests of drawers" in said("count", name="chest of drawers", count=2)


def test_more_and_fewer_are_said_of_the_reference() -> None:
    assert "one more" in said("count", count=2)
    fewer = said("count", before=replace(FIRST, count=3), count=2)
    assert "take one away" in fewer
    assert "one more" not in fewer
    assert "one more" not in said("count", count=3)
    assert "stripes, not dots" in said("pattern", pattern="stripes")
    assert "remove the dots" in said("pattern", pattern="plain")


def test_two_changes_are_both_said() -> None:
    meadow = Backdrop("grass", "", patch())
    texts = said("colour", "backdrop", colour="red", backdrop=meadow)
    assert len(texts) > 60
    assert all("red" in text and re.search("grass|lawn", text) for text in texts)
    assert any(" and " in text for text in texts)
    assert any(", " in text for text in texts)
    assert not any(re.search("(and|,) (but|I want)", text) for text in texts)
    assert any(text.startswith("the sofa ") for text in said("backdrop", backdrop=meadow))


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("sofa", "sofas"),
        ("bus", "buses"),
        ("glass", "glasses"),
        ("bench", "benches"),
        ("shelf", "shelves"),
        ("scarf", "scarves"),
        ("pantry", "pantries"),
        ("toy", "toys"),
        ("jeans", "jeans"),
        ("chest of drawers", "chests of drawers"),
        ("person", "people"),
    ],
)
def test_plurals(one: str, many: str) -> None:
    assert plural(one) == many
