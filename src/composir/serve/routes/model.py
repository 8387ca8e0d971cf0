"""The model and the gallery: all that a page or another client has to know to ask well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.data.files import absolute
from composir.serve.engine import Engine
from composir.serve.http_problems import NotFoundError
from composir.serve.responses import CHECKED, IMMUTABLE, Json, Responses, problems
from composir.serve.routes.state import state_of
from composir.serve.schemas import (
    ColumnDocument,
    FacetValue,
    GalleryDocument,
    ModelDocument,
    QuerySideDocument,
)

router = APIRouter(prefix="/v1", tags=["model"])
_MOST_VALUES = 40
_GRAPH: Responses = {
    200: {"content": {"application/octet-stream": {}}, "description": "An ONNX graph."}
}


@router.get("/model", response_model=ModelDocument, responses=problems())
async def model(request: Request) -> Response:
    """The model, its composers, and their query sides that run where the picture is."""
    engine = state_of(request).engine
    return Json(await engine.run(partial(_model, engine), request))


def _model(engine: Engine) -> ModelDocument:
    sides = [_side(engine, name) for name in engine.composers]
    return {
        "name": engine.model.name,
        "fingerprint": engine.model.fingerprint,
        "dimension": engine.model.dimension,
        "default_composer": engine.model.default_composer,
        "composers": engine.composers,
        "reranker": engine.reranker_name,
        "query_sides": [side for side in sides if side is not None],
    }


def _side(engine: Engine, name: str) -> QuerySideDocument | None:
    from composir.device.query_export import card

    folder = _folder(engine, name)
    if folder is None:
        return None
    graph = folder.manifest.files[folder.manifest.graph]
    return {
        "composer": name,
        "card": card(folder),
        "graph": f"/v1/model/query-side/{name}/query.onnx?v={graph.sha256[:16]}",
        "bytes": graph.bytes,
        "sha256": graph.sha256,
    }


def _folder(engine: Engine, name: str) -> ComposerFolder | None:
    """The folder of a composer whose query side takes pixels; None of all others."""
    if name not in engine.composers:
        return None
    composer = engine.plain_composer(name)
    if not isinstance(composer, SplicedComposer) or composer.folder.manifest.input != "pixels":
        return None
    return composer.folder


@router.get(
    "/model/query-side/{name}/query.onnx",
    responses={**problems(), **_GRAPH},
    response_class=Response,
)
async def query_side(name: str, request: Request, v: str = "") -> Response:
    """The graph that turns a picture into tokens, to be run where the picture is."""
    engine = state_of(request).engine
    folder = await engine.run(partial(_folder, engine, name), request)
    if folder is None:
        raise NotFoundError("no such query side; /v1/model lists them")
    made = folder.manifest
    digest = made.files[made.graph].sha256
    caching = IMMUTABLE if v and digest.startswith(v) else CHECKED
    headers = {"ETag": f'"{digest[:32]}"', "Cache-Control": caching}
    kind = "application/octet-stream"
    return FileResponse(folder.file(made.graph), media_type=kind, headers=headers)


@router.get("/gallery", response_model=GalleryDocument, responses=problems())
async def gallery(request: Request) -> Response:
    """What the gallery holds, what it can be filtered by, and what the server allows."""
    engine = state_of(request).engine
    return Json(await engine.run(partial(_gallery, engine), request))


def _gallery(engine: Engine) -> GalleryDocument:
    engine.check()
    info, settings = engine.gallery.info(), engine.settings
    return {
        "images": info.images,
        "version": engine.gallery.version,
        "updated": info.updated,
        "failures": info.failures,
        "roots": _folders(info.roots, settings.uploads),
        "columns": _columns(info.column_types, engine.gallery.count_values()),
        "allows": {
            "originals": settings.originals,
            "add": settings.uploads is not None,
            "url": bool(settings.url_hosts),
        },
    }


def _folders(roots: Sequence[Path], uploads: Path | None) -> list[str]:
    """What is indexed, with the folder of added pictures in place of every one of them."""
    kept = None if uploads is None else absolute(uploads)
    return list(dict.fromkeys(str(kept if root.parent == kept else root) for root in roots))


def _columns(kinds: Mapping[str, str], counted: Mapping[str, Counter[str]]) -> list[ColumnDocument]:
    """All columns that filters know, with the values of those that have few."""
    return [
        {"name": name, "kind": kind, "values": _values(counted.get(name))}
        for name, kind in kinds.items()
    ]


def _values(counted: Counter[str] | None) -> list[FacetValue] | None:
    if counted is None:
        return None
    return [{"value": value, "count": n} for value, n in counted.most_common(_MOST_VALUES)]
