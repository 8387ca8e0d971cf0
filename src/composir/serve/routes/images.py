"""Single images: what is known of them, their pictures, adding and taking out."""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from composir.data.remote_paths import is_remote
from composir.data.volumes import lies_below
from composir.documents import plain_value
from composir.errors import ImageNotFoundError
from composir.gallery.lookup import IndexedImage
from composir.images.containers import container_of, read_picture
from composir.serve.engine import Engine
from composir.serve.forms import read_form, read_upload
from composir.serve.http_problems import InvalidRequestError, NotAllowedError, NotFoundError
from composir.serve.responses import CHECKED, IMMUTABLE, Json, Responses, problems, with_etag
from composir.serve.routes.state import state_of
from composir.serve.schemas import AddAnswer, DeleteAnswer, ImageDocument, ImageId, ImageList
from composir.serve.uploads import add_pictures

MOST_SAMPLE = 200
MOST_SEED = 2**32 - 1
router = APIRouter(prefix="/v1/images", tags=["images"])
_MEDIA_TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".avif": "image/avif",
    ".bmp": "image/bmp",
}
_JPEG: Responses = {
    200: {"content": {"image/jpeg": {}}, "description": "A JPEG."},
    304: {"description": ""},
}
_GONE = "the file is gone: its folder has to be indexed again"
_FILE: Responses = {200: {"content": {"image/*": {}}, "description": "The file."}}
_ADD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        }
                    },
                }
            }
        },
    }
}


@router.get("", response_model=ImageList, responses=problems())
async def sample(
    request: Request,
    sample: Annotated[int, Query(ge=1, le=MOST_SAMPLE)] = 12,
    seed: Annotated[int, Query(ge=0, le=MOST_SEED)] = 0,
) -> Response:
    """Some images of the gallery, e.g. to start from; another seed gives others."""
    engine = state_of(request).engine
    found = await engine.run(partial(engine.gallery.sample, sample, seed), request)
    return Json({"images": [_document(one, engine) for one in found]})


@router.get("/{image_id}", response_model=ImageDocument, responses=problems())
async def image(image_id: ImageId, request: Request) -> Response:
    """What the gallery holds of an image."""
    engine = state_of(request).engine
    found = await engine.run(partial(engine.gallery.image, image_id), request)
    return Json(_document(found, engine))


def _document(image: IndexedImage, engine: Engine) -> ImageDocument:
    address = f"/v1/images/{image.id}"
    is_given_out = engine.settings.originals and not is_remote(image.path)
    return {
        "id": image.id,
        "path": str(image.path),
        "width": image.width,
        "height": image.height,
        "metadata": {name: plain_value(value) for name, value in image.metadata.items()},
        "original": f"{address}/original" if is_given_out else None,
        "thumbnail": f"{address}/thumbnail",
    }


@router.get("/{image_id}/thumbnail", responses={**problems(), **_JPEG}, response_class=Response)
async def thumbnail(image_id: ImageId, request: Request, v: int | None = None) -> Response:
    """The thumbnail, JPEG of at most 256 pixels a side.

    With `?v=` and the gallery's version it may be kept for ever, without it is asked for again.
    """
    engine = state_of(request).engine
    content = await engine.run(partial(engine.thumbnail, image_id), request)
    if content is None:
        raise ImageNotFoundError(f"the gallery has no image with the id {image_id!r}")
    is_current = v is not None and v == engine.gallery.version
    etag = blake2b(content, digest_size=12).hexdigest()
    caching = IMMUTABLE if is_current else CHECKED
    return with_etag(request, content, etag, "image/jpeg", caching=caching)


@router.get("/{image_id}/original", responses={**problems(), **_FILE}, response_class=Response)
async def original(image_id: ImageId, request: Request) -> Response:
    """The file itself, where the server was started with `--originals`."""
    engine = state_of(request).engine
    if not engine.settings.originals:
        raise NotAllowedError("this server gives out thumbnails only (--originals allows more)")
    found = await engine.run(partial(_original, engine, image_id), request)
    kind = _MEDIA_TYPES.get(found.suffix.lower(), "application/octet-stream")
    headers = {"Cache-Control": CHECKED}
    if container_of(found) is None:
        return FileResponse(found, media_type=kind, headers=headers)
    content = await engine.run(partial(_taken_out, found), request)
    return Response(content, media_type=kind, headers=headers)


def _taken_out(address: Path) -> bytes:
    try:
        return read_picture(address, anywhere=False)
    except OSError as error:
        raise NotFoundError(_GONE) from error


def _original(engine: Engine, image_id: str) -> Path:
    """Where a row's picture is, if that still lies in a folder that was indexed, links resolved."""
    found = engine.gallery.image(image_id).path
    if is_remote(found):
        raise NotFoundError(f"the file lies in an object store, which is not asked: {found}")
    roots = [root.resolve() for root in engine.gallery.info().roots]
    file = container_of(found)
    resolved = (file or found).resolve()
    if not any(lies_below(str(resolved), str(root)) for root in roots):
        raise NotAllowedError("the file does not lie in an indexed folder")
    if not resolved.is_file():
        raise NotFoundError(_GONE)
    return resolved if file is None else found


@router.post("", response_model=AddAnswer, responses=problems(409, 507), openapi_extra=_ADD)
async def add(request: Request) -> Response:
    """Add pictures, where the server was started with a folder to keep them in."""
    engine = state_of(request).engine
    folder = engine.settings.uploads
    if folder is None:
        raise NotAllowedError("this server takes no pictures (--add-to FOLDER allows it)")
    limits = engine.settings.limits
    async with read_form(request, limits) as form:
        files = [one for one in form.getlist("image") if not isinstance(one, str)]
        if not files:
            raise InvalidRequestError("send files, as in `curl -F image=@FILE`")
        pictures = [(one.filename or "", await read_upload(one, limits)) for one in files]
    return Json(await engine.run(partial(add_pictures, engine, folder, pictures), request))


@router.delete("/{image_id}", response_model=DeleteAnswer, responses=problems(409, 507))
async def delete(image_id: ImageId, request: Request) -> Response:
    """Take an image out of the gallery; its file is not touched.

    The next index run over its folder brings it back, as long as the file is there.
    """
    engine = state_of(request).engine
    return Json(await engine.run(partial(_forget, engine, image_id), request))


def _forget(engine: Engine, image_id: str) -> DeleteAnswer:
    found: IndexedImage = engine.gallery.image(image_id)
    with engine.writing:
        report = engine.gallery.forget([found.path])
    return {"id": found.id, "path": str(found.path), "total": report.total}
