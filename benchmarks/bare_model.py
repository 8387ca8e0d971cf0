"""What stand-ins for a model have in common: nothing but vectors to offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from composir.types import FloatArray


class BareModel:
    """The part of an `EmbeddingModel` that says there is nothing to say."""

    costs: Mapping[str, float] = {}
    composer_settings: Mapping[str, Mapping[str, float | int | str]] = {}
    confidence_settings: Mapping[str, Mapping[str, float]] = {}
    copy_similarity: float | None = None
    splicing = None
    joint = None
    mean_image: FloatArray | None = None
    spread: FloatArray | None = None
    known_texts: Mapping[str, FloatArray] = {}
    sentence = "{}"

    def composer_folders(self) -> Mapping[str, Path]:
        """No trained composers."""
        return {}

    def preparations(self, *, image: bool, words: bool) -> Sequence[Callable[[], None]]:  # noqa: ARG002
        """Nothing to open."""
        return ()

    def find_batch(self) -> int:
        """As the real ones begin with."""
        return 32

    def unread(self, text: str) -> str:  # noqa: ARG002
        """Texts of any length are read."""
        return ""
