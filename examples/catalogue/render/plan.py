"""Which pictures and which queries the catalogue has. Pure Python: no renderer, no chance.

The catalogue is made of families. A family is a base picture (a kind in one of its shapes) and
pictures in which one thing about the base is different. So for every picture there are others that
differ from it in exactly one or two named ways, and a composed query has exact targets.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import wording
from vocabulary import (
    ANGLES,
    BASE_SETTINGS,
    COLOURS,
    COUNTS,
    KINDS,
    OWN_COLOUR,
    PATTERNABLE,
    PATTERNS,
    SETTINGS,
    STUDIO_SETTINGS,
    Kind,
)

SEED = 20261121

#: Edge of a picture in pixels.
SIZE = 256

#: What a query keeps unless its text changes it.
IDENTITY = ("kind", "shape", "colour", "material", "pattern", "count", "setting")

#: What may differ between reference and target unless the text names it.
NUISANCE = ("angle", "light")

#: How many single changes of each attribute a family shows.
CHANGES = {
    "colour": 3,
    "setting": 2,
    "material": 2,
    "count": 2,
    "angle": 1,
    "shape": 1,
    "pattern": 2,
    "light": 1,
}

#: Values that a family shows first: few bases have them, so they would be rare.
RARE: frozenset[object] = frozenset(
    {"night", "lawn", "beach", "brick-wall", "white", "black", "wood", "glass"}
)

#: Queries of each type: one attribute changed, or two.
QUERIES_A_TYPE = 130
TWO_CHANGE_QUERIES = 360


@dataclass(frozen=True)
class Picture:
    """One picture of the gallery, as its attributes."""

    kind: str
    shape: str
    colour: str
    material: str
    pattern: str
    count: int
    setting: str
    angle: str
    light: str
    family: str
    split: str

    @property
    def id(self) -> str:
        """A readable name: every attribute in turn, the usual ones left out."""
        parts = [self.kind.replace(" ", "-"), self.shape, self.colour]
        parts += [self.material] if self.material != self.colour else []
        parts += [self.pattern] if self.pattern != "plain" else []
        parts += [f"x{self.count}"] if self.count > 1 else []
        parts += [self.setting, self.angle]
        return "-".join([*parts, "hard"] if self.light == "hard" else parts)

    def attributes(self, names: tuple[str, ...]) -> tuple[str | int, ...]:
        """The values of the named attributes."""
        return tuple(getattr(self, name) for name in names)


def pictures(seed: int = SEED) -> list[Picture]:
    """All pictures, families in order; the same picture is never planned twice.

    Args:
        seed: Of the bases and of what each family shows; the catalogue itself has `SEED`.
    """
    known: dict[str, Picture] = {}
    for number, kind in enumerate(KINDS):
        for base in _bases(kind, number, seed):
            for picture in _family(base, kind, seed):
                known.setdefault(picture.id, picture)
    return list(known.values())


def _rng(*what: object, seed: int = SEED) -> random.Random:
    return random.Random(f"{seed} " + " ".join(str(part) for part in what))


def _bases(kind: Kind, number: int, seed: int) -> list[Picture]:
    """One base for each shape: own colours and settings; one is patterned, one is a pair."""
    rng = _rng("bases", kind.name, seed=seed)
    colours = rng.sample([c for c in COLOURS if c not in ("white", "black")], 3)
    settings = rng.sample(BASE_SETTINGS, 3)
    bases = []
    for i, shape in enumerate(kind.shapes):
        setting = _free_setting(settings[i], colours[i], rng)
        material = kind.materials[0]
        patterned = i == 1 and kind.patterned and material in PATTERNABLE
        bases.append(
            Picture(
                kind.name,
                shape.name,
                colours[i],
                material,
                rng.choice(PATTERNS[1:]) if patterned else "plain",
                2 if i == 2 else 1,
                setting,
                ("three-quarter", "front")[(i + number) % 2],
                "lamp" if setting == "night" else _light(setting),
                f"{kind.name.replace(' ', '-')}-{i + 1}",
                "dev" if (i + number) % 3 == 0 else "test",
            )
        )
    return bases


def _free_setting(setting: str, colour: str, rng: random.Random) -> str:
    """The setting, or another one where a thing of this colour does not vanish."""
    if colour not in SETTINGS[setting]:
        return setting
    return rng.choice([s for s in BASE_SETTINGS if colour not in SETTINGS[s]])


def _light(setting: str) -> str:
    """The usual light of a setting."""
    if setting in STUDIO_SETTINGS or setting in ("wooden-table", "brick-wall"):
        return "soft"
    return "lamp" if setting == "night" else "sun"


def _family(base: Picture, kind: Kind, seed: int) -> Iterator[Picture]:
    """The base and its single changes."""
    yield base
    rng = _rng("family", base.family, seed=seed)
    for attribute, wanted in CHANGES.items():
        values = _options(base, kind, attribute)
        for value in _in_order(attribute, values, rng)[:wanted]:
            yield changed(base, attribute, value)


def _in_order(attribute: str, values: list[Any], rng: random.Random) -> list[Any]:
    """In random order, but rare values first; rare colours only every other time."""
    rng.shuffle(values)
    rare = [value for value in values if value in RARE]
    usual = [value for value in values if value not in RARE]
    if attribute != "colour":
        return rare + usual
    pairs = itertools.zip_longest(rare, usual)
    return [value for pair in pairs for value in pair if value is not None]


def changed(picture: Picture, attribute: str, value: str | int) -> Picture:
    """The picture with one attribute changed, and what follows from it."""
    if attribute == "count":
        return replace(picture, count=int(value))
    if attribute == "material":
        colour = OWN_COLOUR.get(str(value), picture.colour)
        return replace(picture, material=str(value), colour=colour)
    if attribute == "setting":
        return replace(picture, setting=str(value), light=_light(str(value)))
    return replace(picture, **{attribute: str(value)})  # type: ignore[arg-type]


def _options(base: Picture, kind: Kind, attribute: str) -> list[Any]:
    """What an attribute of a base may become."""
    here = getattr(base, attribute)
    options: dict[str, list[Any]] = {
        "colour": _colours(base),
        "material": _materials(base, kind),
        "setting": [s for s in SETTINGS if base.colour not in SETTINGS[s]],
        "pattern": list(PATTERNS) if kind.patterned and base.material in PATTERNABLE else [],
        "count": list(COUNTS),
        "angle": list(ANGLES),
        "shape": [shape.name for shape in kind.shapes],
        "light": ["hard"] if base.setting in STUDIO_SETTINGS and base.family[-1] == "1" else [],
    }
    return [value for value in options[attribute] if value != here]


def _colours(base: Picture) -> list[str]:
    """Colours that show in the base's setting; white glass would be no colour at all."""
    lost = SETTINGS[base.setting] + (("white", "black") if base.material == "glass" else ())
    return [c for c in COLOURS if c not in lost]


