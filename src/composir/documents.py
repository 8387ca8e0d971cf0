"""Queries and results in types that JSON knows: one form for pipes, pages, servers and clients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from composir.references import reference_label
from composir.types import Absent, Confidence, Hit, Query, Reranked, SearchResult, SortOrder


class HitDocument(TypedDict):
    """One gallery image in a result."""

    rank: int
    """1 for the best."""
    id: str
    """The gallery's id of the image."""
    path: str
    """Where the file was when it was indexed."""
    score: float
    """Similarity to the query vector, as the composer defines it."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    metadata: dict[str, Any]
    """All other columns of the gallery's row."""
    duplicates: list[str]
    """Paths of exact or near duplicates that this hit stands for."""
    unreachable: bool
    """Whether its file lies where nothing can be reached now."""


class ConfidenceDocument(TypedDict):
    """How far to trust the best hits."""

    value: float
    """How likely they are right, 0 to 1."""
    verdict: str
    """`good match`, `uncertain` or `nothing matches well`."""


class QueryDocument(TypedDict):
    """The query as asked."""

    image: str | None
    """The first reference: its path, its name, or what it is."""
    images: list[str]
    """All references."""
    crop: dict[str, Any] | None
    """The part of the reference that is meant."""
    text: str
    """The modification text, or a description."""
    negatives: list[str]
    """What the hits should not show."""


class UnderstoodDocument(TypedDict):
    """The query as understood: what its words negate is among the negatives."""

    text: str
    """The text that was composed."""
    negatives: list[str]
    """All negatives."""


class AbsentDocument(TypedDict):
    """Files that were not found on the way to the hits."""

    left_out: int
    """How many images are not shown because their files are gone."""
    left_out_from: list[str]
    """The indexed folders that these were in."""
    unreachable: list[str]
    """Indexed folders that cannot be reached now."""


class RerankedDocument(TypedDict):
    """What a joint encoder did with the first hits."""

    model: str
    """Its name."""
    images: int
    """How many hits it looked at; their scores are its own."""
    thumbnails: int
    """How many of them it saw as thumbnails."""


class ResultDocument(TypedDict):
    """The answer to one query."""

    query: QueryDocument
    understood: UnderstoodDocument
    notices: list[str]
    """What else whoever asks should know."""
    confidence: ConfidenceDocument
    min_confidence: float | None
    """What was asked for."""
    matches: bool
    """Whether the confidence reaches that."""
    sort: str
    """`score`, `date` or `date:oldest`."""
    relevant: int | None
    """How many images passed for relevant before they were sorted by date."""
    composer: str
    """Name of the composer that made the query vector."""
    gallery_size: int
    """Images in the gallery."""
    searched: int
    """Images left after the filter and the exclusion of the reference."""
    seconds: float
    """From query to hits."""
    reranked: RerankedDocument | None
    """How the first hits were ordered anew; null where they were not."""
    absent: AbsentDocument
    hits: list[HitDocument]
    """Best first."""


def result_document(result: SearchResult) -> ResultDocument:
    """A search result for programs."""
    absent = result.absent
    return {
        "query": query_document(result.query),
        "understood": understood_document(result),
        "notices": list(result.notices),
        "confidence": confidence_document(result.confidence),
        "min_confidence": result.min_confidence,
        "matches": result.matches,
        "sort": result.sort,
        "relevant": result.relevant,
        "composer": result.composer,
        "gallery_size": result.gallery_size,
        "searched": result.searched,
        "seconds": round(result.seconds, 4),
        "reranked": reranked_document(result.reranked),
        "absent": {
            "left_out": absent.left_out,
            "left_out_from": [str(folder) for folder in absent.left_out_from],
            "unreachable": [str(folder) for folder in absent.unreachable],
        },
        "hits": [hit_document(hit) for hit in result.hits],
    }


def hit_document(hit: Hit) -> HitDocument:
    """A hit for programs."""
    return {
        "rank": hit.rank,
        "id": hit.id,
        "path": str(hit.path),
        "score": round(hit.score, 6),
        "width": hit.width,
        "height": hit.height,
        "metadata": {name: plain_value(value) for name, value in hit.metadata.items()},
        "duplicates": [str(path) for path in hit.duplicates],
        "unreachable": hit.unreachable,
    }


def query_document(query: Query) -> QueryDocument:
    """A query for programs; pictures are named, not included."""
    images = [reference_label(image) for image in query.images]
    return {
        "image": images[0] if images else None,
        "images": images,
        "crop": None if query.crop is None else asdict(query.crop),
        "text": query.text,
        "negatives": list(query.negatives),
    }


def understood_document(result: SearchResult) -> UnderstoodDocument:
    """What was looked for, for programs."""
    return {"text": result.asked.text, "negatives": list(result.asked.negatives)}


def confidence_document(confidence: Confidence) -> ConfidenceDocument:
    """A confidence for programs."""
    return {"value": confidence.value, "verdict": confidence.verdict}


def reranked_document(reranked: Reranked | None) -> RerankedDocument | None:
    """How hits were ordered anew, for programs."""
    if reranked is None:
        return None
    return {
        "model": reranked.model,
        "images": reranked.images,
        "thumbnails": reranked.thumbnails,
    }


def plain_value(value: Any) -> Any:
    """A value of a metadata column in JSON, which knows no dates, no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if isinstance(value, date) else value


def read_result(document: ResultDocument, query: Query) -> SearchResult:
    """The result that a document tells of."""
    understood, absent = document["understood"], document["absent"]
    sort: SortOrder = document["sort"]  # type: ignore[assignment]
    return SearchResult(
        query=query,
        hits=tuple(map(_read_hit, document["hits"])),
        confidence=Confidence(**document["confidence"]),  # type: ignore[arg-type]
        composer=document["composer"],
        gallery_size=document["gallery_size"],
        searched=document["searched"],
        seconds=document["seconds"],
        absent=Absent(
            absent["left_out"],
            tuple(map(Path, absent["left_out_from"])),
            tuple(map(Path, absent["unreachable"])),
        ),
        understood=replace(
            query,
            text=understood["text"],
            negatives=tuple(understood["negatives"]),
            literal=True,  # as `understand` leaves it
        ),
        notices=tuple(document["notices"]),
        sort=sort,
        relevant=document["relevant"],
        min_confidence=document["min_confidence"],
        reranked=None if document["reranked"] is None else Reranked(**document["reranked"]),
    )


def _read_hit(document: Mapping[str, Any]) -> Hit:
    known = {name: document[name] for name in HitDocument.__annotations__}
    paths = tuple(map(Path, known.pop("duplicates")))
    return Hit(**{**known, "path": Path(known["path"]), "duplicates": paths})
