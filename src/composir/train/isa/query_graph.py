"""The query side of ISA as an ONNX graph: a picture, or its patch tokens, to pseudo-words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composir.train.composer_export import export_query_graph
from composir.train.frozen import FrozenFoundation
from composir.train.isa.light_encoder import LightEncoder, PatchTokens
from composir.train.isa.light_vector import LightVector
from composir.train.isa.token_learner import TokenLearner


@dataclass(frozen=True, slots=True)
class QueryParts:
    """What the query side consists of.

    Attributes:
        encoder: Pixels, or patch tokens, to a feature map.
        learner: The map to pseudo-words.
        light_vector: The map to an estimate of v; None where there is none.
    """

    encoder: LightEncoder
    learner: TokenLearner
    light_vector: LightVector | None = None

    def export(self, foundation: FrozenFoundation, path: Path, *, quantise: bool) -> dict[str, Any]:
        """Write the graph; the parts are on the CPU afterwards.

        Args:
            foundation: Gives patch tokens where the graph takes them.
            path: The `.onnx` file.
            quantise: Store large weights as int8; else as float32, to see what int8 costs.
        """
        for part in (self.encoder, self.learner, self.light_vector):
            if part is not None:
                part.cpu().eval()
        outputs = ["tokens", "attention"]
        module: nn.Module = PixelQuery(self)
        if isinstance(self.encoder, PatchTokens):
            inputs = _patches(foundation)
            module = PatchQuery(self.encoder, self.learner)
        else:
            size = self.encoder.preprocess.size
            inputs = {"pixels": torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)}
            outputs += ["vector"] if self.light_vector is not None else []
        parity = export_query_graph(module, inputs, outputs, path, quantise=quantise)
        return {"parity": parity, "weights": "int8" if quantise else "float32"}


class PixelQuery(nn.Module):
    """uint8 pixels (n, s, s, 3) to tokens, attention and, where there is one, the light vector."""

    def __init__(self, parts: QueryParts) -> None:
        """Join them."""
        super().__init__()
        self.encoder, self.learner = parts.encoder, parts.learner
        self.light_vector = parts.light_vector

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Tokens (n, L, Dw), attention (n, L, h, w), vector (n, D)."""
        features = self.encoder.upper(self.encoder.lower(pixels))
        made: tuple[Tensor, ...] = self.learner(features)
        return made if self.light_vector is None else (*made, self.light_vector(features))


class PatchQuery(nn.Module):
    """Patch tokens (n, N, Dp) to tokens and attention; the vector (n, D) changes nothing."""

    def __init__(self, encoder: LightEncoder, learner: TokenLearner) -> None:
        """Join both."""
        super().__init__()
        self.encoder, self.learner = encoder, learner

    def forward(self, patch_tokens: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (n, L, Dw) and attention (n, L, h, w)."""
        tokens, attention = self.learner(self.encoder.upper(patch_tokens))
        # Graphs on patch tokens take the vector too; the exporter would drop an unused input.
        return tokens + 0.0 * vector[:, :1, None], attention


def _patches(foundation: FrozenFoundation) -> dict[str, Tensor]:
    size = foundation.model.image_spec.size
    blank = torch.zeros(2, size, size, 3, dtype=torch.uint8).numpy()
    vectors, patches = map(torch.from_numpy, foundation.model.images.encode_pixel_patches(blank))
    return {"patch_tokens": torch.randn_like(patches), "vector": vectors}
