"""Labelled queries for the confidence: what is asked, of which gallery, and what is right there.

Galleries are drawn from pools of pictures that the model was not trained on. A pool knows which
nouns each of its pictures shows; a noun is asked of galleries in which a given share of the
pictures shows it, from none to all. What fills the rest comes from pools that cannot show it (no
armchair among groceries) and from its own pool. Nothing is drawn twice the same: one seed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mini_recipe import read_corpus
from numpy.typing import NDArray

from composir.bench.encode import encode_pictures
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.model import Model
from composir.types import FloatArray

CATALOGUE = Path(__file__).resolve().parents[1] / "examples" / "catalogue"
PHRASES = {"noun": "{}", "a noun": "a {}", "a photo": "a photo of a {}"}
SHARES = (0.002, 0.01, 0.05, 0.5, 1.0)
SIZES = (60, 200, 1000, 2000)
FEWEST = 16
Row = dict[str, Any]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pool:
    """Pictures of one data set that the model was not trained on.

    Attributes:
        name: Of the domain.
        places: (n,) of its pictures in the matrix of all pools.
        vectors: (n, D) float32.
        shows: For each picture the nouns that it is known to show.
        sentences: For each picture captions of its own.
        files: For each picture where it lies.
    """

    name: str
    places: Places
    vectors: FloatArray
    shows: tuple[frozenset[str], ...]
    sentences: tuple[tuple[str, ...], ...]
    files: tuple[Path, ...]

    def showing(self, noun: str) -> Places:
        """Which pictures show a noun."""
        return np.flatnonzero([noun in nouns for nouns in self.shows])

    def lacking(self, noun: str) -> Places:
        """Which do not."""
        return np.flatnonzero([noun not in nouns for nouns in self.shows])


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one gallery.

    Attributes:
        domain: Whose nouns or sentences it is of.
        kind: Of query: a key of `PHRASES`, `sentence`, `image` or `both`.
        share: Of the gallery's pictures that are right, as drawn; 0 where nothing is.
        text: Its words.
        gallery: (n,) places in the matrix of all pools.
        right: (n,) which of them are right.
        lenient: How many of the first hits may hold the right one for the answer to be good.
        reference: Place in its domain's pool of the query's picture, where it has one.
        altered: How that picture was altered before it was asked about.
    """

    domain: str
    kind: str
    share: float
    text: str
    gallery: Places
    right: NDArray[np.bool_]
    lenient: int = 1
    reference: int | None = None
    altered: str = ""

    def answered(self, scores: FloatArray) -> bool:
        """Whether the answer is good: the first hit is right, or three of the first five are.

        Other pictures than its own may fit a sentence and nobody has said so: `lenient` hits.
        """
        first = np.argsort(-scores, kind="stable")[:5]
        return bool(self.right[first[: self.lenient]].any() or self.right[first].sum() >= 3)


@dataclass(frozen=True, slots=True)
class Domain:
    """What is asked of one pool.

    Attributes:
        nouns: That its pictures may show; picked so that what is not labelled is not there.
        fillers: Pools that show none of them.
        complete: Whether its labels tell all that a picture shows, so that the rest of its own
            pictures is a gallery without the noun too, and a harder one.
    """

    nouns: tuple[str, ...]
    fillers: tuple[str, ...]
    complete: bool = True


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


SCENES = _words(
    "bed, sofa, armchair, sink, bathtub, toilet, refrigerator, stove, car, mountain, sea, sky, "
    "stairs, fireplace, chandelier, bookcase, desk, traffic light, palm, bridge, river, "
    "skyscraper, pool table, washing machine, computer, bicycle, boat, bus, airplane, waterfall, "
    "streetlight, window, road, building, curtain, lamp, mirror, microwave, grass, tree, sand"
)
SEEN = _words(
    "dog, snow, beach, bicycle, skateboard, horse, guitar, boat, mountain, swimming pool, "
    "football, motorcycle, camera, waterfall, surfboard, baby, bird, swing, tent, tree, ocean, "
    "cliff, car, soccer, tennis, basketball, slide, river, lake, fountain, sand, trampoline"
)
KINDS = _words(
    "mug, vase, bowl, teapot, table lamp, plant pot, armchair, cushion, gift box, handbag, "
    "stool, clock, candle holder, bottle, side table"
)
GARMENTS = _words(
    "t-shirt, shoe, sandal, belt, wallet, tie, sock, dress, skirt, hat, shorts, handbag, hoodie, "
    "blazer"
)
GROCERIES = _words(
    "apple, juice, milk, yoghurt, melon, tomato, pear, pepper, potato, orange, kiwi, banana, "
    "carrots, lemon, avocado, mushroom, onion, peach, nectarine, mango, lime, zucchini, cucumber, "
    "pineapple, pomegranate, garlic, leek, plum, aubergine, papaya, cabbage, ginger, asparagus"
)
DRAWN = ("dog", "elephant", "giraffe", "guitar", "horse")
# Class numbers of ImageNet run by kind: these stretches are kinds of animal that people ask for.
ANIMALS = {
    "fish": [(0, 6), (389, 397)],
    "bird": [(7, 24), (80, 100), (127, 146)],
    "frog": [(30, 32)],
    "turtle": [(33, 37)],
    "lizard": [(38, 48)],
    "snake": [(52, 68)],
    "spider": [(72, 77)],
    "crab": [(118, 121)],
    "dog": [(151, 268)],
    "cat": [(281, 285)],
    "bear": [(294, 297)],
    "beetle": [(300, 307)],
    "butterfly": [(321, 326)],
    "monkey": [(365, 382)],
    "elephant": [(385, 386)],
}
LAST_ANIMAL = 397