def _materials(base: Picture, kind: Kind) -> list[str]:
    """Other materials; a patterned base stays with those that take a pattern."""
    if base.pattern != "plain":
        return [m for m in kind.materials if m in PATTERNABLE]
    return list(kind.materials)


@dataclass(frozen=True)
class Query:
    """A composed query: a reference, the changes asked for, the words and the exact targets."""

    reference: Picture
    changes: tuple[tuple[str, str | int], ...]
    text: str
    targets: tuple[str, ...]


def queries() -> list[Query]:
    """All queries, balanced over types and kinds."""
    return balanced(possible(pictures()), QUERIES_A_TYPE, TWO_CHANGE_QUERIES)


def balanced(pool: Iterable[Query], a_type: int, two: int) -> list[Query]:
    """So many queries of each type, and of two changes, kinds of things in turn."""
    found: dict[str, list[Query]] = defaultdict(list)
    for query in pool:
        names = [name for name, _ in query.changes]
        found[names[0] if len(names) == 1 else "two"].append(query)
    chosen: list[Query] = []
    for name, group in sorted(found.items()):
        wanted = two if name == "two" else a_type
        chosen += _balanced(group, wanted, _rng("choose", name))
    return chosen


def possible(gallery: list[Picture]) -> Iterator[Query]:
    """Every query that the gallery can answer, one for each reference and change."""
    by_identity: dict[tuple[str | int, ...], list[Picture]] = defaultdict(list)
    for picture in gallery:
        by_identity[picture.attributes(IDENTITY)].append(picture)
    by_kind: dict[str, list[Picture]] = defaultdict(list)
    for picture in gallery:
        by_kind[picture.kind].append(picture)
    seen = set()
    for pool in by_kind.values():
        for reference, other in itertools.permutations(pool, 2):
            changes = changes_between(reference, other)
            key = (reference.id, changes)
            if 1 <= len(changes) <= 2 and key not in seen:
                seen.add(key)
                query = _query(reference, changes, pool)
                if query is not None:
                    yield query


