"""The gallery's side: queries composed from a device's tokens alone.

The device never sends the picture nor its vector v. A blend with a share of v takes the light
side's own estimate of v, which travels with the tokens, or, of composers that make none, the
reference's own sentence s = T("a photo of {tokens}"), which lies in the same space and was trained
to be near v: the query of directions becomes `s + direction (q - s)`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Traits, Wrapper
from composir.compose.blend import BlendWeights
from composir.compose.sphere import normalised
from composir.compose.spliced import SplicedComposer
from composir.device.client.wire import QueryMessage
from composir.device.message import check_belongs
from composir.errors import DeviceMessageError, MessageMismatchError
from composir.types import FloatArray


def composed_from_message(message: QueryMessage, composer: SplicedComposer) -> ComposedQueries:
    """Compose the query of one message."""
    _check(message, composer)
    words = message.tokens[None]
    batch = QueryBatch(
        (message.text,),
        image_vectors=_reference(message, composer) if composer.weights.needs_image else None,
        negatives=(message.negatives,),
    )
    return composer.compose_tokens(words, batch)


def _check(message: QueryMessage, composer: SplicedComposer) -> None:
    check_belongs(message, composer.folder)
    width = composer.model.dimension
    if message.vector is not None and message.vector.shape != (width,):
        raise MessageMismatchError(
            f"the query message has a vector of {message.vector.size} numbers; those of the model "
            f"{composer.model.name} have {width}"
        )


def _reference(message: QueryMessage, composer: SplicedComposer) -> FloatArray:
    """What stands for v: the device's vector, or s; (1, D) float32, unit norm."""
    if message.vector is not None:
        return normalised(message.vector[None])
    words = message.tokens[None]
    alone = composer.with_settings(**BlendWeights().model_dump())  # the sentence, and nothing else
    return alone.compose_tokens(words, QueryBatch(("",) * len(words))).vectors[:, 0]


@dataclass(frozen=True, slots=True)
class MessageComposer(Wrapper[SplicedComposer]):
    """Plays a composer to a gallery: whatever the batch's picture, it is that of one message.

    Attributes:
        message: From a device.
    """

    message: QueryMessage

    @property
    def traits(self) -> Traits:
        """The composer's, less what opens graphs: which those are, the message decides."""
        return replace(self.composer.traits, preparations=None)

    def compose(self, batch: QueryBatch) -> ComposedQueries:
        """Compose the message's query, with the words and negatives as the gallery read them."""
        if len(batch) != 1:
            raise DeviceMessageError(f"one message cannot answer {len(batch)} queries")
        asked = replace(
            self.message,
            text=batch.texts[0],
            negatives=batch.negatives[0] if batch.negatives else (),
        )
        return composed_from_message(asked, self.composer)


def message_composer(message: QueryMessage, composer: Composer) -> MessageComposer:
    """Make the composer of a message's query, checked already."""
    if not isinstance(composer, SplicedComposer):
        raise DeviceMessageError(
            f"the composer {composer.name} takes no tokens; the message needs {message.composer}: "
            f"--composer {message.composer}, or the folder of that composer"
        )
    _check(message, composer)
    return MessageComposer(composer, message)
