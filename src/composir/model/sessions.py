"""ONNX Runtime sessions, opened one way everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.data.untrusted_json import shown
from composir.errors import ModelError
from composir.limits import MOST_THREADS
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
