"""The mapping family: the reference's vector becomes a pseudo-word.

Pic2Word (arXiv 2302.03084) maps the vector alone; text-only mapping (the idea of LinCIR, arXiv
2312.01998) trains the same mapper without images; the first stage of Map-to-Compose (arXiv
2504.17990) injects the patch tokens.
"""

from __future__ import annotations

from composir.compose.query_side import QuerySide
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.model.base import SplicingEncoder, SplicingModel


def open_composer(folder: ComposerFolder, model: SplicingModel) -> SplicedComposer:
    """Open a composer of the kind `pseudo_word`."""
    side = QuerySide(folder, model)
    weights = folder.manifest.settings

    def own() -> SplicingEncoder:
        return model.texts

    return SplicedComposer(folder, model, weights, side, composed_texts=own, plain_texts=own)
