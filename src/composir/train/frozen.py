"""The foundation model that composers are trained on: a bundle, with its text tower in torch.

Gradients have to pass through the frozen text encoder to reach pseudo-words. A bundle brings its
tower's weights (`text.tower` and `text.spec` of its manifest), or they are read back from its own
graph (`train.composer_export.export_tower` leaves their names there), int8 values expanded, so
that training sees exactly the tower that answers queries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import TrainingError
from composir.foundation import text_tower
from composir.foundation.appearance import text_aligned_part
from composir.foundation.text_tower import TextTower, TextTowerSpec
from composir.model import Model, load_model
from composir.model.bundle import Bundle
from composir.model.catalogue import DEFAULT_MODEL
from composir.model.framing import Framing
from composir.model.vocabulary import read_word_table

Likeness: TypeAlias = Literal["statistics", "norm", "none"]
PREFIX = "tower."
# What the map to the shared space is called in text graphs of earlier versions.
_EARLIER = (("head.linear.", "projection."), ("head.correction.", "correction."))
Weights: TypeAlias = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class WordStatistics:
    """Statistics of word embeddings.

    Attributes:
        mean: (Dw,) float32.
        deviation: (Dw,) float32, standard deviation by coordinate.
        norm: Mean Euclidean norm.
    """

    mean: Tensor
    deviation: Tensor
    norm: float

    @classmethod
    def of(cls, words: Tensor, used: Tensor) -> WordStatistics:
        """Statistics of a table (vocabulary, Dw), in which a word counts as often as it is used."""
        shares = torch.bincount(used, minlength=len(words)).to(words.dtype)[:, None] / len(used)
        mean = (shares * words).sum(0)
        variance = (shares * (words - mean).square()).sum(0)
        norm = (shares[:, 0] * words.norm(dim=1)).sum()
        return cls(mean, variance.sqrt(), float(norm))


class WordLike(nn.Module):
    """Brings raw pseudo-words (…, Dw) to where word embeddings live; nothing is trained."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, words: WordStatistics, likeness: Likeness = "statistics") -> None:
        super().__init__()
        self.likeness, self.norm = likeness, words.norm
        self.register_buffer("mean", words.mean.detach().clone(), persistent=False)
        self.register_buffer("deviation", words.deviation.detach().clone(), persistent=False)

    def forward(self, raw: Tensor) -> Tensor:
        """(..., Dw) to the same shape."""
        if self.likeness == "statistics":
            return self.mean + self.deviation * functional.layer_norm(raw, self.mean.shape)
        if self.likeness == "norm":
            return self.norm * functional.normalize(raw, dim=-1)
        return raw


