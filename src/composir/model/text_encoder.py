"""Texts to vectors on ONNX Runtime, with pseudo-words spliced among real words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from composir.errors import ModelError, QueryError
from composir.model.bundle import Bundle
from composir.model.sessions import open_session
from composir.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

PLACEHOLDER = "{}"


class TextEncoder:
    """Tokenise, look up word embeddings, splice, encode; files open at the first text.

    Attributes:
        batch_size: Sentences in one run of the graph.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None, batch_size: int = 64) -> None:
        """Prepare; nothing is read yet.

        Args:
            bundle: The model.
            threads: For the runtime; None for all cores.
            batch_size: Sentences in one run.
        """
        self.batch_size = batch_size
        self._bundle = bundle
        self._threads = threads

    @property
    def word_dimension(self) -> int:
        """Dw, width of word embeddings and pseudo-words."""
        return self._bundle.manifest.word_dimension

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut here, the two tokens that frame a sentence included."""
        return self._bundle.manifest.text.max_tokens

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
            batch_vectors, batch_states = self._run([sentences[index] for index in chosen])
            for row, index in enumerate(chosen):
                vectors[index] = batch_vectors[row]
                states[index] = batch_states[row, : len(sentences[index])]
        return vectors, states

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, framed, at most `max_tokens`."""
        # A word is at least one character and a token: cutting characters first keeps a text of
        # millions of characters from costing memory, and changes nothing below the token limit.
        limit = self.max_tokens * 64
        return [
            encoding.ids
            for encoding in self._tokenizer.encode_batch([_valid(text[:limit]) for text in texts])
        ]

    def embed(self, ids: Sequence[int]) -> FloatArray:
        """Word embeddings of token ids, (length, Dw) float32."""
        values, scales = self._words
        rows = np.asarray(values[np.asarray(ids, dtype=np.int64)], dtype=np.float32)
        if scales is None:
            return rows
        return rows * scales[np.asarray(ids, dtype=np.int64)][:, None].astype(np.float32)

    def nearest_words(self, pseudo_words: FloatArray, count: int = 5) -> list[list[str]]:
        """Vocabulary words whose embeddings are closest in cosine to each pseudo-word.

        Args:
            pseudo_words: (n, Dw) float32.
            count: Words a pseudo-word.

        Returns:
            n lists of words, nearest first.
        """
        values, _ = self._words
        table = np.asarray(values, dtype=np.float32)
        table /= np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-6)
        order = np.argsort(-(pseudo_words @ table.T), axis=1)[:, :count]
        return [[str(self._tokenizer.id_to_token(int(i))) for i in row] for row in order]

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

    def _run(self, sentences: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        length = max(len(sentence) for sentence in sentences)
        words = np.zeros((len(sentences), length, self.word_dimension), dtype=np.float32)
        mask = np.zeros((len(sentences), length), dtype=np.float32)
        for row, sentence in enumerate(sentences):
            words[row, : len(sentence)] = sentence
            mask[row, : len(sentence)] = 1.0
        outputs = ["vector", "token_states"]
        vectors, states = self._session.run(outputs, {"word_embeddings": words, "mask": mask})
        return vectors, states

    @cached_property
    def _session(self) -> InferenceSession:
        path = self._bundle.file(self._bundle.manifest.text.graph)
        return open_session(path, self._threads)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = self._bundle.file(self._bundle.manifest.text.tokenizer)
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer

    @cached_property
    def _words(self) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
        table = self._bundle.manifest.text.words
        values = np.load(self._bundle.file(table.values), mmap_mode="r", allow_pickle=False)
        if table.scales is None:
            return values, None
        return values, np.load(self._bundle.file(table.scales), allow_pickle=False)


def _valid(text: str) -> str:
    """Undo what a terminal without Unicode does to an argument; what is left broken becomes `�`."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")
