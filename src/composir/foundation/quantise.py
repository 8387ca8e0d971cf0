"""int8 arithmetic for a bundle's graphs, kept only where rankings stay what they were.

Matrices are quantised by output channel, activations as they come: about twice as fast on a CPU,
at a cost that is measured. Embeddings, convolutions and norms stay float32.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from composir.data.fields import ManifestPart
from composir.errors import MissingExtraError, ModelError
from composir.foundation.parity import TEXTS, agreement, gallery
from composir.model import Model
from composir.model.sessions import open_session
from composir.types import FloatArray, PixelArray

GATE = 0.9


class QuantisationCost(ManifestPart):
    """What int8 costs one graph.

    Attributes:
        cosine: Smallest cosine between a vector before and after.
        top10: Share of the ten nearest pictures that stay among them.
        megabytes: Size of the graph by then.
        before: And before.
    """

    cosine: float
    top10: float
    megabytes: float
    before: float

    @property
    def bearable(self) -> bool:
        """Whether rankings stay near enough to what they were."""
        return self.top10 >= GATE

    def __str__(self) -> str:
        return (
            f"{self.before:.1f} to {self.megabytes:.1f} MB, cosine at least {self.cosine:.4f}, "
            f"{self.top10:.0%} of the ten nearest kept"
        )


def quantised(path: Path, target: Path) -> None:
    """Write a graph with int8 matrices."""
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
                reduce_range=True,  # processors without VNNI overflow with eight bits
                use_external_data_format=large,
            )
    except Exception as error:  # the tool raises bare exceptions
        raise ModelError(f"{path.name} cannot be quantised: {error}") from error


def quantised_graphs(model: Model, say: Callable[[str], None]) -> dict[str, Any]:
    """Put int8 graphs into a bundle's folder where rankings bear them; its manifest is then old."""
    told: dict[str, Any] = {}
    pixels = model.image_spec.apply_each(gallery())
    pictures, texts = model.encode_pixels(pixels), model.encode_texts(TEXTS)
    for graph, before in (
        (model.manifest.image.graph, pictures),
        (model.manifest.text.graph, texts),
    ):
        path = model.bundle.file(graph)
        made = path.with_name(f"{path.stem}.int8.onnx")
        quantised(path, made)
        is_image = graph == model.manifest.image.graph
        after = _vectors(model, made, pixels if is_image else None)
        top = agreement(before, pictures, after, after if is_image else pictures)
        cost = QuantisationCost(
            cosine=float(np.sum(before * after, axis=1).min()),
            top10=top,
            megabytes=_megabytes(made),
            before=_megabytes(path),
        )
        say(f"  int8 {graph}: {cost}" + ("" if cost.bearable else "; float32 stays"))
        told[graph] = {**cost.model_dump(), "kept": cost.bearable}
        _remove(path if cost.bearable else made)
        if cost.bearable:
            made.rename(path)
    return told


def _vectors(model: Model, graph: Path, pixels: PixelArray | None) -> FloatArray:
    """What another graph of the same bundle gives for pictures, or for the texts of parity."""
    if pixels is None:
        return model.with_text_graph(graph).encode(TEXTS)
    session = open_session(graph)
    runs = [session.run(["vector"], {"pixels": pixels[i : i + 1]})[0] for i in range(len(pixels))]
    return np.concatenate(runs)


def _remove(path: Path) -> None:
    for file in (path, *path.parent.glob(f"{path.name}.*")):
        file.unlink()


def _megabytes(path: Path) -> float:
    files = [path, *path.parent.glob(path.name + ".*")]
    return sum(file.stat().st_size for file in files) / 1e6


@contextmanager
def _quiet() -> Iterator[None]:
    """The tool advises, by the root logger, to optimise first: fused nodes would escape it."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
