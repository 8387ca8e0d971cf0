"""Chooses the weights of a composer's blend (`compose.blend`) on dev queries: a small search.

The four vectors of every query are computed once; a trial only adds and ranks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from composir.bench.protocol import outcomes, rank
from composir.bench.run import Prepared, Source, load_tasks, prepare
from composir.bench.task import LoadOptions
from composir.compose import open_trained
from composir.compose.base import ComposedQueries, QueryBatch
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.query_side import Tokens
from composir.compose.sphere import normalised
from composir.compose.template import filled, without_reference
from composir.compose.trained import (
    ComposerFolder,
    ComposerManifest,
    Templates,
    save_composer,
)
from composir.data.outputs import refuse_links, write_inside
from composir.data.untrusted_json import MANIFEST_LIMIT, read_text
from composir.encode.store import Store
from composir.errors import TrainingError
from composir.model import Model
from composir.model.base import SplicingEncoder
from composir.types import FloatArray

TERMS = ("sentence", "direction", "image", "text")
VALUES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
# Among a few hundred dev queries many blends find as many in the first ten; how early they do tells
# them apart.
METRICS = ("recall@10", "map@10")
CARD = "README.md"
_BLEND_LINE = re.compile(r"^(- )?Blend: .*$", re.MULTILINE)
# From different corners, because a search along coordinates may stop in a local best.
STARTS: tuple[Mapping[str, float], ...] = (
    {"sentence": 1.0},
    {"direction": 1.5, "image": 1.0},
    {"sentence": 0.5, "direction": 0.5, "image": 0.5, "text": 0.5},
    {"image": 1.0, "text": 1.0},
)
Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class DevSet:
    """The composed queries of one data set folder, encoded as far as no composer is needed.

    Attributes:
        prepared: Task and vectors; queries without an image or without words are left out.
        gallery: (g, D) float32.
        rows: Number of the query and text, one row a text.
        references: Ids of the m distinct references.
        place: (r,) int64, which reference each row has.
        vectors: (m, D) float32, the references' vectors.
        texts: (r, D) float32, the modifications' vectors.
    """

    prepared: Prepared
    gallery: FloatArray
    rows: tuple[tuple[int, str], ...]
    references: tuple[str, ...]
    place: NDArray[np.int64]
    vectors: FloatArray
    texts: FloatArray

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.prepared.task.name

    @property
    def files(self) -> tuple[Path, ...]:
        """The references' pictures."""
        return tuple(self.prepared.task.pictures[name].path for name in self.references)

    @property
    def asked_about(self) -> set[Path]:
        """Pictures that must not be trained on: references and targets of the queries."""
        task = self.prepared.task
        ids = {target for query in task.queries for target in query.targets}
        return {task.pictures[name].path for name in (*self.references, *ids)}


@dataclass(frozen=True, slots=True)
class BlendChoice:
    """What the search found.

    Attributes:
        settings: The weights.
        score: Mean recall@10 over the dev sets, percent.
        scores: Recall@10 by dev set.
        tried: How many blends were ranked.
    """

    settings: Mapping[str, float]
    score: float
    scores: Mapping[str, float]
    tried: int

    @property
    def provenance(self) -> dict[str, object]:
        """For the composer's manifest and card."""
        return {
            "chosen_by": f"mean of {' and '.join(METRICS)}",
            METRICS[0]: self.score,
            "by_dev_set": dict(self.scores),
            "blends_tried": self.tried,
        }


def open_dev_set(
    folder: Path, model: Model, cache: Path, progress: Progress | None = None
) -> DevSet:
    """Read a data set folder and encode its pictures and texts.

    Args:
        folder: With `queries.jsonl`.
        model: Encodes them.
        cache: Folder of caches.
        progress: Called with (done, total) pictures.

    Raises:
        DatasetError: If the folder or its pictures are at fault.
        TrainingError: If none of its queries has an image and words.
    """
    _, root, tasks = load_tasks(str(folder.expanduser().absolute()), None, LoadOptions())
    task = tasks[0]
    asked = tuple(q for q in task.queries if q.reference is not None and all(q.texts))
    if not asked:
        raise TrainingError(f"{root}: no dev query has both a reference image and a text")
    vectors = Store(cache)
    prepared = prepare(
        replace(task, queries=asked), Source(model=model, cache=vectors, progress=progress)
    )
    rows = tuple((number, text) for number, query in enumerate(asked) for text in query.texts)
    references = tuple(dict.fromkeys(str(query.reference) for query in asked))
    places = {name: place for place, name in enumerate(references)}
    return DevSet(
        prepared=prepared,
        gallery=prepared.table.rows(task.gallery, task.name),
        rows=rows,
        references=references,
        place=np.array([places[str(asked[number].reference)] for number, _ in rows]),
        vectors=prepared.table.rows(references, task.name),
        texts=model.encode_texts([without_reference(text) for _, text in rows]),
    )


