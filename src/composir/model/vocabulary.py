"""From texts to word embeddings: the tokeniser and the table of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from composir.data.untrusted_arrays import read_array
from composir.data.untrusted_json import read_text
from composir.errors import BundleError
from composir.model.bundle import Bundle
from composir.model.framing import Framing
from composir.model.once import once_property
from composir.types import FloatArray

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


_TOKENIZER_LIMIT = 1 << 26


class Vocabulary:
    """Tokenise texts and look words up; files open at the first text."""

    def __init__(self, bundle: Bundle) -> None:
        """Prepare; nothing is read yet."""
        self._bundle = bundle

    @property
    def max_tokens(self) -> int:
        """Longer texts are cut here, the tokens that frame a sentence included."""
        return self._bundle.manifest.text.max_tokens

    @property
    def framing(self) -> Framing | None:
        """How sentences are framed; None where the tokeniser does it itself."""
        return self._bundle.manifest.text.framing

    @once_property
    def frame(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Ids of the tokens that open a sentence, and of those that close it; 0 or 1 each."""
        if self.framing is not None:
            return self.framing.opening, self.framing.closing
        ids = self._tokenizer.encode("").ids
        if len(ids) != 2:
            raise BundleError(
                f"{self._bundle.folder}: its tokenizer frames a text with {len(ids)} tokens, not "
                "2; text.framing in its manifest has to say how sentences are framed"
            )
        return (ids[0],), (ids[1],)

    def prepare(self) -> None:
        """Open the files now instead of at the first text.

        Raises:
            BundleError: If one is damaged.
        """
        _ = self._tokenizer, self._words

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, framed, at most `max_tokens`."""
        if self.framing is None:
            return [encoding.ids for encoding in self._encoded(texts)]
        opening, closing = self.frame
        room = self.max_tokens - len(opening) - len(closing)
        return [[*opening, *ids[:room], *closing] for ids in self.word_ids(texts)]

    def word_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text without a frame, and not cut at `max_tokens`."""
        if self.framing is None:
            return [[i for i, _ in _unframed(encoding)] for encoding in self._encoded(texts)]
        return [encoding.ids for encoding in self._encoded(texts)]

    def excerpt(self, text: str, start: int, stop: int) -> str:
        """What the tokens `start` to before `stop` of a text stand for, the frame not counted."""
        (encoding,) = self._encoded([text])
        # What people wrote, and not the tokens decoded: some tokenisers leave marks in those.
        spans = [span for _, span in _unframed(encoding)][start:stop]
        return self._cleaned(text)[spans[0][0] : spans[-1][1]].strip() if spans else ""

    def part_ids(self, text: str) -> list[int]:
        """Token ids of what stands before or behind pseudo-words, without a frame, not cut."""
        if self.framing is not None:
            # To some tokenisers a space is part of the word behind it, and alone a word of its own.
            text = text.rstrip()
        return self.word_ids([text])[0]

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        cut = [self._cleaned(text) for text in texts]
        with self._refused("cannot tokenise"):
            encodings = self._tokenizer.encode_batch(cut, add_special_tokens=self.framing is None)
        return list(encodings)

    def _cleaned(self, text: str) -> str:
        """What of a text the tokeniser gets."""
        # A word is at least one character and a token: cutting characters first keeps a text of
        # millions of characters from costing memory, and changes nothing below the token limit.
        limit = self.max_tokens * 64
        if self.framing is None:
            return _valid(text[:limit])
        return self.framing.clean(_valid(text))[:limit]

    def embed(self, ids: Sequence[int]) -> FloatArray:
        """Word embeddings of token ids, (length, Dw) float32."""
        values, scales = self._words
        if max(ids, default=0) >= len(values):
            raise BundleError(
                f"{self._bundle.folder}: its tokeniser knows the token {max(ids)}, its table of "
                f"words ends at {len(values) - 1}: export the bundle again"
            )
        rows = np.asarray(values[np.asarray(ids, dtype=np.int64)], dtype=np.float32)
        if scales is None:
            return rows
        return rows * scales[np.asarray(ids, dtype=np.int64)][:, None].astype(np.float32)

    def nearest_words(self, pseudo_words: FloatArray, count: int = 5) -> list[list[str]]:
        """Words whose embeddings are closest in cosine to each pseudo-word.

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

    @once_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        path = self._bundle.file(self._bundle.manifest.text.tokenizer)
        text = read_text(path, BundleError, limit=_TOKENIZER_LIMIT)
        with self._refused("is no tokeniser"):
            tokenizer = Tokenizer.from_str(text)
            tokenizer.no_padding()
            if self.framing is None:
                tokenizer.enable_truncation(self.max_tokens)
            else:
                tokenizer.no_truncation()
        return tokenizer

    @contextmanager
    def _refused(self, what: str) -> Iterator[None]:
        """Turn what the library raises into an error of the bundle."""
        try:
            yield
        except BaseException as error:
            # Plain exceptions, and where it had not thought of a mistake its own of the name below.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            path = self._bundle.file(self._bundle.manifest.text.tokenizer)
            raise BundleError(f"{path} {what}: {error}") from error

    @once_property
    def _words(self) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
        values, scales = read_word_table(self._bundle, mapped=True)
        beyond = [i for i in (self.framing.ids if self.framing else ()) if i >= len(values)]
        if beyond:
            raise BundleError(
                f"{self._bundle.folder}: its sentences are framed by the tokens "
                f"{', '.join(map(str, beyond))}, but its table has {len(values)} words"
            )
        return values, scales


def read_word_table(
    bundle: Bundle, *, mapped: bool = False
) -> tuple[NDArray[np.generic], NDArray[np.generic] | None]:
    """The word embeddings of a bundle as they are stored.

    Returns:
        Values (vocabulary, Dw), and scales (vocabulary,), None where the values need none.
    """
    table = bundle.manifest.text.words
    values = read_array(
        bundle.file(table.values),
        BundleError,
        shape=(None, bundle.manifest.word_dimension),
        dtypes=("float16", "float32") if table.scales is None else ("int8",),
        finite=True,
        mapped=mapped,
    )
    if table.scales is None:
        return values, None
    scales = read_array(
        bundle.file(table.scales),
        BundleError,
        shape=(len(values),),
        dtypes=("float16", "float32"),
        finite=True,
    )
    return values, scales


def _unframed(encoding: Encoding) -> list[tuple[int, tuple[int, int]]]:
    """Ids and places of all tokens of a text; the frame left out, and what was cut off included."""
    parts = [encoding, *encoding.overflowing]
    marked = [zip(p.ids, p.offsets, p.special_tokens_mask, strict=True) for p in parts]
    return [(token, span) for row in marked for token, span, framing in row if not framing]


def _valid(text: str) -> str:
    """Undo what a terminal without Unicode does to an argument; what is left broken becomes `�`."""
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")
