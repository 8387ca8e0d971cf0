"""The built page is of the sources beside it; nobody needs Node to see that."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

from composir.serve.routes.page import STATIC

WEB = Path(__file__).parents[2] / "web"
SOURCES = (
    "../src/composir/pages/tokens.css",
    "src",
    "public",
    "index.html",
    "build.ts",
    "vite.config.ts",
    "package-lock.json",
)


def _files(name: str) -> list[str]:
    path = WEB / name
    if path.is_file():
        return [name]
    return [p.relative_to(WEB).as_posix() for p in path.rglob("*") if p.is_file()]


def test_the_page_was_built_from_these_sources() -> None:
    digest = hashlib.sha256()
    for name in sorted(file for source in SOURCES for file in _files(source)):
        digest.update(f"{name}\n".encode() + (WEB / name).read_bytes() + b"\n")
    built = json.loads((STATIC / "build.json").read_text())
    assert built["sources"] == digest.hexdigest(), "build it again: make web"


def test_scripts_of_the_first_screen_are_small() -> None:
    scripts = list((STATIC / "assets").glob("index-*.js"))
    assert len(scripts) == 1
    assert len(gzip.compress(scripts[0].read_bytes())) <= 120 * 1024


def test_the_page_loads_nothing_from_elsewhere() -> None:
    for path in [STATIC / "index.html", *(STATIC / "assets").glob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert "http://" not in text
        assert "https://" not in text
