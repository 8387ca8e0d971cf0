"""Trained towers to a bundle: ONNX graphs with int8 weights, an int8 word table, a manifest.

Weights are stored as int8 with one scale an output channel and computed in float32 (the runtime
expands them at loading). Quantising activations too would make a picture's vector depend on its
batch. (Whether int8 arithmetic would be faster has not been measured.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from composir.errors import TrainingError
from composir.train.foundation.efficientnet_lite import PIXEL_MEAN, PIXEL_STD
from composir.train.foundation.image_tower import ImageTower
from composir.train.foundation.text_tower import TextTower
from composir.train.tracing import trace_to_onnx

IMAGE_GRAPH, TEXT_GRAPH = "gallery_image.onnx", "text.onnx"
WORD_VALUES, WORD_SCALES = "word_embeddings.npy", "word_scales.npy"
TOKENIZER = "tokenizer.json"
# Smaller weights stay in float32: biases, norms and the first convolution cost nothing.
MIN_QUANTISED = 2048
PARITY = 1e-4


class _ImageGraph(nn.Module):
    """uint8 pixels to vectors and patch tokens; normalisation is inside."""

    def __init__(self, tower: ImageTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        normalised = (pixels.permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD
        spatial = self.tower.trunk.spatial(normalised)
        vectors: Tensor = self.tower.from_map(self.tower.trunk.widen(spatial))
        return vectors, spatial.flatten(2).transpose(1, 2)


class _TextGraph(nn.Module):
    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(
        self, word_embeddings: Tensor, mask: Tensor, *more: Tensor
    ) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = self.tower(word_embeddings, mask, *more)
        return outputs


def export_image(tower: ImageTower, size: int, path: Path, *, quantise: bool) -> float:
    """Write the gallery graph.

    Args:
        tower: Trained.
        size: Side of the input, pixels.
        path: The `.onnx` file.
        quantise: Store weights as int8.

    Returns:
        Largest difference to torch before quantisation.

    Raises:
        TrainingError: If the graph disagrees with torch by more than `PARITY`.
    """
    graph = _ImageGraph(tower).eval()
    pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
    trace_to_onnx(graph, {"pixels": pixels}, ["vector", "patch_tokens"], path)
    gap = _parity(path, graph, {"pixels": pixels})
    if quantise:
        quantise_weights(path)
    return gap


def export_text(
    tower: nn.Module, width: int, path: Path, *, quantise: bool, **more: Tensor
) -> float:
    """Write the text graph; checks as in `export_image`.

    Args:
        tower: A text tower, or a module that takes what it takes and more.
        width: Of its words.
        path: The `.onnx` file.
        quantise: Store weights as int8.
        **more: Examples of further inputs, two rows each, by name.
    """
    graph = _TextGraph(tower).eval()
    words = torch.randn(2, 9, width) * 0.05
    mask = torch.ones(2, 9)
    mask[1, 6:] = 0.0
    axes = {0: "n", 1: "length"}
    inputs = {"word_embeddings": words, "mask": mask, **more}
    ragged = {"word_embeddings": axes, "mask": axes, "token_states": axes}
    trace_to_onnx(graph, inputs, ["vector", "token_states"], path, ragged)
    gap = _parity(path, graph, inputs)
    name_weights(path, graph)
    if quantise:
        quantise_weights(path)
    return gap


def export_words(tower: TextTower, folder: Path, *, quantise: bool) -> None:
    """Write the word table: int8 with a scale a row, or float16."""
    table = tower.words.weight.detach().numpy()
    if not quantise:
        np.save(folder / WORD_VALUES, table.astype(np.float16))
        return
    values, scales = quantise_rows(table)
    np.save(folder / WORD_VALUES, values)
    np.save(folder / WORD_SCALES, scales)


def quantise_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Symmetric int8 by row: (n, ...) to values of the same shape and scales (n,)."""
    flat = np.abs(matrix.reshape(len(matrix), -1)).max(axis=1)
    scales = np.maximum(flat / 127.0, 1e-12).astype(np.float32)
    shaped = scales.reshape(-1, *([1] * (matrix.ndim - 1)))
    return np.clip(np.round(matrix / shaped), -127, 127).astype(np.int8), scales


