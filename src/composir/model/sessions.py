"""ONNX Runtime sessions, opened one way everywhere."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from composir.errors import ModelError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession


def default_threads() -> int:
    """Threads to use where nobody says: the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def open_session(
    path: Path, threads: int | None = None, tensors: Path | None = None
) -> InferenceSession:
    """Open a graph on the CPU.

    Args:
        path: The `.onnx` file.
        threads: Threads inside one run; None for `default_threads()`.
        tensors: Folder of the file whose tensors the graph borrows, if it may borrow any
            (`train.borrowed`).

    Raises:
        ModelError: If the runtime refuses the graph.
    """
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
    graph: str | bytes = str(path)
    if tensors is not None:
        # The runtime looks beside a graph that it reads from a file, and here for one in memory.
        graph = path.read_bytes()
        options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", str(tensors)
        )
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises a private family of exceptions
        raise ModelError(f"{path} cannot be run by onnxruntime: {error}") from error


def check_graph(session: InferenceSession, path: Path, inputs: Set[str], outputs: Set[str]) -> None:
    """Refuse a graph that takes or gives something else.

    Args:
        session: The opened graph.
        path: Its file, for the message.
        inputs: Names of all its inputs.
        outputs: Names of outputs that it must have; others do not matter.

    Raises:
        ModelError: If the names are others.
    """
    takes = {item.name for item in session.get_inputs()}
    gives = {item.name for item in session.get_outputs()}
    if takes != inputs or not outputs <= gives:
        raise ModelError(
            f"{path} takes {_listed(takes)} and gives {_listed(gives)}; "
            f"it must take {_listed(inputs)} and give {_listed(outputs)}"
        )


def _listed(names: Set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
