"""Labelled queries for the confidence that have a picture: alone, altered, or with words."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from confidence_queries import CATALOGUE, DOMAINS, Asked, Places, Pool, Pools, planned
from PIL import Image, ImageOps

ALIKE = ("animals", "drawings", "grocery", "garments", "catalogue")
REFERENCES = 6
COPIES = 60
COMPOSED = 120


def _smaller(rgb: Image.Image) -> Image.Image:
    """Half the size, saved as a poor JPEG."""
    half = rgb.resize((max(rgb.width // 2, 16), max(rgb.height // 2, 16)))
    buffer = io.BytesIO()
    half.save(buffer, "JPEG", quality=50)
    return Image.open(buffer).convert("RGB")


def _cropped(rgb: Image.Image) -> Image.Image:
    """Without a tenth at each edge."""
    x, y = rgb.width // 10, rgb.height // 10
    return rgb.crop((x, y, rgb.width - x, rgb.height - y))


ALTERATIONS = {"smaller": _smaller, "cropped": _cropped, "mirrored": ImageOps.mirror}


def asked_by_pictures(pools: Pools) -> Iterator[Asked]:
    """Pictures alone: others that show the same thing, and what they are altered copies of."""
    for domain in ALIKE:
        for noun in DOMAINS[domain].nouns:
            for reference in pools.draw(pools.by_name[domain].showing(noun), REFERENCES):
                yield from _alike_asked(pools, domain, noun, int(reference))
    for domain, pool in pools.by_name.items():
        for reference in pools.draw(np.arange(len(pool.files)), COPIES):
            for altered in ALTERATIONS:
                right = np.arange(len(pool.files)) == reference
                share = 1 / len(right)
                place = int(reference)
                yield Asked(domain, "copy", share, "", pool.places, right, 1, place, altered)


def _alike_asked(pools: Pools, domain: str, noun: str, reference: int) -> Iterator[Asked]:
    pool = pools.by_name[domain]
    there = np.setdiff1d(pool.showing(noun), [reference])
    plans = list(planned(len(there)))
    chosen = pools.draw(np.arange(len(plans)), 3)
    for number, (share, size) in enumerate(plans[place] for place in chosen):
        targets = pools.draw(there, round(share * size))
        yield from _twins(pools, domain, noun, "image", "", reference, targets, size, number)


def _twins(
    pools: Pools,
    domain: str,
    noun: str | None,
    kind: str,
    text: str,
    reference: int,
    targets: Places,
    size: int,
    number: int,
) -> Iterator[Asked]:
    """A gallery with the targets, and one of its size without."""
    pool = pools.by_name[domain]
    filling = pools.filling(domain, noun, size - len(targets))
    gallery = np.concatenate([pool.places[targets], filling])
    right = np.arange(len(gallery)) < len(targets)
    share = len(targets) / size
    yield Asked(domain, kind, share, text, gallery, right, reference=reference)
    own = noun is not None and number % 2 == 0
    absent = pools.filling(domain, noun if own else None, size)
    nothing = np.zeros(len(absent), dtype=bool)
    yield Asked(domain, kind, 0.0, text, absent, nothing, reference=reference)


def asked_by_both(pools: Pools, data: Path) -> Iterator[Asked]:
    """Pictures with words: the composed queries of three data sets, as far as pools have them."""
    folders = {
        "catalogue": CATALOGUE,
        "drawings": data / "pacs-domains",
        "garments": data / "fashion-recolour",
    }
    for domain, folder in folders.items():
        pool = pools.by_name[domain]
        places = {path.stem: place for place, path in enumerate(pool.files)}
        lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
        queries = [json.loads(line) for line in lines]
        held = [query for query in queries if query["reference"] in places]
        for number, place in enumerate(pools.draw(np.arange(len(held)), COMPOSED)):
            query = held[place]
            targets = [places[target] for target in query["targets"] if target in places]
            reference = places[query["reference"]]
            yield from _composed_asked(
                pools, domain, pool, query["text"], reference, targets, number
            )


def _composed_asked(
    pools: Pools,
    domain: str,
    pool: Pool,
    text: str,
    reference: int,
    targets: list[int],
    number: int,
) -> Iterator[Asked]:
    others = np.setdiff1d(np.arange(len(pool.files)), [reference, *targets])
    rest = np.concatenate([pool.places[others], pools.filling(domain, None, 1000)])
    for share, size in list(planned(len(targets)))[number % 2 :: 2]:
        chosen = pools.draw(np.asarray(targets), round(share * size))
        filling = pools.draw(rest, size - len(chosen))
        gallery = np.concatenate([pool.places[chosen], filling])
        right = np.arange(len(gallery)) < len(chosen)
        yield Asked(domain, "both", share, text, gallery, right, reference=reference)
        # By turns its own pool, where much is like what is asked, and others.
        absent = pool.places[others] if number % 4 < 2 else pools.filling(domain, None, size)
        absent = pools.draw(absent, size)
        nothing = np.zeros(len(absent), dtype=bool)
        yield Asked(domain, "both", 0.0, text, absent, nothing, reference=reference)
