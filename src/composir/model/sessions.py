"""ONNX Runtime sessions, opened one way everywhere.

An adapted text graph computes what the model's own does wherever its adapters are off, so a
composed query, which needs both readings, has to open one graph only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.data.untrusted_json import shown
from composir.errors import ModelError
from composir.lazy import once_property
from composir.limits import MOST_THREADS
from composir.model.bundle import Bundle
from composir.model.device import CPU, CPU_PROVIDER, Device
from composir.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, SessionOptions


def default_threads() -> int:
    """Threads to use where nobody says: the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def open_session(
    path: Path,
    threads: int | None = None,
    tensors: Path | None = None,
    device: Device | None = None,
) -> InferenceSession:
    """Open a graph.

    Args:
        path: The `.onnx` file.
        threads: Threads inside one run; None for `default_threads()`.
        tensors: Folder of the file whose tensors the graph borrows, if it may borrow any
            (`train.graph_weights`).
        device: Where it runs; None for the CPU.
    """
    check_threads(threads)
    # The runtime looks beside a graph of a file, and in the folder of tensors for one in memory.
    graph: str | bytes = str(path) if tensors is None else path.read_bytes()
    try:
        return (device or Device(CPU)).open(graph, partial(_options, threads, tensors))
    except ModelError:
        raise
    except Exception as error:  # the runtime raises a private family of exceptions
        raise ModelError(f"{path} cannot be run by onnxruntime: {error}") from error


def _options(threads: int | None, tensors: Path | None) -> SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.log_severity_level = 3
    # Threads that wait busily take the cores from what else a command does meanwhile: other graphs,
    # decoding, imports.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights are stored as int8 and computed in float32: let the runtime expand them once, at
    # loading, instead of at every run.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    if tensors is not None:
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(tensors)
        )
    return options


def check_threads(threads: int | None) -> None:
    """Refuse a number of threads that no machine runs; some systems crash at it.

    Raises:
        ModelError: If it is not from 1 to `MOST_THREADS`; None is fine.
    """
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ModelError(
            f"threads must be at least 1, not {threads}"
            if threads < 1
            else f"threads must be at most {MOST_THREADS}, not {shown(threads)}"
        )


def check_graph(session: InferenceSession, path: Path, inputs: Set[str], outputs: Set[str]) -> None:
    """Refuse a graph that takes or gives something else."""
    takes = {item.name for item in session.get_inputs()}
    gives = {item.name for item in session.get_outputs()}
    if takes != inputs or not outputs <= gives:
        raise ModelError(
            f"{path} takes {_listed(takes)} and gives {_listed(gives)}; "
            f"it must take {_listed(inputs)} and give {_listed(outputs)}"
        )


def run_graph(
    session: InferenceSession, path: Path | str, outputs: Sequence[str], feeds: Mapping[str, Any]
) -> list[Any]:
    """Run a graph; one that fails on what it is given is an error of the model."""
    try:
        return list(session.run(list(outputs), dict(feeds)))
    except Exception as error:  # the runtime raises a private family of exceptions
        shapes = ", ".join(f"{name} {value.shape}" for name, value in feeds.items())
        told = f"{path} refuses {shapes}: {error}"
        if session.get_providers()[0] != CPU_PROVIDER:  # which may just be too small, or too new
            told += "; a smaller --batch-size may help, or --device cpu"
        raise ModelError(told) from error


def checked_vectors(path: Path | str, vectors: Any, count: int, dimension: int) -> FloatArray:
    """Refuse vectors that cannot be compared with any others.

    Returns:
        The same, (count, D) float32.
    """
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f":
        raise ModelError(f"{path} gives no vectors of floats: export the model again")
    if vectors.shape != (count, dimension):
        raise ModelError(
            f"{path} gives vectors of shape {vectors.shape}, where the manifest says "
            f"({count}, {dimension}): export the model again"
        )
    if not np.isfinite(vectors).all():
        raise ModelError(f"{path} gives vectors that are NaN or infinite: its weights are damaged")
    return vectors.astype(np.float32, copy=False)


def _listed(names: Set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


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
