"""Trained composers: pseudo-words of the reference among the words of a sentence.

References become pseudo-words (`query_side`), pseudo-words and the modification become sentences
(`template`), the text encoder reads them, and their vectors are blended (`blend`). What kinds there
are is said in `trained`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from composir.compose.base import ComposedQueries, QueryBatch, Traits
from composir.compose.blend import BlendWeights, Terms, blend
from composir.compose.changes import Changes, PhraseSpace, PictureMoves
from composir.compose.description import described_if_any
from composir.compose.readings import Readings
from composir.compose.retrieved import PhraseVectors
from composir.compose.spread import evening_by
from composir.compose.template import filled, without_reference
from composir.compose.token_graph import LightTokens, TokenGraph, checked_words
from composir.compose.trained import ComposerFolder, QueryCosts
from composir.compose.unwanted import unwanted_directions
from composir.errors import QueryError
from composir.model.base import SentenceBatch, SplicingEncoder, SplicingModel
from composir.model.once import Once
from composir.types import FloatArray

_FLOAT16 = 2


@dataclass(frozen=True, slots=True)
class SplicedComposer:
    """A trained composer of any kind.

    Attributes:
        folder: Its manifest and files.
        model: The model it was trained for.
        weights: Of the blend.
        query_side: Makes pseudo-words of references.
        composed_texts: Gives the encoder of composed sentences: the model's, or an adapted one.
        plain_texts: Gives the encoder of the other sentences of a query with a reference: the
            model's, or the same graph with its adapters off.
        changes: Gives what the words change of the reference's vector.
        called: What results call it; empty for the manifest's own name.
    """

    folder: ComposerFolder
    model: SplicingModel
    weights: BlendWeights
    query_side: TokenGraph
    composed_texts: Callable[[], SplicingEncoder]
    plain_texts: Callable[[], SplicingEncoder]
    changes: Callable[[], Changes]
    called: str = ""

    @property
    def name(self) -> str:
        """As the manifest says, e.g. `isa`, or with its run, e.g. `shop/isa`: see `called`."""
        return self.called or self.folder.manifest.name

    @property
    def settings(self) -> dict[str, float | int | str]:
        """Weights of the blend."""
        return dict(self.weights.model_dump())

    @property
    def fingerprint(self) -> str:
        """Identifies its graphs, templates and model, whatever the weights of the blend."""
        return self.folder.fingerprint

    @property
    def traits(self) -> Traits:
        """Of the folder and the weights of the blend."""
        return Traits(
            needs_vectors=self.needs_vectors,
            star=True,
            costs=self.efficiency,
            travel_bytes=self.travel_bytes,
            folder=self.folder,
            preparations=self.preparations,
            unread=self.unread,
        )

    @property
    def needs_vectors(self) -> bool:
        """Whether the gallery's encoder has to see the reference too."""
        made = self.folder.manifest
        return made.input != "pixels" or (self.weights.needs_image and not made.vector)

    @property
    def efficiency(self) -> QueryCosts:
        """What a reference costs: the query graph, and the gallery's encoder where it is needed."""
        own = self.folder.manifest.efficiency
        if not self.needs_vectors:
            return own
        stated = self.model.costs
        return QueryCosts(
            **{
                name: None if value is None or name not in stated else value + round(stated[name])
                for name, value in own.model_dump().items()
            }
        )

    @property
    def travel_bytes(self) -> int | None:
        """Bytes in float16 of what a light query side makes: pseudo-words, and a vector if any.

        None where the gallery's encoder is on the query side: the query's vector travels then.
        """
        made = self.folder.manifest
        numbers = made.tokens * made.word_dimension + made.vector * self.model.dimension
        return None if self.needs_vectors else _FLOAT16 * numbers

    def with_settings(self, **settings: float | int | str) -> SplicedComposer:
        """The same composer with some weights of the blend replaced."""
        return replace(self, weights=self.weights.changed(settings))

    def preparations(self, *, image: bool, words: bool) -> tuple[Callable[[], None], ...]:
        """What opens the graphs that a query needs for sure, in parts that can run side by side."""
        if not image:
            return (self.model.texts.prepare,) if words else ()
        weights = self.weights
        if not words:
            # The reference alone is its vector where that is blended, else its own sentence.
            own_vector = weights.needs_image and not self.folder.manifest.vector
            return () if own_vector else (self.query_side.prepare,)
        opened: list[Callable[[], None]] = []
        if weights.sentence + weights.direction > 0:
            opened += [self.query_side.prepare, lambda: self.composed_texts().prepare()]
        if weights.direction + weights.text + weights.description > 0:
            opened.append(lambda: self.plain_texts().prepare())
        if weights.exchange + weights.learned > 0:
            opened.append(self.model.texts.prepare)
        return tuple(opened)

    def unread(self, text: str) -> str:
        """The words by which a reference's sentence with a text is cut, if it is too long."""
        sentence = filled(self.folder.manifest.templates.composed, text)
        return self.model.texts.unread(sentence, self.folder.manifest.tokens)

    def tokens(self, batch: QueryBatch) -> LightTokens:
        """Pseudo-words of the references, and where each of them looked."""
        return self.query_side.tokens(batch)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose sentences and blend them; words alone and references alone work too."""
        return self.compose_terms(self.terms(batch), batch)

    def compose_tokens(self, words: FloatArray, batch: QueryBatch) -> ComposedQueries:
        """Compose from pseudo-words that a device has made.

        Args:
            words: (n, L, Dw) float32.
            batch: The texts and negatives; vectors of the references, the gallery's or the
                device's, only where they are blended.
        """
        checked = checked_words(self.folder, words)
        if len(checked) != len(batch):
            raise QueryError(f"{len(checked)} rows of pseudo-words for {len(batch)} queries")
        made = LightTokens(checked, vectors=batch.image_vectors)
        return self.compose_terms(self._terms(batch, lambda: made), batch)

    def terms(self, batch: QueryBatch) -> Terms:
        """What the blend is made of, computed where it is asked for."""
        if batch.image_vectors is None and batch.images is None:
            texts = [without_reference(text) for text in batch.texts]
            return Terms(text=(lambda: self.model.encode_texts(texts)) if any(texts) else None)
        return self._terms(batch, lambda: self.tokens(batch))

    def compose_terms(self, terms: Terms, batch: QueryBatch) -> ComposedQueries:
        """Blend the terms of a batch; what is unwanted goes along."""
        vectors = blend(self.weights, terms)
        wanted = [without_reference(text) for text in batch.texts]
        weight = self.weights.negative_weight
        unwanted = unwanted_directions(batch.negatives, wanted, self.model, weight)
        return ComposedQueries(vectors[:, None], unwanted=unwanted)

    def _terms(self, batch: QueryBatch, tokens: Callable[[], LightTokens]) -> Terms:
        once, asked = cache(tokens), any(batch.texts)
        described = described_if_any(batch.texts)
        read = self._readings(batch, lambda: once().words, described is not None)
        light = self.folder.manifest.vector
        image = cache(lambda: self._vectors(once().vectors if light else batch.image_vectors))
        changes = cache(lambda: self.changes()(image(), batch.texts))
        return Terms(
            composed=partial(read, "composed") if asked else None,
            sentence=partial(read, "sentence"),
            image=image,
            text=partial(read, "text") if asked else None,
            exchange=lambda: changes()[0],
            learned=lambda: changes()[1],
            described=described,
            evening=evening_by(self.model.spread) if self.weights.evened else None,
        )

    def _readings(
        self, batch: QueryBatch, words: Callable[[], FloatArray], described: bool
    ) -> Readings:
        own, count = self.folder.manifest.templates, len(batch)
        composed = [filled(own.composed, text) for text in batch.texts]
        texts = [without_reference(text) for text in batch.texts]
        return Readings(
            self._read,
            {
                "composed": lambda: SentenceBatch(composed, list(words()), adapted=True),
                "sentence": lambda: SentenceBatch(
                    [own.image] * count, list(words()), adapted=False
                ),
                "text": lambda: SentenceBatch(texts, None, adapted=False),
            },
            self.weights.sentences(described=described) if any(batch.texts) else (),
        )

    def _read(self, batches: Sequence[SentenceBatch]) -> list[FloatArray]:
        if self.folder.manifest.switchable:
            return self.composed_texts().encode_batches(batches)
        return [self._read_alone(batch) for batch in batches]

    def _read_alone(self, batch: SentenceBatch) -> FloatArray:
        if batch.pseudo_words is None:
            # The model may remember vectors of texts (`bench.memo`).
            return self.model.encode_texts(batch.templates)
        encoder = self.composed_texts() if batch.adapted else self.plain_texts()
        return encoder.encode_spliced(batch.templates, batch.pseudo_words)[0]

    def _vectors(self, vectors: FloatArray | None) -> FloatArray:
        if vectors is None:
            raise QueryError(
                f"the composer {self.name} blends in the reference's own vector (image="
                f"{self.weights.image}), which is missing: send it too, or set image, exchange and "
                "learned to 0"
            )
        return np.asarray(vectors, dtype=np.float32)


def open_spliced(folder: ComposerFolder, model: SplicingModel) -> SplicedComposer:
    """Open a trained composer for its model; graphs are read at first use."""
    graph, weights = folder.manifest.text_graph, folder.manifest.settings
    side = TokenGraph(folder, model)

    def own() -> SplicingEncoder:
        return model.texts

    changing = Once(lambda: changes_of(folder, model))
    if graph is None:
        return SplicedComposer(folder, model, weights, side, own, own, changing)
    adapted = Once(lambda: model.with_text_graph(folder.file(graph)))
    # Once too, so that who prepares and who asks share what is opened.
    plain = Once(lambda: adapted().without_adapters())
    switched = plain if folder.manifest.switchable else own
    return SplicedComposer(folder, model, weights, side, adapted, switched, changing)


def changes_of(folder: ComposerFolder, model: SplicingModel) -> Changes:
    """What a trained composer knows of changes: phrases of its model, and moves if it has any."""
    name, space, learned = folder.manifest.moves, PhraseSpace.of(model), None
    if name:
        learned = PictureMoves.load(folder.file(name), model.dimension, space.sharpness)
    return Changes(PhraseVectors(model), learned, space)
