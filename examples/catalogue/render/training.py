"""Pictures and triplets to train on: other families of the same kinds, said in other words.

No picture here has the kind, shape, colour, material, pattern, count and setting of one in the
catalogue, and no text is one of the catalogue's wordings, so what is reported on the catalogue is
neither known picture nor known phrase. Pure Python, like `plan.py`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import plan
from vocabulary import COLOURS, KINDS
from wording import filled

#: Two rounds of families; each has its own bases.
SEEDS = (71, 72)

#: Triplets of each type: one attribute changed, or two.
TRIPLETS_A_TYPE = 400
TWO_CHANGE_TRIPLETS = 1600

COLOUR = ("turn it {}", "{} this time", "change the colour to {}", "rather {} than {old}",
          "paint it {}", "give me the {} one", "not {old} but {}")  # fmt: skip
MATERIAL = ("from {}", "of {}", "make it from {}", "{} as the material", "as a {} thing",
            "{} rather than {old}")  # fmt: skip
PATTERN = {
    "plain": ("no pattern", "all one colour", "remove the pattern", "unpatterned"),
    "striped": ("stripes on it", "a striped one", "add stripes", "covered in stripes"),
    "dotted": ("dots on it", "a dotted one", "add polka dots", "spotted all over"),
    "checked": ("checks on it", "a checked one", "like a chessboard", "a chequered one"),
}
COUNT = {
    1: ("only one", "one alone", "by itself", "keep one of them"),
    2: ("a second one beside it", "twice", "as a pair", "both of a pair"),
    3: ("a set of three", "three side by side", "as a trio", "make it three"),
}
SETTING = {
    "white-studio": ("before plain white", "make the background white", "white all around"),
    "grey-studio": ("before plain grey", "make the background grey", "grey all around"),
    "yellow-wall": ("before something yellow", "make the wall yellow", "a yellow background"),
    "blue-wall": ("before something blue", "make the wall blue", "a blue background"),
    "wooden-table": ("placed on boards", "on a surface of wood", "with wood below"),
    "marble": ("placed on stone", "on a surface of marble", "with marble below"),
    "brick-wall": ("before a wall of bricks", "a brick background", "bricks at the back"),
    "night": ("after dark", "at night", "when it is dark, by a lamp"),
    "lawn": ("in the garden", "in a meadow", "with grass below"),
    "beach": ("at the seaside", "in the sand", "on a holiday by the sea"),
}
ANGLE = {
    "front": ("straight from the front", "face on", "from eye level"),
    "three-quarter": ("turned a little", "from the side and above", "show it at an angle"),
    "above": ("from above", "from the top", "a view from overhead"),
}
LIGHT = {
    "hard": ("in harsh light", "with sharp shadows", "in direct sun"),
    "soft": ("in gentle light", "without hard shadows", "in even light"),
}
SHAPE = ("as a {}", "the shape of a {}", "a {} rather", "choose a {}")
JOINED = ("{} and {}", "{}, {}", "{}, then {}", "{} but also {}")


def pictures() -> list[plan.Picture]:
    """All training pictures: none has the identity of one in the catalogue."""
    taken = {picture.attributes(plan.IDENTITY) for picture in plan.pictures()}
    known: dict[str, plan.Picture] = {}
    for seed in SEEDS:
        for picture in plan.pictures(seed):
            family = f"train-{seed}-{picture.family}"
            if picture.attributes(plan.IDENTITY) not in taken:
                known.setdefault(picture.id, replace(picture, family=family, split="train"))
    return list(known.values())


def triplets(gallery: list[plan.Picture]) -> Iterator[dict[str, Any]]:
    """Lines of `queries.jsonl`, balanced over types and kinds."""
    pool = plan.possible(gallery)
    chosen = plan.balanced(pool, TRIPLETS_A_TYPE, TWO_CHANGE_TRIPLETS)
    for number, query in enumerate(chosen):
        yield {
            "id": f"t{number:05d}",
            "reference": query.reference.id,
            "text": text(query),
            "targets": list(query.targets),
            "changes": dict(query.changes),
            "type": "+".join(name for name, _ in query.changes),
        }


def text(query: plan.Query) -> str:
    """What leads from the reference to the targets, in words of this file."""
    rng = random.Random(f"{SEEDS} {query.reference.id} {query.changes}")
    parts = [_ask(query.reference, *change, rng) for change in query.changes]
    rng.shuffle(parts)
    return rng.choice(JOINED).format(*parts) if len(parts) > 1 else parts[0]


def _ask(reference: plan.Picture, attribute: str, value: str | int, rng: random.Random) -> str:
    forms: dict[str, Any] = {
        "colour": dict.fromkeys(COLOURS, COLOUR),
        "material": {value: MATERIAL},
        "shape": {value: SHAPE},
        "pattern": PATTERN,
        "count": COUNT,
        "setting": SETTING,
        "angle": ANGLE,
        "light": LIGHT,
    }
    said = _noun(reference.kind, value) if attribute == "shape" else value
    form = str(rng.choice(forms[attribute][value]))
    return filled(form, said, old=getattr(reference, attribute))


def _noun(kind: str, shape: str | int) -> str:
    found = next(one for one in KINDS if one.name == kind)
    return next(one.one for one in found.shapes if one.name == shape)


def write(folder: Path) -> None:
    """Writes the data set's three files; the pictures come from `render.py --training`."""
    folder.mkdir(parents=True, exist_ok=True)
    gallery = pictures()
    about = plan.dataset() | {
        "name": "catalogue-train",
        "description": "Rendered things to train on; none of them is in the catalogue.",
        "seed": list(SEEDS),
    }
    (folder / "dataset.json").write_text(json.dumps(about, indent=2) + "\n")
    rows = {"gallery": plan.gallery_rows(gallery), "queries": list(triplets(gallery))}
    for name, lines in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