def name_weights(path: Path, module: nn.Module) -> None:
    """Give a graph's large weights the names that they have in torch.

    The exporter folds transposed matrices and numbers them. Named `tower.head.linear.weight`, or
    with `.T` behind it where the graph holds the transpose, they can be read back for training
    (`train.frozen`) without another file in the bundle.

    Args:
        path: The `.onnx` file, not yet quantised.
        module: What was exported.
    """
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(path))
    names: dict[bytes, str] = {}
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            matrix = parameter.detach().numpy()
            names[np.ascontiguousarray(matrix.T).tobytes()] = f"{name}.T"
            names[np.ascontiguousarray(matrix).tobytes()] = name
    renamed = {}
    for tensor in model.graph.initializer:
        known = names.get(numpy_helper.to_array(tensor).tobytes(), tensor.name)
        if known != tensor.name:
            renamed[tensor.name] = known
            tensor.name = known
    for node in model.graph.node:
        for place, source in enumerate(node.input):
            node.input[place] = renamed.get(source, source)
    onnx.save(model, str(path))


def quantise_weights(path: Path) -> None:
    """Replace the large weights of a graph by int8 values and a node that expands them.

    Convolutions are scaled by output channel (axis 0); matrices of linear layers, which the
    exporter may have transposed, by their output axis too.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(str(path))
    graph = model.graph
    axes = _output_axes(graph)
    kept, nodes = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if tensor.name not in axes or array.size < MIN_QUANTISED or array.dtype != np.float32:
            kept.append(tensor)
            continue
        axis = axes[tensor.name]
        values, scales = quantise_rows(np.moveaxis(array, axis, 0))
        stored = np.ascontiguousarray(np.moveaxis(values, 0, axis))
        zero = np.zeros(len(scales), np.int8)
        parts: dict[str, NDArray[Any]] = {"int8": stored, "scale": scales, "zero": zero}
        names = {part: f"{tensor.name}_{part}" for part in parts}
        kept += [numpy_helper.from_array(value, names[part]) for part, value in parts.items()]
        nodes.append(
            helper.make_node("DequantizeLinear", list(names.values()), [tensor.name], axis=axis)
        )
    _replace(graph.initializer, kept)
    _replace(graph.node, [*nodes, *graph.node])
    # Stale shapes of the replaced tensors would contradict the new graph.
    del graph.value_info[:]
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def write_bundle(
    folder: Path,
    towers: tuple[ImageTower, TextTower],
    tokenizer: Path,
    size: int,
    *,
    quantise: bool = True,
) -> Mapping[str, Any]:
    """Write all files of a bundle but its manifest and card.

    Args:
        folder: Made if missing.
        towers: Image and text tower.
        tokenizer: The `tokenizer.json` to copy.
        size: Side of the image input, pixels.
        quantise: Store weights as int8.

    Returns:
        Parity with torch, by graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    image, text = towers
    gaps = {
        "image_parity": export_image(image, size, folder / IMAGE_GRAPH, quantise=quantise),
        "text_parity": export_text(text, text.spec.width, folder / TEXT_GRAPH, quantise=quantise),
    }
    export_words(text, folder, quantise=quantise)
    (folder / TOKENIZER).write_bytes(tokenizer.read_bytes())
    return gaps


def _output_axes(graph: Any) -> dict[str, int]:
    """Which axis of each weight counts output channels."""
    axes: dict[str, int] = {}
    for node in graph.node:
        if node.op_type == "Conv":
            axes[node.input[1]] = 0
        elif node.op_type == "MatMul":
            axes[node.input[1]] = 1
        elif node.op_type == "Gemm":
            transposed = any(item.name == "transB" and item.i for item in node.attribute)
            axes[node.input[1]] = 0 if transposed else 1
    return axes


def _replace(field: Any, items: list[Any]) -> None:
    copies = [type(item)() for item in items]
    for copy, item in zip(copies, items, strict=True):
        copy.CopyFrom(item)
    del field[:]
    field.extend(copies)


def _parity(path: Path, graph: nn.Module, inputs: Mapping[str, Tensor]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = {name: value.numpy() for name, value in inputs.items()}
    ours = session.run(["vector"], feeds)[0]
    with torch.inference_mode():
        outputs = graph(*inputs.values())
    vector = outputs[0] if isinstance(outputs, tuple) else outputs
    gap = float(np.abs(ours - vector.numpy()).max())
    if not gap <= PARITY:
        raise TrainingError(f"{path.name} differs from torch by {gap:.2e}, more than {PARITY}")
    return gap
