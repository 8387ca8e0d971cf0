"""int8 arithmetic for a bundle's graphs, kept only where rankings stay what they were.

Matrices are quantised by output channel, activations as they come: about twice as fast on a CPU,
at a cost that is measured. Embeddings, convolutions and norms stay float32.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from composir.errors import MissingExtraError, ModelError
from composir.types import FloatArray

GATE = 0.9


class Cost(BaseModel):
    """What int8 costs one graph.

    Attributes:
        cosine: Smallest cosine between a vector before and after.
        top10: Share of the ten nearest pictures that stay among them.
        megabytes: Size of the graph by then.
        before: And before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cosine: float
    top10: float
    megabytes: float
    before: float

    @property
    def bearable(self) -> bool:
        """Whether rankings stay near enough to what they were."""
        return self.top10 >= GATE

    def __str__(self) -> str:
        """For people."""
        return (
            f"{self.before:.1f} to {self.megabytes:.1f} MB, cosine at least {self.cosine:.4f}, "
            f"{self.top10:.0%} of the ten nearest kept"
        )


def quantised(path: Path, target: Path) -> None:
    """Write a graph with int8 matrices.

    Args:
        path: The float32 graph.
        target: The new `.onnx` file.

    Raises:
        MissingExtraError: If onnx is not installed.
        ModelError: If the runtime's tool refuses the graph.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtraError("onnx", "foundation") from error
    model = onnx.load(str(path))
    del model.graph.value_info[:]  # shapes of matrices that are about to be others
    large = model.ByteSize() >= 2**31
    try:
        with _quiet():
            quantize_dynamic(
                model,
                str(target),
                op_types_to_quantize=["MatMul", "Gemm"],
                per_channel=True,
                weight_type=QuantType.QInt8,
                use_external_data_format=large,
            )
    except Exception as error:  # the tool raises bare exceptions
        raise ModelError(f"{path.name} cannot be quantised: {error}") from error


def cost(before: FloatArray, after: FloatArray, top10: float, old: Path, new: Path) -> Cost:
    """Put together what int8 costs.

    Args:
        before: (n, D) float32, unit norm.
        after: (n, D), of the int8 graph.
        top10: Share of nearest pictures kept.
        old: The float32 graph.
        new: The int8 graph.
    """
    return Cost(
        cosine=float(np.sum(before * after, axis=1).min()),
        top10=top10,
        megabytes=_megabytes(new),
        before=_megabytes(old),
    )


def replace(path: Path, successor: Path) -> None:
    """Put a graph, and the tensors beside it, in another's place."""
    for old in path.parent.glob(path.name + ".*"):
        old.unlink()
    shutil.move(successor, path)


def _megabytes(path: Path) -> float:
    files: list[Any] = [path, *path.parent.glob(path.name + ".*")]
    return sum(file.stat().st_size for file in files) / 1e6


@contextmanager
def _quiet() -> Iterator[None]:
    """The tool advises, by the root logger, to optimise first: fused nodes would escape it."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
