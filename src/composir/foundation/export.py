"""Towers to the files of a bundle: ONNX graphs, the word table, weights for training."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from composir.errors import MissingExtraError, ModelError
from composir.foundation.parts import Parts
from composir.foundation.text_tower import TextTower
from composir.foundation.weights import save_weights

IMAGE_GRAPH, TEXT_GRAPH = "gallery_image.onnx", "text.onnx"
WORD_VALUES, TOKENIZER = "word_embeddings.npy", "tokenizer.json"
TEXT_TOWER, MATCHING = "text_tower.safetensors", "matching.safetensors"
OPSET = 20
# Half of what vectors may differ by from the family's own code; also false for what is no number.
ROUNDING = 5e-5
# One protobuf message holds at most 2 GiB; weights of more go to a file beside the graph.
MAX_INSIDE = 1_800_000_000
MIN_BYTES = 2048
"""Smaller tensors are not worth being borrowed by other graphs."""
_FLOAT_BYTES = 4
_ROUNDS = 8


def write_files(parts: Parts, folder: Path) -> None:
    """Write all files of a bundle but its manifest and card."""
    export_image(parts.image, parts.preprocess.size, folder / IMAGE_GRAPH)
    export_text(parts.text, folder / TEXT_GRAPH)
    save_weights(parts.text, folder / TEXT_TOWER)
    if parts.matching is not None:
        save_weights(parts.matching, folder / MATCHING)
    write_words(parts.words, parts.text, folder / WORD_VALUES)
    (folder / TOKENIZER).write_text(parts.tokenizer, encoding="utf-8")


def export_image(tower: nn.Module, size: int, path: Path) -> None:
    """Write the gallery's graph: `pixels`, squares of a size, to `vector` and `patch_tokens`."""
    pixels = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    _export(tower, {"pixels": pixels}, {"pixels": {0: _batch()}}, ["vector", "patch_tokens"], path)


def export_text(tower: TextTower, path: Path) -> None:
    """Write the text graph: `word_embeddings`, `mask`, `eot` to `vector` and `token_states`."""
    # No length of the example may equal another size, or the exporter takes them for one.
    length = min(7, tower.spec.positions)
    batch, axis = _batch(), torch.export.Dim("length", min=2, max=tower.spec.positions)
    inputs = {
        "word_embeddings": torch.zeros(2, length, tower.spec.width),
        "mask": torch.ones(2, length),
        "eot": torch.zeros(2, dtype=torch.int64),
    }
    sizes = {
        "word_embeddings": {0: batch, 1: axis},
        "mask": {0: batch, 1: axis},
        "eot": {0: batch},
    }
    _export(tower, inputs, sizes, ["vector", "token_states"], path)
    align_tensors(path)


def write_words(words: Tensor, tower: TextTower, path: Path) -> None:
    """Write the word table, (vocabulary, Dw), float32: as float16 where vectors do not show it."""
    half = words.half()
    small = rounding_gap(words, half.float(), tower) <= ROUNDING
    np.save(path, (half if small else words).numpy())


def rounding_gap(words: Tensor, rounded: Tensor, tower: TextTower) -> float:
    """Largest difference that rounded words make to vectors of seeded random sentences."""
    generator = torch.Generator().manual_seed(0)
    length = min(16, tower.spec.positions)
    ids = torch.randint(0, len(words), (16, length), generator=generator)
    mask, last = torch.ones(ids.shape), torch.full((len(ids),), length - 1)
    with torch.no_grad():
        exact, near = (tower(table[ids], mask, last)[0] for table in (words, rounded))
    return float((exact - near).abs().max())


def _batch() -> Any:
    return torch.export.Dim("n", min=1, max=2**20)


def _export(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    sizes: Mapping[str, Mapping[int, Any]],
    outputs: Sequence[str],
    path: Path,
) -> None:
    _require_exporter()
    told = StringIO()
    weights = sum(tensor.numel() * tensor.element_size() for tensor in module.parameters())
    try:
        with warnings.catch_warnings(), _quiet(), torch.no_grad(), redirect_stdout(told):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                dynamic_shapes=tuple(sizes.values()),
                external_data=weights > MAX_INSIDE,
                verbose=False,
            )
    except Exception as error:  # the exporter raises a family of its own
        raise ModelError(f"{path.name} cannot be exported: {error}\n{told.getvalue()}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells what it does not need (torchvision's operators) as warnings."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _require_exporter() -> None:
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "foundation")


def align_tensors(graph: Path) -> None:
    """Move the large tensors of a graph to multiples of four bytes; written in place.

    So they may be mapped, and other graphs need not hold them again. Protobuf puts a tensor's bytes
    wherever what stands before them ends: spaces in a field that nobody reads move them to where
    the runtime wants to find a float.
    """
    import onnx

    model = onnx.load(str(graph), load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.doc_string = " " * _FLOAT_BYTES
    for _ in range(_ROUNDS):  # a longer field may lengthen the number that says how long it is
        content = model.SerializeToString()
        if not _moved(model, content):
            graph.write_bytes(content)
            return
    raise ModelError(f"the tensors of {graph.name} cannot be aligned")


def _moved(model: Any, content: bytes) -> bool:
    """Lengthen what stands before each large tensor; whether one had to be moved."""
    before, place, moved = model, 0, 0
    for tensor in model.graph.initializer:
        values = tensor.raw_data
        if len(values) >= MIN_BYTES:
            place = content.index(values, place)
            missing = -(place + moved) % _FLOAT_BYTES
            before.doc_string += " " * missing
            moved += missing
            place += len(values)
        before = tensor
    return moved > 0
