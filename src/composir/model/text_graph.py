"""The graph of a text encoder: the model's own, or one with adapters that each sentence switches.

An adapted graph computes what the model's own does wherever its adapters are off, so a composed
query, which needs both readings, has to open one graph only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.errors import ModelError
from composir.model.bundle import Bundle
from composir.model.device import Device
from composir.model.once import once_property
from composir.model.sessions import check_graph, checked_vectors, open_session, run_graph
from composir.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

INPUTS, OUTPUTS = ("word_embeddings", "mask"), ("vector", "token_states")
SWITCH, PLACE = "adapters", "eot"


class TextGraph:
    """Sentences of word embeddings to vectors and token states; opens at the first run."""

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None,
        path: Path | None = None,
        device: Device | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            bundle: The model.
            threads: For the runtime; None for all cores.
            path: Another graph than the model's own, which may borrow tensors of that one
                (`train.graph_weights`).
            device: Where it runs; None for the CPU.
        """
        self._bundle, self._threads, self._other = bundle, threads, path
        self._device = device

    def prepare(self) -> None:
        """Open the file now."""
        _ = self._session

    def run(
        self,
        sentences: Sequence[FloatArray],
        *,
        adapters: Sequence[bool],
        places: Sequence[int] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Run the graph once.

        Args:
            sentences: n arrays (length, Dw) float32.
            places: Where each is pooled, for bundles with a framing.
            adapters: Whether a graph with adapters reads each sentence with them; another one has
                none to use.

        Returns:
            Vectors (n, D) float32, unit norm, and token states (n, longest, width), of which those
            behind a sentence's end mean nothing.
        """
        feeds = _padded(sentences)
        if PLACE in self._takes:
            feeds[PLACE] = np.asarray(places, dtype=np.int64)
        if self._switchable:
            feeds[SWITCH] = np.array(adapters, dtype=np.float32)
        elif not all(adapters):
            raise ModelError(f"{self._path} has no input {SWITCH!r}: its adapters are always on")
        vectors, states = run_graph(self._session, self._path, OUTPUTS, feeds)
        width = self._bundle.manifest.dimension
        return checked_vectors(self._path, vectors, len(sentences), width), states

    @property
    def _path(self) -> Path:
        return self._other or self._bundle.file(self._bundle.manifest.text.graph)

    @property
    def _switchable(self) -> bool:
        return SWITCH in self._takes

    @once_property
    def _takes(self) -> frozenset[str]:
        return _inputs(self._session)

    @once_property
    def _session(self) -> InferenceSession:
        text = self._bundle.manifest.text
        own = self._bundle.file(text.graph)
        tensors = own.parent if self._other else None
        session = open_session(self._path, self._threads, tensors, self._device)
        inputs = {*INPUTS}
        if self._other:
            inputs |= _inputs(session) & {SWITCH}
        if text.framing is not None:
            # Other poolings may find their place untold, and exports drop inputs without use.
            needed = text.framing.pooling == "eot"
            inputs |= {PLACE} if needed else _inputs(session) & {PLACE}
        check_graph(session, self._path, inputs, {*OUTPUTS})
        return session


def _inputs(session: InferenceSession) -> frozenset[str]:
    return frozenset(item.name for item in session.get_inputs())


def _padded(sentences: Sequence[FloatArray]) -> dict[str, Any]:
    length = max(len(sentence) for sentence in sentences)
    words = np.zeros((len(sentences), length, sentences[0].shape[1]), dtype=np.float32)
    mask = np.zeros((len(sentences), length), dtype=np.float32)
    for row, sentence in enumerate(sentences):
        words[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1.0
    return dict(zip(INPUTS, (words, mask), strict=True))
