"""The schemas of the API, of which the page's types are made: python web/openapi/document.py."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

import httpx

from composir.gallery import Gallery
from composir.model import load_model
from composir.serve.app import create_app

_WORDS = ("title", "description", "examples", "example", "default")  # or fields of these names
DOCUMENT = Path(__file__).parent / "document.json"


def schemas() -> Any:
    """What bodies and answers look like, by name."""
    with tempfile.TemporaryDirectory() as folder:
        model = load_model()
        Gallery.create_or_open(Path(folder) / "gallery", model)
        app = create_app(Path(folder) / "gallery", model)
        return asyncio.run(_asked(httpx.ASGITransport(app)))["components"]["schemas"]


async def _asked(transport: httpx.ASGITransport) -> Any:
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get("/openapi.json")).raise_for_status().json()


def bare(schema: Any) -> Any:
    """A schema without what it says to people, which differs between versions of libraries."""
    if isinstance(schema, list):
        return [bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name in _WORDS if not isinstance(schema.get(name), dict)}
    return {name: bare(value) for name, value in schema.items() if name not in words}


def document() -> str:
    """As OpenAPI, without addresses: types are made of the schemas alone."""
    made = {
        "openapi": "3.1.0",
        "info": {"title": "composir", "version": "1"},
        "paths": {},
        "components": {"schemas": bare(dict(sorted(schemas().items())))},
    }
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
