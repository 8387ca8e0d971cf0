"""What "without X" does: how many hits show X, and whether the rest of the query is still found.

    python benchmarks/negation.py --data FOLDER [--sets flickr8k-dev ade-scenes] [--write]

A picture shows X if one of its captions names it (flickr8k; things that captions name reliably), or
if it is among its labelled objects (ade-scenes). Three kinds of query, each with one X:

- **image**: a reference that shows X (most of its captions say so). *Kept*: how many hits show the
  other things of the reference.
- **words**: a caption of a picture that does not show X, where X is among the first hits of the
  caption. *Kept*: R@10 of that picture.
- **image and words**: a reference that shows X, a caption of a picture near that does not.
  *Kept*: R@10 of that picture.

Ways: X ignored; "without X" in the words, composed like any other words; the rule before it was
changed (`normalise(query - 0.5 X)`); `--not X` as it is; "without X" in the words as it is read;
and taking out all pictures that show X by their labels, the most that any way can do.
Sets with queries of their own (fashion-recolour: "navy blue instead of white") show whether their
texts are better read or taken as they are: R@10 of those that say a negation, at most 300, over a
part of the gallery.
Of ade-scenes and fashion-recolour, only what mini was not trained on is asked about.
Settings were chosen on `flickr8k-train` (every fifth picture): `--sets flickr8k-train`.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from held_out import part_of, read_rows
from numpy.typing import NDArray
from PIL import Image
from quality import ROOT
from real_edits import kept_apart

from composir.bench.encode import encode_pictures
from composir.bench.evaluation import VectorSource, load_tasks, prepare
from composir.bench.memo import remembering_texts
from composir.bench.protocol import compose, outcomes, rank
from composir.bench.significance import bootstrap
from composir.bench.task import LoadOptions
from composir.compose import load_composer
from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.compose.negation import read_negation
from composir.compose.sphere import normalised
from composir.compose.understand import understand
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.images import read_image
from composir.model import load_model
from composir.model.base import EmbeddingModel
from composir.types import FloatArray, Query

RESULTS = ROOT / "benchmarks" / "results" / "negation.md"
SETS = ["flickr8k-dev", "ade-scenes", "fashion-recolour"]
OLD_WEIGHT = 0.5
SEED = 0

CAPTIONED: Mapping[str, str] = {
    "people": r"people|persons?|m[ae]n|wom[ae]n|boys?|girls?|child(ren)?|kids?|lady|ladies|guys?|"
    r"crowd|baby|toddlers?|players?|skiers?|surfers?|climbers?|adults?|couple|friends|family|"
    r"skateboarders?|snowboarders?|bikers?|cyclists?|hikers?|team|rider|someone|teenagers?",
    "children": r"child(ren)?|kids?|boys?|girls?|toddlers?|baby|babies",
    "a dog": r"dogs?|pupp(y|ies)|greyhounds?|terriers?|retrievers?|poodles?",
    "a horse": r"horses?",
    "water": r"water|ocean|sea|lake|river|pool|pond|waves?|stream|surf|waterfall|fountain|creek",
    "snow": r"snow(y|boards?|boarding|boarders?|ball|drift)?|skis?|skiing|skiers?|sled(ding)?",
    "grass": r"grass(y)?|lawn|fields?",
    "a beach": r"beach|shore|sand",
    "a mountain": r"mountains?|hills?|cliffs?",
    "a rock": r"rocks?|rocky|cliffs?|boulders?",
    "a ball": r"(base|foot|basket|soccer|volley|tennis)?balls?",
    "a stick": r"sticks?|branch|log",
    "a bicycle": r"bicycles?|bikes?|bicyclists?|cyclists?|bikers?",
    "a motorcycle": r"motorcycles?|motorbikes?|dirt bikes?|motocross",
    "a car": r"cars?|trucks?|vans?|vehicles?|taxi",
    "a skateboard": r"skateboards?|skateboarders?|skateboarding|skating",
    "a swing": r"swings?|slides?|playground",
    "a bench": r"bench|benches|seat|chairs?",
    "a climber": r"climb(s|ing|er|ers)?",
    "a football player": r"football",
}
"""Things by the words that name them: of pictures that one caption says show it, at least two in
five have three captions that say so (counted on flickr8k-train). Hats, trees, sunglasses, buildings
and red shirts failed that: captions name them now and then, so that their absence says nothing."""

LABELLED = (
    *("tree", "person", "car", "grass", "plant", "painting", "lamp", "curtain", "mountain"),
    *("bed", "table", "chair", "water", "flower", "sofa", "mirror", "fence", "signboard"),
)


@dataclass(frozen=True)
class Pictures:
    """One set: vectors, and what its pictures show.

    Attributes:
        name: Of the set.
        vectors: (n, D) float32, unit norm.
        files: Their pictures.
        captions: Of each, maybe none.
        counts: (n,) by thing: how surely each picture shows it; 0 for not.
        sure: From which count on a picture can be a reference that shows a thing.
    """

    name: str
    vectors: FloatArray
    files: Sequence[Path]
    captions: Sequence[Sequence[str]]
    counts: Mapping[str, NDArray[np.int64]]
    sure: int

    @cached_property
    def things(self) -> tuple[str, ...]:
        """Names of the things."""
        return tuple(self.counts)


@dataclass(frozen=True)
class Asked:
    """One query.

    Attributes:
        thing: X.
        reference: Position of the reference; None for words alone.
        text: Words beside "without X".
        target: Position of the picture to find; None for an image alone.
        kept: Other things that the reference shows.
    """

    thing: str
    reference: int | None = None
    text: str = ""
    target: int | None = None
    kept: tuple[str, ...] = field(default=())


def main() -> None:
    parser = argparse.ArgumentParser(description="How well negation works.")
    parser.add_argument("--data", type=Path, default=os.environ.get("COMPOSIR_DATA"))
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "vectors")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    model, cache = remembering_texts(load_model(options.model)), FeatureStore(options.cache)
    blocks: list[str] = []
    for name in options.sets:
        if (options.data / name / "queries.jsonl").exists() and not name.startswith("flickr8k"):
            blocks.append(own_texts(options.data / name, model, cache))
        else:
            blocks += tables(read_set(options.data / name, model, cache), model)
    command = shlex.join(["python", "benchmarks/negation.py", "--sets", *options.sets])
    text = document(blocks, command, model)
    print(text)
    if options.write:
        RESULTS.write_text(text, encoding="utf-8")


def read_set(folder: Path, model: EmbeddingModel, cache: FeatureStore) -> Pictures:
    """Read a data set folder, or part of it: at most 1,200 pictures are encoded."""
    rows = read_rows(folder / "gallery.jsonl")[:: 5 if folder.name == "flickr8k-train" else 1]
    if folder.name == "ade-scenes":
        rows = [row for row in rows if kept_apart(row["id"])]
    files = [folder / row["file"] for row in rows]
    pictures = {row["id"]: ImageFile(file) for row, file in zip(rows, files, strict=True)}
    vectors = encode_pictures(model, pictures, cache=cache).matrix
    captions = [row.get("captions", []) for row in rows]
    if any(captions):
        counts = {thing: _named(captions, words) for thing, words in CAPTIONED.items()}
    else:
        counts = {
            thing: np.asarray([thing in row["objects"] for row in rows], dtype=np.int64)
            for thing in LABELLED
        }
    return Pictures(folder.name, vectors, files, captions, counts, 3 if any(captions) else 1)


def _named(captions: Sequence[Sequence[str]], words: str) -> NDArray[np.int64]:
    pattern = re.compile(rf"\b({words})\b", re.IGNORECASE)
    return np.asarray([sum(bool(pattern.search(one)) for one in own) for own in captions])


def tables(pictures: Pictures, model: EmbeddingModel) -> Iterator[str]:
    """One table for each kind of query."""
    composer = load_composer(None, model)
    kinds: dict[str, list[Asked]] = {"image": list(by_image(pictures))}
    if any(pictures.captions):
        kinds["words"] = list(by_words(pictures, model))
        kinds["image and words"] = list(by_both(pictures))
    for kind, asked in kinds.items():
        yield table(f"{pictures.name}, {kind}", Trial(pictures, asked, composer, model))


def own_texts(folder: Path, model: EmbeddingModel, cache: FeatureStore) -> str:
    """R@10 of a set's own queries that say a negation: read, and as they are."""
    task = load_tasks(str(folder), None, LoadOptions())[2][0]
    rows = {row["id"]: row for row in read_rows(folder / "gallery.jsonl")}
    asked = [
        query
        for query in task.queries
        if read_negation(query.texts[0]).negatives
        and part_of(folder.name, rows[query.reference]) == "test"
    ][:300]
    needed = {name for query in asked for name in (*query.targets, query.reference or "")}
    gallery = tuple(
        name for place, name in enumerate(task.gallery) if name in needed or place % 4 == 0
    )
    part = replace(task, queries=tuple(asked), gallery=gallery, pictures=task.pictures)
    prepared = prepare(part, VectorSource(model, cache=cache))
    composer = load_composer(None, model)
    vectors = prepared.table.rows(gallery, task.name)
    lines = [
        f"## {task.name}, texts that negate ({len(asked)} queries, {len(gallery):,} pictures)",
        "",
        "| texts | R@10 |",
        "|---|---|",
    ]
    for name, read in (("as they are", False), ("**read**", True)):
        composed = compose(
            part.queries, composer, prepared.table.by_id(), prepared.openers, read_negation=read
        )
        found = outcomes(rank(prepared.task, composed, vectors), ["recall@10"])[:, 0]
        lines.append(f"| {name} | {_interval(found)} |")
    return "\n".join(lines) + "\n"


