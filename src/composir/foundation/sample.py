"""The pictures and queries that a new bundle's settings are fitted on: rendered, CC0.

They are of the dev part of the sample catalogue (`benchmarks/pack_sample.py` packs them).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from PIL import Image


@dataclass(frozen=True, slots=True)
class SampleQuery:
    """A composed query; pictures are named by their places.

    Attributes:
        reference: The picture that it begins with.
        text: What is to be another.
        targets: Right answers.
    """

    reference: int
    text: str
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Labelled pictures and queries.

    Attributes:
        pictures: RGB.
        kinds: What each shows, in a noun.
        queries: Composed queries over them.
    """

    pictures: tuple[Image.Image, ...]
    kinds: tuple[str, ...]
    queries: tuple[SampleQuery, ...]


def read_sample() -> Sample:
    """The packaged one."""
    folder = files("composir.foundation") / "sample"
    told = json.loads((folder / "sample.json").read_text(encoding="utf-8"))
    pictures = []
    for row in told["pictures"]:
        with (folder / f"{row['id']}.jpg").open("rb") as file:
            pictures.append(Image.open(file).convert("RGB"))
    return Sample(
        tuple(pictures),
        tuple(row["kind"] for row in told["pictures"]),
        tuple(
            SampleQuery(query["reference"], query["text"], tuple(query["targets"]))
            for query in told["queries"]
        ),
    )
