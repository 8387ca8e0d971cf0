"""What a change from one staging to another is called.

In the tables, `{colour}`, `{ink}` and `{wall}` are colours, and `{a_...}` the same after an
article; `{thing}` is the thing, `{things}` many of it, `{old}` the pattern that it had.
"""

from __future__ import annotations

from collections.abc import Mapping

from composir.triplets.edits import Draw, one_of
from composir.triplets.staged.stagings import StagedPair, Staging
from composir.triplets.words import head_of, is_plural, plural, with_article

Forms = tuple[str, ...]
ANY = "any"
"""The value that stands for every colour: they are all asked for in the same ways."""


def _split(table: Mapping[str, str]) -> dict[str, Forms]:
    return {value: tuple(forms.split("|")) for value, forms in table.items()}


WORDINGS: Mapping[str, Mapping[str, Forms]] = {
    "colour": _split(
        {
            ANY: (
                "in {colour}|make it {colour}|{a_colour} one|but {colour}|the {colour} version|"
                "coloured {colour}|{colour}|but in {colour}|the same in {colour}|"
                "{colour} instead|change the colour to {colour}|turn it {colour}|dyed {colour}|"
                "I want it in {colour}"
            ),
        }
    ),
    "pattern": _split(
        {
            "stripes": (
                "with stripes|striped|with a striped pattern|with {ink} stripes|in stripes|"
                "with {ink} stripes on it|the striped version|add stripes"
            ),
            "dots": (
                "with dots|in a dotted pattern|dotted|with polka dots|with {ink} dots|"
                "covered in dots|with {ink} polka dots|the dotted version|add {ink} dots"
            ),
            "checks": (
                "with checks|chequered|in a check pattern|checked|with {ink} checks|"
                "with a checked pattern|the chequered version|in a pattern of {ink} checks"
            ),
            "plain": (
                "without a pattern|plain|no pattern|unpatterned|in one plain colour|"
                "the plain version|without the {old}|remove the {old}|no {old}"
            ),
        }
    ),
    "count": _split(
        {
            "1": (
                "just one|only a single one|one of them|a single one|only one of them|"
                "show one alone|one on its own|keep just one"
            ),
            "2": (
                "two of them|a pair|show two|two side by side|a couple of them|a pair of them|"
                "make it two|two next to each other"
            ),
            "3": (
                "three of them|show three|three in a row|a group of three|three side by side|"
                "make it three|a row of three|a trio"
            ),
        }
    ),
    "backdrop": _split(
        {
            "white": (
                "on a white background|on plain white|against white|on white|"
                "on a plain white background|with nothing but white behind it|"
                "as a studio shot on white|with a clean white background"
            ),
            "grey": (
                "on a grey background|against a grey wall|on plain grey|with a grey background|"
                "against plain grey|with grey behind it|as a studio shot on grey"
            ),
            "wall": (
                "in front of {a_wall} wall|against {a_wall} wall|on {a_wall} background|"
                "with {a_wall} wall behind it|with {a_wall} background|{wall} background|"
                "in a room with {a_wall} wall|before {a_wall} wall"
            ),
            "grass": (
                "on the grass|on grass|outdoors on grass|on a lawn|standing on grass|"
                "placed on the grass|out on the lawn|with grass around it"
            ),
            "sand": (
                "on the sand|on sand|outdoors on sand|in the sand|with sand around it|"
                "placed on sand|on sandy ground"
            ),
            "snow": (
                "in the snow|on snow|outdoors in the snow|with snow around it|out in the snow|"
                "placed on the snow|on snowy ground"
            ),
            "sea": (
                "by the sea|in front of the sea|with the sea behind it|at the seaside|"
                "with the sea in the background|against the sea"
            ),
            "water": (
                "by the water|in front of water|with water behind it|near the water|"
                "at the water's edge|with water in the background"
            ),
            "sky": (
                "against the sky|in front of the sky|with the sky behind it|"
                "with only sky behind it|up in the sky|against the open sky"
            ),
            "floor": (
                "on the floor|indoors on the floor|standing on the floor|on a floor indoors|"
                "placed on the floor|put it on the floor"
            ),
            "road": (
                "on the road|on a road|outdoors on the road|in the street|on the street|"
                "out on the road|placed on a road"
            ),
            "pavement": (
                "on the pavement|on a sidewalk|outdoors on the sidewalk|on a pavement|"
                "left on the sidewalk|out on the pavement"
            ),
            "field": (
                "in a field|out in a field|on a field|outdoors in a field|"
                "in the middle of a field|with a field behind it"
            ),
            "earth": (
                "on bare ground|on the bare earth|on dirt|outdoors on bare ground|on the soil|"
                "placed on the bare ground"
            ),
            "trees": (
                "in front of trees|with trees behind it|among trees|outdoors by the trees|"
                "with trees in the background|outside in front of some trees"
            ),
            "mountain": (
                "in front of a mountain|with a mountain behind it|in the mountains|"
                "against a mountainside|outdoors by the mountains|"
                "with mountains in the background"
            ),
            "rug": (
                "on a rug|on a carpet|on the rug|placed on a carpet|standing on a rug|"
                "indoors on a rug"
            ),
            "curtain": (
                "in front of a curtain|against a curtain|with a curtain behind it|"
                "before the curtain|with curtains in the background|indoors in front of a curtain"
            ),
            "rock": (
                "on the rocks|in front of rocks|with rocks behind it|on rock|"
                "outdoors among rocks|against a rock"
            ),
        }
    ),
    "light": _split(
        {
            "night": (
                "at night|in the dark|after dark|in a dark room|but at night|with little light|"
                "when it is dark|late at night"
            ),
            "warm": (
                "in warm light|at sunset|in golden light|by lamp light|with warm lighting|"
                "lit by a low sun|in yellowish evening light"
            ),
            "soft": (
                "in daylight|by day|in neutral light|in ordinary daylight|in normal light|"
                "with plain white light|in the daytime"
            ),
        }
    ),
    "size": _split(
        {
            "small": (
                "smaller in the picture|from further away|with more space around it|zoomed out|"
                "from a distance|smaller in the frame|make it look smaller"
            ),
            "normal": (
                "from closer|larger in the picture|zoomed in|bigger in the frame|"
                "filling more of the picture|closer to the camera|seen from nearby"
            ),
        }
    ),
}
"""By what changes and its new value."""