DOMAINS = {
    "scenes": Domain(SCENES, ("grocery", "garments"), complete=False),
    "photos": Domain(SEEN, ("grocery", "garments", "catalogue"), complete=False),
    "animals": Domain(tuple(ANIMALS), ("scenes", "grocery", "garments", "catalogue")),
    "drawings": Domain(DRAWN, ("grocery", "garments", "catalogue", "scenes")),
    "grocery": Domain(GROCERIES, ("scenes", "garments", "catalogue", "drawings")),
    "garments": Domain(GARMENTS, ("scenes", "grocery")),
    "catalogue": Domain(KINDS, ("grocery", "drawings", "photos")),
}


@dataclass(frozen=True, slots=True)
class Pools:
    """All pools by name, the (n, D) matrix of their vectors, and the seeded draws from them."""

    by_name: dict[str, Pool]
    matrix: FloatArray
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(15))

    def draw(self, places: Places, count: int) -> Places:
        """At most so many of some places."""
        return self.generator.permutation(places)[:count]

    def filling(self, domain: str, noun: str | None, count: int) -> Places:
        """At most so many places of pictures that lack a noun; of other pools alone for None."""
        own = self.by_name[domain]
        lacking = [own.places[own.lacking(noun)]] if noun is not None else []
        others = [self.by_name[name].places for name in DOMAINS[domain].fillers]
        return self.draw(np.concatenate(lacking + others), count)


def load_pools(model: Model, data: Path, cache: FeatureStore) -> Pools:
    """Read and encode the pools.

    Args:
        model: Whose confidence it is.
        data: Folder of the data sets.
        cache: Where vectors are kept.
    """
    readers: dict[str, Callable[[Path], Iterator[tuple[Path, Row]]]] = {
        "scenes": lambda data: _listed(data / "ade-scenes", 2),
        "photos": lambda data: _listed(data / "flickr8k-dev", 2),
        "animals": lambda data: _listed(data / "imagenet-samples", 1),
        "drawings": lambda data: _untrained(data, "pacs-domains", 1),
        "grocery": lambda data: _untrained(data, "grocery-train", 1),
        "garments": _garments,
        "catalogue": lambda _: _listed(CATALOGUE, 1),
    }
    pools: dict[str, Pool] = {}
    begin = 0
    for name, read in readers.items():
        pools[name] = _pool(name, begin, list(read(data)), model, cache)
        begin += len(pools[name].files)
    return Pools(pools, np.concatenate([pool.vectors for pool in pools.values()]))