def changes_between(reference: Picture, other: Picture) -> tuple[tuple[str, str | int], ...]:
    """What a text must ask for to get from one picture to the other.

    Identity attributes first; camera angle or light only where nothing else differs, because
    they are free unless named. Going to a material with its own colour does not name the colour.
    """
    names = [n for n in IDENTITY if getattr(reference, n) != getattr(other, n)]
    if other.material in OWN_COLOUR and "material" in names and "colour" in names:
        names.remove("colour")
    if not names:
        names = [n for n in NUISANCE if getattr(reference, n) != getattr(other, n)]
        names = names if len(names) == 1 else []
    return tuple((name, getattr(other, name)) for name in names)


def _query(
    reference: Picture, changes: tuple[tuple[str, str | int], ...], pool: list[Picture]
) -> Query | None:
    """The query, or nothing where its targets reach into the other split."""
    hits = [p for p in pool if p != reference and satisfies(reference, changes, p)]
    if not hits or any(p.split != reference.split for p in hits):
        return None
    return Query(reference, changes, _text(reference, changes), tuple(p.id for p in hits))


def satisfies(
    reference: Picture, changes: tuple[tuple[str, str | int], ...], picture: Picture
) -> bool:
    """The target rule: changed attributes as asked, all other identity attributes kept."""
    asked = dict(changes)
    if asked.get("material") in OWN_COLOUR:
        asked["colour"] = OWN_COLOUR[str(asked["material"])]
    wanted = {name: getattr(reference, name) for name in IDENTITY} | asked
    return all(getattr(picture, name) == value for name, value in wanted.items())


def _text(reference: Picture, changes: tuple[tuple[str, str | int], ...]) -> str:
    rng = _rng("text", reference.id, changes)
    if len(changes) == 1:
        return wording.ask(reference.kind, *changes[0], rng)
    parts = list(changes)
    if rng.random() < 0.5:
        parts.reverse()
    first, second = (_short(reference.kind, *change, rng) for change in parts)
    return rng.choice((f"{first} and {second}", f"{first}, {second}", f"{first}, and {second}"))


def _short(kind: str, attribute: str, value: str | int, rng: random.Random) -> str:
    """The fragment for a text of two changes: the plain forms only."""
    return rng.choice(wording.asks(kind, attribute, value)[:2][: 1 + (attribute != "colour")])


def _balanced(pool: list[Query], wanted: int, rng: random.Random) -> list[Query]:
    """Draws queries, taking kinds and kinds of change in turn."""
    groups: dict[tuple[str, ...], list[Query]] = defaultdict(list)
    for query in pool:
        groups[(query.reference.kind,)].append(query)
    for group in groups.values():
        rng.shuffle(group)
    names = sorted(groups)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*(groups[name] for name in names)))
    return [query for query in turns if query is not None][:wanted]


def gallery_rows(planned: Iterable[Picture] | None = None) -> list[dict[str, Any]]:
    """Lines of `gallery.jsonl`: of the catalogue, or of the pictures given."""
    rows = []
    for p in pictures() if planned is None else planned:
        rng = _rng("caption", p.id)
        what = wording.thing(p.kind, p.shape, p.colour, p.material, p.pattern, p.count, rng)
        caption = wording.caption(what, p.kind, p.setting, p.angle, p.light, rng)
        rows.append({"id": p.id, "file": f"images/{p.id}.jpg", **asdict(p), "caption": caption})
    return rows


def query_rows() -> list[dict[str, Any]]:
    """Lines of `queries.jsonl`."""
    return [
        {
            "id": f"q{number:04d}",
            "reference": query.reference.id,
            "text": query.text,
            "targets": list(query.targets),
            "changes": dict(query.changes),
            "type": "+".join(name for name, _ in query.changes),
            "split": query.reference.split,
        }
        for number, query in enumerate(queries(), 1)
    ]


def dataset() -> dict[str, Any]:
    """What `dataset.json` says."""
    return {
        "name": "catalogue",
        "description": "A made-up shop: rendered product photographs and composed queries.",
        "exclude_reference": True,
        "metrics": ["recall@1", "recall@5", "recall@10", "recall@50", "map@10"],
        "group": ["family"],
        "licence": "CC0-1.0",
        "source": "Rendered by render/render.py of composir with Blender 5.0.1 (Cycles).",
        "seed": SEED,
        "image_size": [SIZE, SIZE],
    }


def write(folder: Path) -> None:
    """Writes the three files of the dataset folder."""
    (folder / "dataset.json").write_text(json.dumps(dataset(), indent=2) + "\n")
    for name, rows in (("gallery", gallery_rows()), ("queries", query_rows())):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)


def counts(attribute: str) -> Counter[str | int]:
    """How many pictures have each value of an attribute."""
    return Counter(getattr(picture, attribute) for picture in pictures())