def by_image(pictures: Pictures, each: int = 16) -> Iterator[Asked]:
    """References that show X."""
    rng = np.random.default_rng(SEED)
    for thing, count in pictures.counts.items():
        for reference in rng.permutation(np.flatnonzero(count >= pictures.sure))[:each].tolist():
            kept = [
                other
                for other in pictures.things
                if other != thing and pictures.counts[other][reference] >= pictures.sure
            ]
            yield Asked(thing, reference, kept=tuple(kept))


def by_words(pictures: Pictures, model: EmbeddingModel, most: int = 400) -> Iterator[Asked]:
    """Captions among whose first hits three or more show X, which their own picture does not."""
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(pictures.files))
    texts = [_caption(pictures, target, rng) for target in order]
    first = np.argsort(-(model.encode_texts(texts) @ pictures.vectors.T), axis=1)[:, :11]
    found = 0
    for target, text, hits in zip(order.tolist(), texts, first, strict=True):
        others = [hit for hit in hits.tolist() if hit != target][:10]
        things = [
            thing
            for thing, count in pictures.counts.items()
            if not count[target] and (count[others] > 0).sum() >= 3
        ]
        if things and found < most:
            found += 1
            yield Asked(things[int(rng.integers(len(things)))], text=text, target=target)


def by_both(pictures: Pictures, each: int = 12) -> Iterator[Asked]:
    """References that show X, with a caption of one of the 40 nearest that do not."""
    rng = np.random.default_rng(SEED)
    similarities = pictures.vectors @ pictures.vectors.T
    for thing, count in pictures.counts.items():
        made = 0
        for reference in rng.permutation(np.flatnonzero(count >= pictures.sure)).tolist():
            near = np.argsort(-similarities[reference])[1:40]
            free = [int(place) for place in near if not count[place]]
            if free and made < each:
                made += 1
                target = free[int(rng.integers(len(free)))]
                yield Asked(thing, reference, _caption(pictures, target, rng), target)


