"""The page: the files of `static/`, where they have been built, compressed where they are so."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from mimetypes import guess_type
from pathlib import Path

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from composir.serve.http_problems import NotFoundError
from composir.serve.responses import CHECKED, IMMUTABLE, with_etag

STATIC = Path(__file__).parents[1] / "static"
_HINT = "composir answers at /v1/search; what it takes is told at /openapi.json\n"
_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_CODINGS = {".br": "br", ".gz": "gzip"}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page.

    Attributes:
        media_type: Of what is in it.
        variants: Where it lies, by its coding; `identity` for as it is.
    """

    media_type: str
    variants: Mapping[str, Path]


def assets(folder: Path) -> dict[str, Asset]:
    """The files of a built page by address; listed once, so that no address leads elsewhere."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            coding = _CODINGS.get(path.suffix, "identity")
            plain = path if coding == "identity" else path.with_suffix("")
            found.setdefault(plain.relative_to(folder).as_posix(), {})[coding] = path
    return {f"/{name}": Asset(_media_type(name), variants) for name, variants in found.items()}


def page_router(folder: Path = STATIC) -> APIRouter:
    """Addresses of a built page."""
    router, known = APIRouter(include_in_schema=False), assets(folder)

    @router.get("/{path:path}")
    async def file(path: str, request: Request) -> Response:
        """A file of the page."""
        address = f"/{path or 'index.html'}"
        if address in known:
            return _answer(request, address, known[address])
        if not path:
            return PlainTextResponse(_HINT)
        raise NotFoundError("there is nothing at this address")

    return router


def _answer(request: Request, address: str, asset: Asset) -> Response:
    coding, content = _content(asset, request.headers.get("accept-encoding", ""))
    # Vite names what it builds by its content; all else is asked for again.
    caching = IMMUTABLE if address.startswith("/assets/") else CHECKED
    etag = blake2b(content, digest_size=12).hexdigest()
    answer = with_etag(request, content, etag, asset.media_type, caching=caching)
    answer.headers["Vary"] = "Accept-Encoding"
    if coding != "identity" and answer.status_code != 304:
        answer.headers["Content-Encoding"] = coding
    return answer


def _content(asset: Asset, accepted: str) -> tuple[str, bytes]:
    codings = {one.partition(";")[0].strip() for one in accepted.lower().split(",")}
    for coding in ("br", "gzip"):
        if coding in asset.variants and coding in codings:
            return coding, asset.variants[coding].read_bytes()
    if "identity" in asset.variants:
        return "identity", asset.variants["identity"].read_bytes()
    if "gzip" in asset.variants:
        return "identity", gzip.decompress(asset.variants["gzip"].read_bytes())
    raise NotFoundError("this browser takes no file that is compressed with brotli")


def _media_type(name: str) -> str:
    ending = Path(name).suffix.lower()
    return _TYPES.get(ending) or guess_type(name)[0] or "application/octet-stream"
