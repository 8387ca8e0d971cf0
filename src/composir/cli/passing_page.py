"""Pages that are shown once: written where only this user looks, and cleaned up."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from composir.data.places import writable_user_folder

_PREFIX = "hits-"
_SECONDS_TO_LOAD = 600.0


def passing_page() -> Path:
    """Where a page goes that nobody named a file for; those shown before are removed.

    A browser reads its page some time after the command has ended, so the newest one stays until
    the next is shown.
    """
    folder = writable_user_folder() / "pages"
    _remove_shown(folder)
    return folder / f"{_PREFIX}{uuid4().hex}.html"


def _remove_shown(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*.html"):
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > _SECONDS_TO_LOAD:
                path.unlink()
