"""Texts to vectors on ONNX Runtime, with pseudo-words spliced among real words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from composir.errors import ModelError, QueryError
from composir.model.base import SentenceBatch
from composir.model.bundle import Bundle
from composir.model.device import Device
from composir.model.framing import Framing, dropped
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

    def __init__(
        self,
        bundle: Bundle,
        threads: int | None = None,
        batch_size: int = 64,
        device: Device | None = None,
    ) -> None:
        """Prepare; nothing is read yet."""
        self.batch_size = batch_size
        self.vocabulary = Vocabulary(bundle)
        self._bundle = bundle
        self._threads, self._device = threads, device
        self._graph = TextGraph(bundle, threads, device=device)
        self._adapters = True

    @property
    def word_dimension(self) -> int:
        """Dw, width of word embeddings and pseudo-words."""
        return self._bundle.manifest.word_dimension

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut here, the tokens that frame a sentence included."""
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
        batch = SentenceBatch(templates, pseudo_words, self._adapters)
        return self.encode_embeddings(self._embedded(batch))

    def encode_batches(self, batches: Sequence[SentenceBatch]) -> list[FloatArray]:
        """Encode sentences of several kinds together.

        Returns:
            (n, D) float32, unit norm, for each kind.

        Raises:
            QueryError: If a template has no or several placeholders.
            ModelError: If the graph cannot switch its adapters.
        """
        sentences = [one for batch in batches for one in self._embedded(batch)]
        switches = [batch.adapted for batch in batches for _ in batch.templates]
        vectors, _ = self.encode_embeddings(sentences, switches)
        ends = np.cumsum([len(batch.templates) for batch in batches])
        return np.split(vectors, ends[:-1])

    def _embedded(self, batch: SentenceBatch) -> list[FloatArray]:
        if batch.pseudo_words is None:
            return [self.embed(ids) for ids in self.tokenise(batch.templates)]
        pairs = zip(batch.templates, batch.pseudo_words, strict=True)
        return [self._splice(text, words) for text, words in pairs]

    def encode_embeddings(
        self, sentences: Sequence[FloatArray], adapters: Sequence[bool] | None = None
    ) -> tuple[FloatArray, list[FloatArray]]:
        """Encode sentences given as word embeddings.

        Args:
            sentences: n arrays (length, Dw) float32, framing tokens included, padding not.
            adapters: Whether each is read with adapters; None for all as this encoder does.

        Returns:
            Vectors (n, D) float32, unit norm, and n arrays of token states (length, width).

        Raises:
            ModelError: If a sentence is longer than what all are padded to.
        """
        vectors = np.empty((len(sentences), self._bundle.manifest.dimension), dtype=np.float32)
        states: list[FloatArray] = [np.empty((0, 0), dtype=np.float32)] * len(sentences)
        # Sentences of like length share a run, so that little of it is padding.
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = [sentences[index] for index in chosen]
            switched = [self._adapters if adapters is None else adapters[one] for one in chosen]
            batch_vectors, batch_states = self._run(batch, switched)
            for row, index in enumerate(chosen):
                vectors[index] = batch_vectors[row]
                states[index] = batch_states[row]
        return vectors, states

    def unread(self, sentence: str, pseudo_words: int = 0) -> str:
        """The words of a sentence that it is cut by, because it is too long; empty if it is not.

        Args:
            sentence: A text, or a template with `{}` for pseudo-words.
            pseudo_words: How many these are; 0 for a text, which may hold any character.

        Raises:
            QueryError: If a template has no or several placeholders, or its pseudo-words do not
                fit.
        """
        if pseudo_words == 0:
            (ids,) = self.vocabulary.word_ids([sentence])
            return self.vocabulary.excerpt(sentence, self._room(0), len(ids))
        before, after = self._halves(sentence)
        front, end = self._dropped(before, after, pseudo_words)
        first, last = sentence.split(PLACEHOLDER)
        lost = (
            self.vocabulary.excerpt(first, 0, front),
            self.vocabulary.excerpt(last.rstrip(), len(after) - end, len(after)),
        )
        return " … ".join(filter(None, lost))

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
                graph (`train.graph_weights`).

        Returns:
            An encoder that shares tokeniser and word table with this one.
        """
        return self._reading(
            TextGraph(self._bundle, self._threads, path, self._device), adapters=True
        )

    def without_adapters(self) -> TextEncoder:
        """The same graph, opened once for both, with its adapters off: the model's own reading.

        Encoding fails with a `ModelError` if the graph cannot switch them.
        """
        return self._reading(self._graph, adapters=False)

    def _reading(self, graph: TextGraph, *, adapters: bool) -> TextEncoder:
        other = TextEncoder(self._bundle, self._threads, self.batch_size, self._device)
        other.vocabulary, other._graph, other._adapters = self.vocabulary, graph, adapters
        return other

    def _run(
        self, sentences: Sequence[FloatArray], adapters: Sequence[bool]
    ) -> tuple[FloatArray, list[FloatArray]]:
        """One run of the graph: vectors, and the states of each sentence's own tokens."""
        framing, lengths = self.vocabulary.framing, [len(sentence) for sentence in sentences]
        if framing is None:
            vectors, states = self._graph.run(sentences, adapters=adapters)
            return vectors, [states[row, :length] for row, length in enumerate(lengths)]
        vectors, states = self._graph.run(
            [self._filled_up(sentence, framing) for sentence in sentences],
            adapters=adapters,
            places=[framing.place(length) for length in lengths],
        )
        starts = [framing.padding(length)[0] for length in lengths]
        spans = zip(starts, lengths, strict=True)
        return vectors, [states[row, at : at + length] for row, (at, length) in enumerate(spans)]

    def _filled_up(self, sentence: FloatArray, framing: Framing) -> FloatArray:
        """A sentence with its padding, which is the embedding of a token like any other."""
        if framing.length is None:
            return sentence
        if len(sentence) > framing.length:
            raise ModelError(
                f"a sentence of {len(sentence)} tokens; this model reads {framing.length}"
            )
        before, behind = framing.padding(len(sentence))
        pad = self.embed([framing.pad])
        return np.concatenate([pad.repeat(before, axis=0), sentence, pad.repeat(behind, axis=0)])

    def around(self, template: str, pseudo_words: int) -> tuple[list[int], list[int]]:
        """Token ids before and behind the pseudo-words of a sentence: framed, and cut to fit.

        Args:
            template: With one `{}`.
            pseudo_words: How many stand there.

        Raises:
            QueryError: If the template has no or several placeholders, or nothing fits.
        """
        before, after = self._halves(template)
        front, end = self._dropped(before, after, pseudo_words)
        opening, closing = self.vocabulary.frame
        return [*opening, *before[front:]], [*after[: len(after) - end], *closing]

    def _splice(self, template: str, pseudo_words: FloatArray) -> FloatArray:
        if pseudo_words.ndim != 2 or pseudo_words.shape[1] != self.word_dimension:
            raise ModelError(
                f"pseudo-words of shape {pseudo_words.shape}; this model's word embeddings are "
                f"(L, {self.word_dimension})"
            )
        head, tail = map(self.embed, self.around(template, len(pseudo_words)))
        return np.concatenate([head, pseudo_words, tail]).astype(np.float32, copy=False)

    def _halves(self, template: str) -> tuple[list[int], list[int]]:
        """Token ids of the words before and behind the pseudo-words, without a frame."""
        if template.count(PLACEHOLDER) != 1:
            raise QueryError(f"a template needs exactly one {PLACEHOLDER}: {template!r}")
        before, after = template.split(PLACEHOLDER)
        return self.vocabulary.part_ids(before), self.vocabulary.part_ids(after)

    def _dropped(
        self, before: Sequence[int], after: Sequence[int], pseudo_words: int
    ) -> tuple[int, int]:
        room = self._room(pseudo_words)
        found = dropped(self.vocabulary.framing, len(before), len(after), room)
        if found is None:
            raise QueryError(f"{pseudo_words} pseudo-words do not fit {self.max_tokens} tokens")
        return found

    def _room(self, pseudo_words: int) -> int:
        """Tokens that the frame and pseudo-words leave for words."""
        opening, closing = self.vocabulary.frame
        return self.max_tokens - len(opening) - len(closing) - pseudo_words
