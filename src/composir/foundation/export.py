"""Towers to the files of a bundle: ONNX graphs, the word table, weights for training.

In int8 arithmetic, matrices are quantised by output channel and activations as they come: about
twice as fast on a CPU, at a cost that is measured, and kept only where rankings stay what they
were. Embeddings, convolutions and norms stay float32.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from composir.data.schema import ManifestPart
from composir.errors import MissingExtraError, ModelError
from composir.foundation.image_tower import save_weights
from composir.foundation.parity import TEXTS, agreement, gallery
from composir.foundation.text_tower import TextTower
from composir.foundation.transformers_code import Parts
from composir.model import Model
from composir.model.sessions import open_session
from composir.types import FloatArray, PixelArray

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
        with _quiet_tool():
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
def _quiet_tool() -> Iterator[None]:
    """The tool advises, by the root logger, to optimise first: fused nodes would escape it."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