def terms_of(
    dev: DevSet,
    tokens: Tokens,
    templates: Templates,
    plain: SplicingEncoder,
    adapted: SplicingEncoder | None = None,
) -> Terms:
    """Encode the sentences of a dev set.

    Args:
        dev: The dev set.
        tokens: Of its references: (m, L, Dw) pseudo-words; vectors of the light side take the
            place of the gallery's.
        templates: The sentences.
        plain: The model's text encoder.
        adapted: Encodes the composed sentences instead, if given.

    Returns:
        The four vectors of every row.
    """
    composed = [filled(templates.composed, text) for _, text in dev.rows]
    words = [tokens.words[place] for place in dev.place]
    asked = (adapted or plain).encode_spliced(composed, words)[0]
    alone = [templates.image] * len(tokens.words)
    own = plain.encode_spliced(alone, list(tokens.words))[0][dev.place]
    image = (dev.vectors if tokens.vectors is None else tokens.vectors)[dev.place]
    return Terms(lambda: asked, lambda: own, lambda: image, lambda: dev.texts)


def dev_score(dev: DevSet, terms: Terms, weights: BlendWeights) -> float:
    """Recall@10 of a blend on a dev set, percent."""
    return dev_scores(dev, terms, weights)[0]


def dev_scores(dev: DevSet, terms: Terms, weights: BlendWeights) -> tuple[float, float]:
    """Recall@10 and mAP@10 of a blend on a dev set, percent."""
    rows = blend(weights, terms)
    sums = np.zeros((len(dev.prepared.task.queries), rows.shape[1]), dtype=np.float32)
    np.add.at(sums, [number for number, _ in dev.rows], rows)
    composed = ComposedQueries(normalised(sums)[:, None])
    rankings = rank(dev.prepared.task, composed, dev.gallery)
    recall, precision = (100.0 * float(outcomes(rankings, [one]).mean()) for one in METRICS)
    return recall, precision


def choose_weights(
    dev: Sequence[tuple[DevSet, Terms]], fixed: Mapping[str, float] | None = None
) -> BlendChoice:
    """Search along one weight after the other, from several starts, for the best blend.

    The best has the highest mean over the dev sets of recall@10 and mAP@10.

    Args:
        dev: Dev sets with their terms.
        fixed: Weights that stay as they are, e.g. `{"image": 0.0}` where the query side has no
            gallery encoder.

    Returns:
        The best blend; the first found among equals.
    """
    held = dict(fixed or {})
    known: dict[tuple[float, ...], list[tuple[float, float]]] = {}

    def score(weights: Mapping[str, float]) -> float:
        key = tuple(weights[name] for name in TERMS)
        if not any(key):
            return -1.0
        if key not in known:
            chosen = BlendWeights(**weights)
            known[key] = [dev_scores(one, terms, chosen) for one, terms in dev]
        return float(np.mean(known[key]))

    found = [
        _climb({**dict.fromkeys(TERMS, 0.0), **start, **held}, held, score) for start in STARTS
    ]
    best = max(found, key=score)
    scores = known.get(tuple(best[name] for name in TERMS))
    if scores is None:
        raise TrainingError(f"the weights {held} leave nothing to blend")
    recalls = {one.name: recall for (one, _), (recall, _) in zip(dev, scores, strict=True)}
    return BlendChoice(best, float(np.mean([*recalls.values()])), recalls, len(known))


