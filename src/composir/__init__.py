"""Search images by an image and words.

Everything public is listed in `__all__` and loaded on first use, so that `import composir` costs
next to nothing and pulls in neither the model's runtime nor the gallery's store. Importing it
switches off what those libraries would report home (`composir.telemetry`).

Example:
    >>> import composir
    >>> gallery = composir.open_gallery("photos.gallery")
    >>> result = gallery.search(composir.Query(image="lamp.jpg", text="in brass"))
    >>> result.hits[0].path
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from composir.telemetry import switch_off

if TYPE_CHECKING:
    from composir.compose import load_composer
    from composir.crop import Crop
    from composir.errors import ComposirError
    from composir.gallery import Gallery, open_gallery
    from composir.images import read_image
    from composir.model import load_model, open_model
    from composir.serve.client import AsyncClient, Client
    from composir.types import Confidence, Failure, Hit, IndexReport, Query, SearchResult

    __version__: str

__all__ = [
    "AsyncClient",
    "Client",
    "ComposirError",
    "Confidence",
    "Crop",
    "Failure",
    "Gallery",
    "Hit",
    "IndexReport",
    "Query",
    "SearchResult",
    "__version__",
    "load_composer",
    "load_model",
    "open_gallery",
    "open_model",
    "read_image",
]

_HOME = {
    "AsyncClient": "composir.serve.client",
    "Client": "composir.serve.client",
    "ComposirError": "composir.errors",
    "Confidence": "composir.types",
    "Crop": "composir.crop",
    "Failure": "composir.types",
    "Gallery": "composir.gallery",
    "Hit": "composir.types",
    "IndexReport": "composir.types",
    "Query": "composir.types",
    "SearchResult": "composir.types",
    "load_composer": "composir.compose",
    "load_model": "composir.model",
    "open_gallery": "composir.gallery",
    "open_model": "composir.model",
    "read_image": "composir.images",
}

switch_off()


def __getattr__(name: str) -> object:
    """Load a public name from the room it lives in (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("composir")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'composir' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
