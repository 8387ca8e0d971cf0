"""Vectors beyond one gallery: stores that other programs serve, filled and searched from here.

`STORES` is the table of kinds; adding one: docs/adding-a-store.md. composir composes the query, the
store keeps the vectors and finds the nearest.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from composir.errors import StoreError
from composir.lazy import imported
from composir.scale.served_store import ServedStore

STORES: dict[str, tuple[str, str]] = {
    "qdrant": ("composir.scale.qdrant:QdrantStore", "qdrant"),
    "postgresql": ("composir.scale.postgres:PostgresStore", "postgres"),
    "lancedb": ("composir.scale.lancedb:LanceFolder", ""),
}
"""By the scheme of their addresses: the class, and the extra that brings its driver."""


def open_store(address: str) -> ServedStore:
    """Open a store.

    Args:
        address: E.g. `qdrant://localhost:6333/shop`; see docs/scale.md.

    Raises:
        StoreError: If it is no address of a store, holds a password, or the store does not answer.
        MissingExtraError: If its driver is not installed.
    """
    parts = _parts(address)
    opened: ServedStore = imported(*STORES[parts.scheme])(parts)
    return opened


def is_address(text: str) -> bool:
    """Whether a text is to be the address of a store, not a file's name."""
    return "://" in text


def _parts(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError as error:
        raise StoreError(f"{_shown(address)} is no address of a store: {error}") from error
    if parts.scheme not in STORES:
        kinds = ", ".join(f"{scheme}://" for scheme in STORES)
        raise StoreError(f"{_shown(address)} is no address of a store; they begin with {kinds}")
    secret = parts.password or any(word in parts.query.lower() for word in ("password", "key="))
    if secret:
        raise StoreError(
            "an address with a password or key would stay in the shell's history: set PGPASSWORD "
            "(or ~/.pgpass), or QDRANT_API_KEY, and leave it out"
        )
    return parts


def _shown(address: str) -> str:
    """An address without what may be a password."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"