NAMED: Mapping[str, Mapping[str, Forms]] = {
    "colour": _split(
        {
            ANY: (
                "{a_colour} {thing}|the {thing} in {colour}|make the {thing} {colour}|"
                "the same {thing} but {colour}|{a_colour} {thing} instead"
            ),
        }
    ),
    "pattern": _split(
        {
            "stripes": (
                "a striped {thing}|the {thing} with stripes|put {ink} stripes on the {thing}"
            ),
            "dots": "a dotted {thing}|the {thing} with dots|paint {ink} dots on the {thing}",
            "checks": "a chequered {thing}|the {thing} with checks|put {ink} checks on the {thing}",
            "plain": (
                "a plain {thing}|the {thing} without a pattern|the same {thing} without the {old}"
            ),
        }
    ),
    "count": _split(
        {
            "1": "a single {thing}|just one {thing}|only one {thing}",
            "2": "two {things}|show two {things}|a pair of {things}",
            "3": "three {things}|show three {things}|a row of three {things}",
        }
    ),
}
"""The same, saying what the thing is."""

_FEWER, _MORE = ("only two of them", "one fewer", "take one away"), ("one more", "add another one")
_NAMES, _NAMES_WITH_PLACE, _JOINED_BY_AND = 0.28, 0.08, 0.5


def words_of(pair: StagedPair, draw: Draw) -> str:
    """Ask for the target. Two changes stand in any order, and the thing is named once at most."""
    said = [_said(name, pair, draw, may_name=not place) for place, name in enumerate(pair.changed)]
    if len(said) == 2:
        if draw.random() < 0.5:
            said.reverse()
        said.sort(key=lambda words: not words.startswith("I want"))
        said[1] = said[1].removeprefix("but ")
    return (" and " if draw.random() < _JOINED_BY_AND else ", ").join(said)


def _said(change: str, pair: StagedPair, draw: Draw, *, may_name: bool) -> str:
    is_pair = is_plural(head_of(pair.thing.name))
    is_many = is_pair or pair.after.count > 1
    is_named = may_name and not is_pair and (change == "count" or not is_many)
    if is_named and change in NAMED and draw.random() < _NAMES:
        forms = NAMED[change][_value(change, pair.after)]
    else:
        forms = _fitting(change, pair, is_many=is_many, is_pair=is_pair)
    text = one_of(forms, draw).format(**_values(pair))
    if change == "backdrop" and is_named and _may_follow(text, pair, draw):
        text = f"the {pair.thing.name} {text}"
    if is_many and change not in ("count", "light"):
        text = f" {text} ".replace(" it ", " them ").strip()
    return text


def _value(change: str, staging: Staging) -> str:
    if change == "colour":
        return ANY
    return staging.backdrop.name if change == "backdrop" else str(getattr(staging, change))


def _fitting(change: str, pair: StagedPair, *, is_many: bool, is_pair: bool) -> Forms:
    """Wordings that name no thing; "a pair" would be one of trousers, "a red one" is not many."""
    forms = WORDINGS[change][_value(change, pair.after)] + _against_before(change, pair)
    if change == "count":
        return tuple(form for form in forms if not (is_pair and "pair" in form))
    return tuple(form for form in forms if not (is_many and form.endswith(" one")))


def _against_before(change: str, pair: StagedPair) -> Forms:
    """Wordings that speak of what the reference shows."""
    before, after = pair.before, pair.after
    if change == "pattern" and "plain" not in (before.pattern, after.pattern):
        return (f"with {after.pattern} instead of {{old}}", f"{after.pattern}, not {{old}}")
    if change == "count" and after.count == 2:
        return _FEWER if before.count > 2 else _MORE
    return _MORE if change == "count" and after.count == before.count + 1 else ()


def _may_follow(text: str, pair: StagedPair, draw: Draw) -> bool:
    """Whether "the sofa" may stand in front; "the sofa put it on the floor" says nothing."""
    is_real = pair.after.backdrop.patch is not None
    return is_real and not text.startswith("put") and draw.random() < _NAMES_WITH_PLACE


def _values(pair: StagedPair) -> dict[str, str]:
    colour, wall = pair.after.colour or "", pair.after.backdrop.paint
    return {
        "colour": colour,
        "a_colour": with_article(colour),
        "ink": pair.print.ink,
        "thing": pair.thing.name,
        "things": plural(pair.thing.name),
        "old": pair.before.pattern,
        "wall": wall,
        "a_wall": with_article(wall),
    }
