"""Stage 2 of Map-to-Compose: the text encoder itself has learnt to compose (arXiv 2504.17990).

Composed sentences alone go through the text encoder with adapters. The reference's own sentence
and modifications are read with adapters off, by the same graph where it can switch them
(`model.text_graph`); words without a reference, and negatives, by the model's own graph.
"""

from __future__ import annotations

from composir.compose.query_side import QuerySide
from composir.compose.spliced import SplicedComposer
from composir.compose.trained import ComposerFolder
from composir.model.base import SplicingModel
from composir.model.once import Once


def open_composer(folder: ComposerFolder, model: SplicingModel) -> SplicedComposer:
    """Open a composer of the kind `adapted`."""
    graph = folder.manifest.text_graph
    assert graph is not None  # the manifest was checked

    adapted = Once(lambda: model.with_text_graph(folder.file(graph)))
    # Once too, so that who prepares and who asks share what is opened.
    plain = Once(lambda: adapted().without_adapters())
    return SplicedComposer(
        folder,
        model,
        folder.manifest.settings,
        QuerySide(folder, model),
        composed_texts=adapted,
        plain_texts=plain if folder.manifest.switchable else lambda: model.texts,
    )
