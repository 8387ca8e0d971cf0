"""How much Lance may keep in memory between the commits of a run.

It keeps the manifest of every version that it has made, and each names all files so far: after n
commits these are n * n / 2 names, half a GiB for a million pictures, within Lance's own bound of a
GiB. A run needs the newest alone, and the heads of the files that it looks for copies in, which are
read again where they have been dropped.
"""

from __future__ import annotations

from typing import Any

_MOST_BYTES = 4 << 20


def bounded_session() -> Any:
    """A `lance.Session` for a dataset that gets many commits."""
    import lance

    session: Any = lance.Session  # type: ignore[attr-defined]  # documented, but not in __all__
    return session(metadata_cache_size_bytes=_MOST_BYTES)