def reference_pictures(data: Path) -> list[Path]:
    """Pictures of all training sets for a bundle's background: none of them in any pool."""
    wanted = {"flickr8k-train": 104, "fashion-recolour": 38, "pacs-domains": 38}
    wanted |= {"grocery-train": 38, "clothing-train": 38}
    chosen: list[Path] = []
    for name, count in wanted.items():
        files = [p.file for p in read_corpus(data, (name,)) if p.split == "train"]
        chosen += files[:: len(files) // count][:count]
    return chosen


def _pool(
    name: str, begin: int, listed: Sequence[tuple[Path, Row]], model: Model, cache: FeatureStore
) -> Pool:
    pictures = {str(path): ImageFile(path) for path, _ in listed}
    vectors = encode_pictures(model, pictures, cache=cache).matrix
    shows = tuple(_shown(name, row) for _, row in listed)
    sentences = tuple(tuple(_sentences(row)) for _, row in listed)
    places = np.arange(begin, begin + len(vectors))
    return Pool(name, places, vectors, shows, sentences, tuple(path for path, _ in listed))


def _listed(folder: Path, step: int) -> Iterator[tuple[Path, Row]]:
    lines = (folder / "gallery.jsonl").read_text(encoding="utf-8").splitlines()[::step]
    rows: list[Row] = [json.loads(line) for line in lines]
    return ((folder / row["file"], row) for row in rows)


def _untrained(data: Path, name: str, step: int) -> Iterator[tuple[Path, Row]]:
    held = {picture.file for picture in read_corpus(data, (name,)) if picture.split == "dev"}
    kept = [(path, row) for path, row in _listed(data / name, 1) if path in held]
    return iter(kept[::step])


def _garments(data: Path) -> Iterator[tuple[Path, Row]]:
    yield from _untrained(data, "clothing-train", 1)
    yield from _untrained(data, "fashion-recolour", 2)


def _shown(domain: str, row: Row) -> frozenset[str]:
    nouns = DOMAINS[domain].nouns
    if domain == "scenes":
        return frozenset(row["objects"]) & frozenset(nouns)
    if domain == "photos":
        told = " ".join(row["captions"]).lower()
        return frozenset(noun for noun in nouns if re.search(rf"\b{noun}s?\b", told))
    if domain == "animals":
        return frozenset(name for name, stretches in ANIMALS.items() if _within(row, stretches))
    if domain == "catalogue":
        return frozenset({row["kind"]})
    said = str(row.get("coarse") or row.get("type") or row.get("class")).lower().replace("-", " ")
    return frozenset(noun for noun in nouns if _is_kind(said, noun.replace("-", " ")))


def _within(row: Row, stretches: list[tuple[int, int]]) -> bool:
    return any(first <= row["index"] <= last for first, last in stretches)


def _is_kind(said: str, noun: str) -> bool:
    """Whether a label says a noun, in the plural, or as the last word of a longer name."""
    label = said.replace("tshirt", "t shirt").replace("dresses", "dress")
    if noun == "shirt" and "t shirt" in label:
        return False
    return re.search(rf"\b{re.escape(noun)}(s|es)?$", label) is not None


def _sentences(row: Row) -> list[str]:
    told = row.get("captions") or ([row["caption"]] if "caption" in row else [])
    return [re.sub(r"\s+([.,])", r"\1", caption).strip(" .") for caption in told]


def asked_in_words(pools: Pools) -> Iterator[Asked]:
    """Nouns of every domain, and sentences of those that have captions."""
    for name, domain in DOMAINS.items():
        for noun in domain.nouns:
            yield from _noun_asked(pools, name, noun)
        if any(pools.by_name[name].sentences):
            yield from _sentences_asked(pools, name)


def _noun_asked(pools: Pools, domain: str, noun: str) -> Iterator[Asked]:
    """Each gallery that shows the noun has a twin of its size that does not.

    Otherwise the size would tell: a noun of ten pictures fills no large gallery by half.
    """
    pool, complete = pools.by_name[domain], DOMAINS[domain].complete
    there = pool.showing(noun)
    for number, (share, size) in enumerate(planned(len(there))):
        right = pool.places[pools.draw(there, round(share * size))]
        gallery = np.concatenate([right, pools.filling(domain, noun, size - len(right))])
        truth = np.arange(len(gallery)) < len(right)
        # Nobody labelled all that is in a scene: where nothing may be right, others fill it.
        own = complete and number % 2 == 0
        absent = pools.filling(domain, noun if own else None, size)
        nothing = np.zeros(len(absent), dtype=bool)
        for phrase, form in PHRASES.items():
            text = form.format(noun)
            yield Asked(domain, phrase, share, text, gallery, truth)
            yield Asked(domain, phrase, 0.0, text, absent, nothing)


def planned(available: int) -> Iterator[tuple[float, int]]:
    """Shares and sizes of galleries that so many right pictures suffice for."""
    for share in SHARES:
        sizes = {min(size, int(available / share)) for size in SIZES}
        yield from ((share, size) for size in sorted(sizes) if size >= FEWEST and share * size >= 1)


def _sentences_asked(pools: Pools, domain: str) -> Iterator[Asked]:
    pool = pools.by_name[domain]
    for place in pools.draw(np.arange(len(pool.files)), 200):
        sentence = pool.sentences[place][0]
        size = int(pools.generator.choice(SIZES))
        others = np.delete(np.arange(len(pool.files)), place)
        rest = np.concatenate([pool.places[others], pools.filling(domain, None, size)])
        rest = pools.draw(rest, size - 1)
        gallery = np.concatenate([pool.places[[place]], rest])
        first = np.arange(len(gallery)) == 0
        yield Asked(domain, "sentence", 1 / size, sentence, gallery, first, 5)
        absent = pools.filling(domain, None, size)
        yield Asked(domain, "sentence", 0.0, sentence, absent, np.zeros(len(absent), bool), 5)


EVERYDAY = ("snow", "dog", "beach", "bicycle", "camera", "giraffe", "pineapple", "teapot")


def asked_of_photographs(pools: Pools) -> Iterator[Asked]:
    """Nouns of everyday asked of all photographs."""
    pool = pools.by_name["photos"]
    for noun in EVERYDAY:
        right = np.array([noun in nouns for nouns in pool.shows])
        for phrase, form in PHRASES.items():
            yield Asked("photos", phrase, right.mean(), form.format(noun), pool.places, right)
