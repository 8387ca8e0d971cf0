"""Stage 2 of Map-to-Compose: the text encoder itself has learnt to compose (arXiv 2504.17990).

Composed sentences alone go through the text encoder with adapters. The reference's own sentence,
modifications and negatives go through the model's: adapters off.
"""

from __future__ import annotations

from composir.compose.query_side import QuerySide
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.model.base import SplicingEncoder, SplicingModel
from composir.model.once import Once


def open_composer(folder: ComposerFolder, model: SplicingModel) -> SplicedComposer:
    """Open a composer of the kind `adapted`.

    Args:
        folder: Its manifest and files.
        model: The model it was trained for.
    """
    graph = folder.manifest.text_graph
    assert graph is not None  # the manifest was checked

    def adapted() -> SplicingEncoder:
        return model.with_text_graph(folder.file(graph))

    return SplicedComposer(
        folder, model, folder.manifest.settings, QuerySide(folder, model), Once(adapted)
    )