def _climb(
    weights: dict[str, float],
    held: Mapping[str, float],
    score: Callable[[Mapping[str, float]], float],
) -> dict[str, float]:
    best = score(weights)
    while True:
        before = best
        for name in TERMS:
            if name in held:
                continue
            for value in VALUES:
                tried = {**weights, name: value}
                if score(tried) > best + 1e-9:
                    weights, best = tried, score(tried)
        if best == before:
            return weights


def composer_terms(folder: Path, model: Model, dev: DevSet) -> Terms:
    """The terms of a dev set as a trained composer of any kind makes them.

    Args:
        folder: The composer.
        model: The model it was trained for.
        dev: The dev set.

    Raises:
        BundleError: If the folder is no composer, incomplete or damaged.
        ModelError: If it was trained for another model.
    """
    composer = open_trained(folder, model)
    openers = dev.prepared.openers or {}
    batch = QueryBatch(
        ("",) * len(dev.references), dev.vectors, [openers[name] for name in dev.references]
    )
    tokens = composer.tokens(batch)
    templates = composer.folder.manifest.templates
    return terms_of(dev, tokens, templates, model.texts, composer.composed_texts())


def choose_blend(
    model: Model,
    folder: Path,
    dev_folders: Sequence[Path],
    cache: Path,
    fixed: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> BlendChoice:
    """Choose the blend of a trained composer and write it into its settings.

    Args:
        model: The model it was trained for.
        folder: The composer; its `composer.json` is written anew.
        dev_folders: Data set folders, none of which may be what is reported on.
        cache: Folder of caches.
        fixed: As in `choose_weights`.
        progress: Called with (done, total) pictures.

    Returns:
        What was chosen.

    Raises:
        TrainingError: If no dev folder is given, or one has no composed query.
        BundleError: If the folder is no composer.
        OutputError: If there are links in it, through which the card would be written elsewhere.
        DatasetError: If a dev folder is at fault.
    """
    if not dev_folders:
        raise TrainingError("the blend is chosen on dev queries: name data set folders with --dev")
    refuse_links(folder)
    sets = [open_dev_set(dev, model, cache, progress) for dev in dev_folders]
    choice = choose_weights([(dev, composer_terms(folder, model, dev)) for dev in sets], fixed)
    record_choice(folder, choice)
    return choice


def parse_fixed(texts: Sequence[str]) -> dict[str, float]:
    """Read weights that stay as they are from the command line.

    Args:
        texts: Each `WEIGHT=VALUE`.

    Raises:
        TrainingError: If one is malformed or names no weight of the blend.
    """
    fixed = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            fixed[name] = float(value)
        except ValueError as error:
            raise TrainingError(f"--fix {text}: write WEIGHT=VALUE, e.g. image=0") from error
        if name not in TERMS or not 0.0 <= fixed[name] < float("inf"):
            raise TrainingError(f"--fix {text}: the weights are {', '.join(TERMS)}, 0 or more")
    return fixed


def record_choice(folder: Path, choice: BlendChoice) -> None:
    """Write chosen weights, and what they were chosen on, into a composer's card and manifest."""
    made = ComposerFolder.load(folder).manifest
    fields = {name: getattr(made, name) for name in ComposerManifest.model_fields}
    fields["settings"] = made.settings.changed(choice.settings)
    fields["training"] = {**made.training, "blend": choice.provenance}
    _tell_card(folder / CARD, choice)
    told = {k: v for k, v in fields.items() if k not in {"schema_version", "files"}}
    save_composer(folder, told, made.shared)


def _tell_card(card: Path, choice: BlendChoice) -> None:
    """Replace the line of a card that tells the blend; a card without one stays as it is."""
    if not card.exists():
        return
    weights = ", ".join(f"{name} {value:g}" for name, value in choice.settings.items())
    by_set = ", ".join(f"{name} {score:.1f}" for name, score in choice.scores.items())
    told = (
        f"Blend: {weights}, chosen among {choice.tried} on dev queries: mean recall@10 "
        f"{choice.score:.1f} % ({by_set}). These are figures of choosing, not results."
    )
    text = read_text(card, TrainingError, limit=MANIFEST_LIMIT)
    changed = _BLEND_LINE.sub(lambda found: (found[1] or "") + told, text, count=1)
    write_inside(card.parent, card.name, changed)
