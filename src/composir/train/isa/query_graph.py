"""The query side of ISA as an ONNX graph: a picture, or its patch tokens, to pseudo-words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from composir.train.composer_export import export_query_graph
from composir.train.frozen import FrozenFoundation
from composir.train.isa.light_encoder import LightEncoder, PatchTokens
from composir.train.isa.light_vector import LightVector
from composir.train.isa.token_learner import TokenLearner


class IsaQuery(nn.Module):
    """What the query side consists of: encoder, token learner and perhaps the light vector."""

    def __init__(
        self, encoder: LightEncoder, learner: TokenLearner, light_vector: LightVector | None
    ) -> None:
        super().__init__()
        self.encoder, self.learner, self.light_vector = encoder, learner, light_vector

    def forward(self, first: Tensor, vector: Tensor | None = None) -> tuple[Tensor, ...]:
        """Make pseudo-words.

        Args:
            first: uint8 pixels (n, s, s, 3), or patch tokens (n, N, Dp).
            vector: (n, D), beside patch tokens; it changes nothing.

        Returns:
            Tokens (n, L, Dw), attention (n, L, h, w) and, where it is estimated, the vector (n, D).
        """
        if vector is not None:
            tokens, attention = self.learner(self.encoder.upper(first)[0])
            # Graphs on patch tokens take the vector too; the exporter would drop an unused input.
            return tokens + 0.0 * vector[:, :1, None], attention
        features, statistics = self.encoder.upper(self.encoder.lower(first))
        made: tuple[Tensor, ...] = self.learner(features)
        if self.light_vector is None:
            return made
        return *made, self.light_vector(features, statistics)

    def export(self, foundation: FrozenFoundation, path: Path, *, quantise: bool) -> dict[str, Any]:
        """Write the graph, its large weights as int8 or float32; all is on the CPU afterwards."""
        self.cpu().eval()
        outputs = ["tokens", "attention", *(["vector"] if self.light_vector is not None else [])]
        if isinstance(self.encoder, PatchTokens):
            inputs = _patches(foundation)
        else:
            size = self.encoder.preprocess.size
            inputs = {"pixels": torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)}
        parity = export_query_graph(self, inputs, outputs, path, quantise=quantise)
        return {"parity": parity, "weights": "int8" if quantise else "float32"}


def _patches(foundation: FrozenFoundation) -> dict[str, Tensor]:
    size = foundation.model.image_spec.size
    blank = torch.zeros(2, size, size, 3, dtype=torch.uint8).numpy()
    vectors, patches = map(torch.from_numpy, foundation.model.images.encode_patches(blank))
    return {"patch_tokens": torch.randn_like(patches), "vector": vectors}
