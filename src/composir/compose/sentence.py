"""ISA: the reference becomes a sentence of several pseudo-words.

Image2Sentence based asymmetrical zero-shot composed image retrieval (ICLR 2024, arXiv 2403.01431):
a light image encoder and a token learner make the sentence on the device; the tokens travel, and
the frozen text encoder reads them together with the modification. The symmetric variant runs the
token learner on the patch tokens of the gallery's encoder instead.
"""

from __future__ import annotations

from composir.compose.query_side import QuerySide
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.errors import BundleError
from composir.model.base import SplicingEncoder, SplicingModel


def open_composer(folder: ComposerFolder, model: SplicingModel) -> SplicedComposer:
    """Open a composer of the kind `sentence`."""
    made = folder.manifest
    if made.input == "vector":
        raise BundleError(f"{folder.folder}: a sentence is made of pixels or patch tokens")
    weights, side = made.settings, QuerySide(folder, model)

    def own() -> SplicingEncoder:
        return model.texts

    return SplicedComposer(folder, model, weights, side, composed_texts=own, plain_texts=own)
