"""Take off what the words replace: "in red" takes the colour away that a picture has now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from composir.compose.arithmetic import ArithmeticComposer
from composir.compose.base import ComposedQueries, QueryBatch
from composir.compose.exchanges import Exchange, read_exchanges
from composir.compose.retrieved import PhraseVectors, check_count, nearest_things
from composir.compose.sphere import normalised
from composir.compose.unlisted import shares, trusted, unlisted_changes
from composir.compose.unwanted import EVERYDAY
from composir.errors import QueryError
from composir.types import FloatArray


@dataclass(frozen=True, slots=True)
class Replace(ArithmeticComposer):
    r"""Change a picture's vector by what the words ask for, less what they replace.

    $$ q = \mathrm{normalise}\Big(v + a \sum_G \big(t(x) - \sum_{y \in G} p(y)\, t(y)\big) + b\, t
         \Big), \quad p = \mathrm{softmax}_{y \in G}(v \cdot t(y) / \tau) $$

    with $x$ the phrase of the text and $G$ the phrases of its group in the lexicon (`lexicon.txt`).
    The difference is taken twice: of the phrases alone, and of sentences about the thing that fits
    the picture best ("a shirt in red" and "a shirt in blue"). Of a text that names what it replaces
    ("a cat instead of a dog"), that alone is $G$. For texts of no phrase, either all groups are
    exchanged as far as the text is near to them (`unlisted`), or, where `nearness` is 0, G are the
    things that fit the picture best, as if they were its caption (prompt directional vectors,
    arXiv 2502.07215).

    Where a bundle says nothing, each part counts once and one thing is taken off; the temperature
    is the one at which CLIP-like models end their training.

    Attributes:
        a: Weight of the change.
        b: Weight of the text.
        temperature: τ, at which a picture is taken to fit phrases.
        context: Share of the difference that is taken of sentences about the thing, 0 to 1.
        things: How many things are taken off for a text of no phrase, without nearness.
        centred: Share of the mean of everyday texts that is taken from `b t`: all texts lie to one
            side of all pictures.
        nearness: Temperature at which a text of no phrase is taken to be of groups; 0 for none.
        drawn: How far what such a text asks for is drawn to phrases of the lexicon, 0 to 1.
        emphasis: How much more such a text counts, in both weights.
        doubt: Temperature at which a phrase is trusted that is found in a text; what it is not
            trusted for goes by nearness. 0: always.
        ahead: How much nearer than other groups a phrase has to be, to be trusted by half.
    """

    a: float = 1.0
    b: float = 1.0
    temperature: float = 0.01
    context: float = 0.0
    things: int = 1
    centred: float = 0.0
    nearness: float = 0.0
    drawn: float = 0.0
    emphasis: float = 1.0
    doubt: float = 0.0
    ahead: float = 0.0
    vectors: PhraseVectors = field(init=False, repr=False, compare=False)
    name = "replace"

    def __post_init__(self) -> None:
        """Check the settings."""
        object.__setattr__(self, "vectors", PhraseVectors(self.model))
        if not self.temperature > 0.0:
            raise QueryError(f"temperature must be above 0, not {self.temperature}")
        for name in ("context", "drawn"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise QueryError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        for name in ("a", "b", "centred", "nearness", "emphasis", "doubt", "ahead"):
            if not getattr(self, name) >= 0.0:
                raise QueryError(f"{name} must be at least 0, not {getattr(self, name)}")
        check_count("things", self.things)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Replace in the reference's vector; with image or words missing, take the other."""
        return self.blended(batch, lambda v, t: self._replaced(v, t, batch.texts))

    def _replaced(self, image: FloatArray, text: FloatArray, texts: Sequence[str]) -> FloatArray:
        read = [read_exchanges(one) for one in texts]
        trust = self._trusted(text, read)
        change = self._listed(image, texts, read, trust)
        rest = np.array([1.0 - max(each, default=0.0) for each in trust], dtype=np.float32)
        left = rest > 0.0
        if self.nearness and left.any():
            near = self._unlisted(image[left], text[left])
            change[left] += rest[left, None] * near
        counts = 1.0 + rest[:, None] * np.float32(self.emphasis - 1.0)
        asked = np.float32(self.a) * change + np.float32(self.b) * self._wanted(text, read)
        return normalised(image + counts * asked)

    def _trusted(
        self, text: FloatArray, read: Sequence[Sequence[Exchange]]
    ) -> Sequence[Sequence[float]]:
        """How far each phrase that was found counts; none of a text where none was."""
        if not (self.doubt and self.nearness and any(read)):
            return [[1.0] * len(each) for each in read]
        return trusted(text, read, self.vectors, doubt=self.doubt, ahead=self.ahead)

    def _unlisted(self, image: FloatArray, text: FloatArray) -> FloatArray:
        return unlisted_changes(
            image,
            text,
            self.vectors,
            temperature=self.temperature,
            nearness=self.nearness,
            drawn=self.drawn,
        )

    def _listed(
        self,
        image: FloatArray,
        texts: Sequence[str],
        read: Sequence[Sequence[Exchange]],
        trust: Sequence[Sequence[float]],
    ) -> FloatArray:
        """The change by phrases, (n, D); zero for a text of none that `unlisted` takes."""
        things = self._things(image, read)
        rows = zip(read, texts, things, strict=True)
        asked = [each or self._ungrouped(t, th) for each, t, th in rows]
        self._encode_all(asked, things)
        changes = zip(image, asked, things, trust, strict=True)
        return np.stack([self._change(v, each, th, sure) for v, each, th, sure in changes])

    def _ungrouped(self, text: str, things: Sequence[str]) -> tuple[Exchange, ...]:
        """A text of no phrase is added to what the picture shows, in the place of nothing."""
        return () if self.nearness else (Exchange(text, tuple(things), text, ("",)),)

    def _things(self, image: FloatArray, read: Sequence[Sequence[Exchange]]) -> list[list[str]]:
        """Of each picture, the things that fit it best; none where they are not asked for."""
        if not self.context and (self.nearness or all(read)):
            return [[] for _ in read]
        return nearest_things(image, self.vectors, int(self.things))

    def _encode_all(
        self, asked: Sequence[Sequence[Exchange]], things: Sequence[Sequence[str]]
    ) -> None:
        """Encode in one call whatever the exchanges of a batch need."""
        needed: list[str] = []
        for each, thing in zip(asked, things, strict=True):
            for one in each:
                needed += [one.text, *self._phrases(one), *self._sentences(one, thing)]
        if needed:
            self.vectors(needed)

    def _phrases(self, one: Exchange) -> list[str]:
        """What is wanted, then what may be shown; none where they do not count."""
        return [one.wanted, *one.shown] if self.context < 1.0 else []

    def _sentences(self, one: Exchange, things: Sequence[str]) -> list[str]:
        """The same in sentences about the thing that fits best."""
        if not self.context:
            return []
        return [f"{things[0]} {text}".strip() for text in (one.text, *one.texts)]

    def _change(
        self,
        v: FloatArray,
        asked: Sequence[Exchange],
        thing: Sequence[str],
        trust: Sequence[float],
    ) -> FloatArray:
        change = np.zeros_like(v)
        for one, sure in zip(asked, trust or [1.0] * len(asked), strict=True):
            alone = self._difference(v, self._phrases(one))
            within = self._difference(v, self._sentences(one, thing))
            both = np.float32(1.0 - self.context) * alone + np.float32(self.context) * within
            change += np.float32(sure) * both
        return change

    def _difference(self, v: FloatArray, texts: Sequence[str]) -> FloatArray:
        """The first text, less the others as much as each fits a picture; (D,)."""
        if not texts:
            return np.zeros_like(v)
        wanted, shown = np.split(self.vectors(texts), [1])
        fits = shares(shown @ v, self.temperature)
        return np.asarray(wanted[0] - fits @ shown, dtype=np.float32)

    def _wanted(self, text: FloatArray, read: Sequence[Sequence[Exchange]]) -> FloatArray:
        """What the texts ask for, without what they name as replaced; (n, D)."""
        pairs = zip(text, read, strict=True)
        rows = [self.vectors([each[0].text])[0] if each else t for t, each in pairs]
        shared = self.vectors(EVERYDAY).mean(axis=0) if self.centred else np.float32(0.0)
        return np.asarray(np.stack(rows) - np.float32(self.centred) * shared, dtype=np.float32)