def _caption(pictures: Pictures, position: int, rng: np.random.Generator) -> str:
    own = pictures.captions[position]
    return own[int(rng.integers(len(own)))].strip(" .")


class Trial:
    """Queries of one kind, asked in every way."""

    def __init__(
        self,
        pictures: Pictures,
        asked: Sequence[Asked],
        composer: Composer,
        model: EmbeddingModel,
    ) -> None:
        self.pictures, self.asked, self._model = pictures, asked, model
        self._composer = composer

    def ways(self) -> Iterator[tuple[str, FloatArray]]:
        """Names of the ways, and (n, g) scores."""
        vectors, asked = self.pictures.vectors, self.asked
        plain = self._composed([one.text for one in asked])
        spoken = [_joined(one.text, f"without {one.thing}") for one in asked]
        yield "X ignored", plain.scores(vectors)
        yield '"without X" as any words', self._composed(spoken).scores(vectors)
        unwanted = self._model.encode_texts([one.thing for one in asked])
        yield (
            "`--not X`, the rule before",
            normalised(plain.vectors[:, 0] - OLD_WEIGHT * unwanted) @ vectors.T,
        )
        negatives = [(one.thing,) for one in asked]
        yield (
            "**`--not X`, as it is**",
            self._composed([one.text for one in asked], negatives).scores(vectors),
        )
        read = [self._read(one, text) for one, text in zip(asked, spoken, strict=True)]
        yield (
            '**"without X", read**',
            self._composed([q.text for q in read], [q.negatives for q in read]).scores(vectors),
        )
        oracle = plain.scores(vectors)
        for row, one in enumerate(asked):
            oracle[row, self.pictures.counts[one.thing] > 0] -= 10
        yield "labels: X taken out", oracle

    def outcomes(self, scores: FloatArray) -> NDArray[np.float64]:
        """(n, 2): the share of the first ten that show X, and what is kept; NaN for nothing."""
        found = []
        for one, row in zip(self.asked, scores.copy(), strict=True):
            if one.reference is not None:
                row[one.reference] = -np.inf
            hits = np.argsort(-row)[:10]
            counts = self.pictures.counts
            kept = [float((counts[thing][hits] > 0).mean()) for thing in one.kept]
            share = float(np.mean(kept)) if kept else np.nan
            found.append(
                (
                    float((counts[one.thing][hits] > 0).mean()),
                    share if one.target is None else float(one.target in hits),
                )
            )
        return np.asarray(found)

    def _read(self, asked: Asked, text: str) -> Query:
        image = None if asked.reference is None else str(self.pictures.files[asked.reference])
        return understand(Query(image, text))[0]

    def _composed(
        self, texts: Sequence[str], negatives: Sequence[tuple[str, ...]] | None = None
    ) -> ComposedQueries:
        """Compose all; those with words and those without by themselves."""
        groups = [
            [place for place, text in enumerate(texts) if bool(text) is worded]
            for worded in (True, False)
        ]
        parts = [
            (group[start : start + 16]) for group in groups for start in range(0, len(group), 16)
        ]
        made = [self._composer.compose(self._batch(part, texts, negatives)) for part in parts]
        order = np.argsort([place for part in parts for place in part])
        unwanted = [one for part in made for one in part.unwanted]
        return replace(
            made[0],
            vectors=np.concatenate([part.vectors for part in made])[order],
            unwanted=tuple(unwanted[place] for place in order) if unwanted else (),
        )

    def _batch(
        self,
        places: Sequence[int],
        texts: Sequence[str],
        negatives: Sequence[tuple[str, ...]] | None,
    ) -> QueryBatch:
        asked = [self.asked[place] for place in places]
        ruled_out = () if negatives is None else tuple(negatives[place] for place in places)
        words = tuple(texts[place] for place in places)
        references = [one.reference for one in asked if one.reference is not None]
        if not references:
            return QueryBatch(words, negatives=ruled_out)
        files = [self.pictures.files[place] for place in references]
        openers = [partial(_open, file) for file in files]
        return QueryBatch(words, self.pictures.vectors[references], openers, ruled_out)


