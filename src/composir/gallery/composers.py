"""The composers that a gallery keeps open: few, however many ways there are to name them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from threading import Lock

from composir.compose import composer_names, load_composer
from composir.compose.base import Composer
from composir.model.base import EmbeddingModel

_KEPT = 4  # a trained one holds about 50 MB


class ComposerShelf:
    """The composers used last; safe among threads."""

    def __init__(self, kept: int = _KEPT) -> None:
        """Keep at most `kept` composers."""
        self._kept, self._lock = kept, Lock()
        self._composers: OrderedDict[str, Composer] = OrderedDict()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._composers)

    def get(self, name: str | Path | None, model: EmbeddingModel) -> Composer:
        """The composer of a name or folder, opened where it is not open yet.

        Args:
            name: Of one, or a trained one's folder; None for the model's default.
            model: The gallery's.
        """
        chosen = str(name or model.default_composer)
        key = chosen if chosen in composer_names(model) else _folder_key(chosen)
        with self._lock:
            composer = self._composers.pop(key, None) or load_composer(chosen, model)
            self._composers[key] = composer  # the last one now
            if len(self._composers) > self._kept:
                self._composers.popitem(last=False)
            return composer


def _folder_key(folder: str) -> str:
    """One key for all spellings of a folder; what is no path of this system is refused later."""
    try:
        return str(Path(folder).expanduser().resolve())
    except (OSError, RuntimeError, ValueError):
        return folder
