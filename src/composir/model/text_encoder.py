"""Texts to vectors on ONNX Runtime, with pseudo-words spliced among real words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from composir.errors import ModelError, QueryError
from composir.model.bundle import Bundle
from composir.model.text_graph import TextGraph
from composir.model.vocabulary import Vocabulary
from composir.types import FloatArray

PLACEHOLDER = "{}"


class TextEncoder:
    """Tokenise, look up word embeddings, splice, encode; files open at the first text.

    Attributes:
        batch_size: Sentences in one run of the graph.
        vocabulary: The tokeniser and the table of words.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None, batch_size: int = 64) -> None:
        """Prepare; nothing is read yet.

        Args:
            bundle: The model.
            threads: For the runtime; None for all cores.
            batch_size: Sentences in one run.
        """
        self.batch_size = batch_size
        self.vocabulary = Vocabulary(bundle)
        self._bundle = bundle
        self._threads = threads
        self._graph = TextGraph(bundle, threads)
        self._adapters = True

    @property
    def word_dimension(self) -> int:
        """Dw, width of word embeddings and pseudo-words."""
        return self._bundle.manifest.word_dimension

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut here, the two tokens that frame a sentence included."""
        return self.vocabulary.max_tokens

    def prepare(self) -> None:
        """Open the files now instead of at the first text.

        Raises:
            BundleError: If one is damaged.
            ModelError: If the runtime refuses the graph.
        """
        self._graph.prepare()
        self.vocabulary.prepare()

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Encode texts.

        Args:
            texts: Any length; what exceeds `max_tokens` is cut.

        Returns:
            (n, D) float32, unit norm.
        """
        return self.encode_embeddings([self.embed(ids) for ids in self.tokenise(texts)])[0]

    def encode_spliced(
        self, templates: Sequence[str], pseudo_words: Sequence[FloatArray]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Encode sentences in which `{}` stands for pseudo-words.

        Args:
            templates: n texts with exactly one `{}` each, e.g. `"a photo of {} in brass"`.
            pseudo_words: n arrays (L, Dw) float32, the tokens that take the placeholder's place.

        Returns:
            Vectors (n, D) float32, unit norm, and n arrays of token states (length, width).

        Raises:
            QueryError: If a template has no or several placeholders.
            ModelError: If a pseudo-word has another width.
        """
        pairs = zip(templates, pseudo_words, strict=True)
        return self.encode_embeddings([self._splice(text, words) for text, words in pairs])

    def encode_embeddings(
        self, sentences: Sequence[FloatArray]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Encode sentences given as word embeddings.

        Args:
            sentences: n arrays (length, Dw) float32, framing tokens included.

        Returns:
            Vectors (n, D) float32, unit norm, and n arrays of token states (length, width).
        """
        vectors = np.empty((len(sentences), self._bundle.manifest.dimension), dtype=np.float32)
        states: list[FloatArray] = [np.empty((0, 0), dtype=np.float32)] * len(sentences)
        # Sentences of like length share a run, so that little of it is padding.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch_vectors, batch_states = self._graph.run(
                [sentences[index] for index in chosen], adapters=self._adapters
            )
            for row, index in enumerate(chosen):
                vectors[index] = batch_vectors[row]
                states[index] = batch_states[row, : len(sentences[index])]
        return vectors, states

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, framed, at most `max_tokens`."""
        return self.vocabulary.tokenise(texts)

    def embed(self, ids: Sequence[int]) -> FloatArray:
        """Word embeddings of token ids, (length, Dw) float32."""
        return self.vocabulary.embed(ids)

    def nearest_words(self, pseudo_words: FloatArray, count: int = 5) -> list[list[str]]:
        """Words closest in cosine to each pseudo-word, (n, Dw) float32; nearest first."""
        return self.vocabulary.nearest_words(pseudo_words, count)

    def with_graph(self, path: Path) -> TextEncoder:
        """The same words read by another text graph, e.g. an adapted one.

        Args:
            path: The `.onnx` file, with the inputs and outputs of this encoder's, and perhaps the
                switch of its adapters (`text_graph`); it may borrow tensors of the model's own text
                graph (`train.borrowed`).

        Returns:
            An encoder that shares tokeniser and word table with this one.
        """
        return self._reading(TextGraph(self._bundle, self._threads, path), adapters=True)

    def without_adapters(self) -> TextEncoder:
        """The same graph, opened once for both, with its adapters off: the model's own reading.

        Encoding fails with a `ModelError` if the graph cannot switch them.
        """
        return self._reading(self._graph, adapters=False)

    def _reading(self, graph: TextGraph, *, adapters: bool) -> TextEncoder:
        other = TextEncoder(self._bundle, self._threads, self.batch_size)
        other.vocabulary, other._graph, other._adapters = self.vocabulary, graph, adapters
        return other

    def _splice(self, template: str, pseudo_words: FloatArray) -> FloatArray:
        if template.count(PLACEHOLDER) != 1:
            raise QueryError(f"a template needs exactly one {PLACEHOLDER}: {template!r}")
        if pseudo_words.ndim != 2 or pseudo_words.shape[1] != self.word_dimension:
            raise ModelError(
                f"pseudo-words of shape {pseudo_words.shape}; this model's word embeddings are "
                f"(L, {self.word_dimension})"
            )
        before, after = template.split(PLACEHOLDER)
        head, tail = self.tokenise([before, after])
        # Each half is framed; between the halves the frames are dropped.
        room = self.max_tokens - len(head[:-1]) - len(pseudo_words) - 1
        if room < 0:
            raise QueryError(
                f"{len(pseudo_words)} pseudo-words do not fit {self.max_tokens} tokens"
            )
        after_ids = [*tail[1:-1][:room], tail[-1]]
        parts = (self.embed(head[:-1]), pseudo_words, self.embed(after_ids))
        return np.concatenate(parts).astype(np.float32, copy=False)