def _open(file: Path) -> Image.Image:
    return read_image(file).rgb


def _joined(text: str, negation: str) -> str:
    return f"{text}, {negation}" if text else negation


def table(title: str, trial: Trial) -> str:
    """Means over queries with their bootstrap intervals, percent."""
    kept = "R@10" if trial.asked[0].target is not None else "hits that show its other things"
    lines = [
        f"## {title} ({len(trial.asked)} queries, {len(trial.pictures.files):,} pictures)",
        "",
        f"| way | hits that show X | {kept} |",
        "|---|---|---|",
    ]
    for name, scores in trial.ways():
        outcomes = trial.outcomes(scores)
        cells = [_interval(column[~np.isnan(column)]) for column in outcomes.T]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _interval(values: NDArray[np.float64]) -> str:
    found = bootstrap([values[:, None]], seed=SEED)[0]
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def document(blocks: Sequence[str], command: str, model: EmbeddingModel) -> str:
    head = [
        "# Negation",
        "",
        f"Percent with 95 % bootstrap intervals over queries, printed by `{command}` on "
        f"{platform.machine()}; model {model.name}, fingerprint `{model.fingerprint}`, its default "
        "composer. What the rows mean: the script's first lines.",
        "",
    ]
    return "\n".join([*head, *blocks])


if __name__ == "__main__":
    main()