class FrozenFoundation:
    """A bundle, and its text tower as a frozen torch module.

    Attributes:
        model: The bundle as queries use it.
        text: The text tower, in evaluation mode, without gradients for its weights: from word
            embeddings, a mask and the places of pooling to vectors and token states.
        words: (vocabulary, Dw) float32, the table of word embeddings.
        device: Where text tower and words are.
    """

    def __init__(self, model: Model, text: TextTower, device: str = "cpu") -> None:
        """Use `FrozenFoundation.load` instead."""
        self.model = model
        self.device = torch.device(device)
        self.text = text.to(self.device).eval().requires_grad_(requires_grad=False)
        self.words = torch.from_numpy(_word_table(model.bundle)).to(self.device)

    @classmethod
    def load(
        cls, source: str | Path | Model = DEFAULT_MODEL, device: str = "cpu"
    ) -> FrozenFoundation:
        """Load a bundle by name or folder, or take an open one."""
        model = source if isinstance(source, Model) else load_model(source)
        return cls(model, load_text_tower(model.bundle), device)

    @property
    def dimension(self) -> int:
        """D, width of the shared space."""
        return self.model.dimension

    @property
    def appearance_width(self) -> int:
        """Width of the gallery vectors' appearance part; 0 where they have none."""
        return self.model.manifest.image.appearance_width

    def text_aligned(self, vectors: Tensor) -> Tensor:
        """Gallery vectors (n, D) as sentences are to match them: without their appearance."""
        return text_aligned_part(vectors, self.appearance_width)

    @property
    def word_dimension(self) -> int:
        """Dw, width of word embeddings and pseudo-words."""
        return self.model.manifest.word_dimension

    @property
    def state_width(self) -> int:
        """Dh, width of token states."""
        sample = self.words[:1][None]
        one, place = torch.ones(1, 1), torch.zeros(1, dtype=torch.long)
        states: Tensor = self.text(sample, one.to(self.device), place.to(self.device))[1]
        return states.shape[2]

    @property
    def templates(self) -> Mapping[str, str]:
        """The bundle's named sentences with `{}` for pseudo-words."""
        return self.model.manifest.templates

    def word_statistics(self, texts: Iterable[str]) -> WordStatistics:
        """Mean, deviation and norm of word embeddings, each counted as often as texts use it."""
        ids = [id_ for text in texts for id_ in self.word_ids(text)]
        return WordStatistics.of(self.words, torch.tensor(ids, device=self.device))

    def word_ids(self, text: str) -> list[int]:
        """Token ids of a text, or of a part of one, without the tokens that frame a sentence."""
        return self.model.texts.vocabulary.part_ids(text)

    @property
    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the tokens that open a sentence, and of those that close it; 0 or 1 each."""
        return self.model.texts.vocabulary.frame

    @property
    def framing(self) -> Framing | None:
        """How the bundle frames its sentences; None in those of earlier versions."""
        return self.model.manifest.text.framing

    def patch_shape(self) -> tuple[int, int, int]:
        """Rows, columns and width of a picture's patch tokens."""
        size = self.model.image_spec.size
        blank = np.zeros((1, size, size, 3), dtype=np.uint8)
        _, count, width = self.model.images.encode_patches(blank)[1].shape
        side = math.isqrt(count)
        rows, columns = self.model.manifest.image.grid or (side, side)
        if rows * columns != count:
            raise TrainingError(
                f"the model {self.model.name} gives {count} patch tokens, which are no grid of "
                f"{rows} x {columns}: its bundle.json has to say which they are (image.grid)"
            )
        return rows, columns, width

    @property
    def temperature(self) -> float | None:
        """What similarities are divided by in a softmax, of its logit scale; None if unknown."""
        return self.framing.temperature if self.framing else None

    def embed(self, ids: Sequence[int]) -> Tensor:
        """Word embeddings of token ids, (length, Dw) float32."""
        return self.words[torch.as_tensor(ids, dtype=torch.long, device=self.device)]

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Vectors of plain texts through the runtime, (n, D) float32, unit norm, no gradient."""
        return torch.from_numpy(self.model.encode_texts(texts)).to(self.device)


def load_text_tower(bundle: Bundle) -> TextTower:
    """Rebuild the torch text tower of a bundle, from its weights or from its graph."""
    text = bundle.manifest.text
    if text.tower is not None:
        return text_tower.load_text_tower(bundle.file(text.tower), text.spec or {})
    if text.attention_heads is None:
        raise TrainingError(
            f"{bundle.folder} does not say how many attention heads its text tower has, so it "
            "cannot be trained through: export it with this version of composir"
        )
    try:
        return _tower_of(_current(read_weights(bundle.file(text.graph))), bundle)
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"the text graph of {bundle.folder} cannot be trained through ({error}): export it "
            "with this version of composir"
        ) from error


def _tower_of(weights: Weights, bundle: Bundle) -> TextTower:
    """BERT's kind, averaged over tokens: the only one whose weights lie in its graph alone."""
    appearance = bundle.manifest.image.appearance_width
    spec = TextTowerSpec(
        dimension=bundle.manifest.dimension - appearance,
        positions=len(weights["positions"]),
        width=len(weights["norm.bias"]),
        layers=len({name.split(".")[1] for name in weights if name.startswith("blocks.")}),
        heads=bundle.manifest.text.attention_heads or 0,
        inner=len(weights["blocks.0.expand.bias"]),
        activation="gelu",
        epsilon=1e-12,
        causal=False,
        pooling="mean",
        projection_bias=True,
        norm_after=True,
        correction=len(weights["correction.0.bias"]),
        appearance=appearance,
    )
    tower = TextTower(spec)
    tower.load_state_dict({name: torch.tensor(weights[name]) for name in tower.state_dict()})
    return tower.eval()


def _current(weights: Weights) -> Weights:
    """Weights by the names that the tower has for them today."""
    for earlier, today in _EARLIER:
        weights = {n.replace(earlier, today): values for n, values in weights.items()}
    return weights


def read_weights(graph: Path) -> Weights:
    """Weights of an exported tower by their names in torch, int8 expanded, transposes undone.

    What int8 weights are stored as (values, scales, zeros) is not among them.
    """
    try:
        weights = _weights_of(graph)
    except Exception as error:  # protobuf and onnx raise many kinds for graphs of other makers
        raise TrainingError(
            f"{graph} cannot be trained through ({error}): export it with this version of composir"
        ) from error
    for name, values in weights.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise TrainingError(f"{graph}: the weights {name} are NaN or infinite")
    return weights


def _weights_of(graph: Path) -> Weights:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(graph))
    found = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    stored: set[str] = set()
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
        elif node.op_type == "DequantizeLinear":
            found[node.output[0]] = _expanded(node, found)
            stored.update(node.input)
    own = {n: a for n, a in found.items() if n.startswith(PREFIX) and n not in stored}
    named = {n.removeprefix(PREFIX): a for n, a in own.items()}
    return {n.removesuffix(".T"): a.T.copy() if n.endswith(".T") else a for n, a in named.items()}


def _expanded(node: Any, found: Weights) -> NDArray[np.float32]:
    values, scales = (found[name] for name in node.input[:2])
    axis = next(item.i for item in node.attribute if item.name == "axis")
    shape = [1] * values.ndim
    shape[axis] = -1
    return np.asarray(values.astype(np.float32) * scales.reshape(shape), dtype=np.float32)


def _word_table(bundle: Bundle) -> NDArray[np.float32]:
    values, scales = read_word_table(bundle)
    table = np.asarray(values, dtype=np.float32)
    if scales is None:
        return table
    return np.asarray(table * scales.astype(np.float32)[:, None], dtype=np.float32)


def with_noise(foundation: FrozenFoundation, vectors: Tensor, longest: float) -> Tensor:
    """Vectors of texts (n, D) as if they were pictures': the gap between the two is like noise.

    The random vector that is added, drawn with torch, has a length uniform up to `longest`, and no
    appearance, as texts have none; the sum has unit norm again.
    """
    direction = foundation.text_aligned(torch.randn_like(vectors))
    direction = functional.normalize(direction, dim=-1)
    length = longest * torch.rand(len(vectors), 1, device=vectors.device)
    return functional.normalize(vectors + length * direction, dim=-1)
