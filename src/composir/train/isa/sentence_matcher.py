"""The first form of LAR: a bundle's own matching encoder reads sentences with pseudo-words."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from composir.foundation.matching import MatchingEncoder, load_matching_encoder
from composir.foundation.text_tower import TextTower
from composir.train.frozen import FrozenFoundation
from composir.train.isa.objective import ObjectiveConfig
from composir.train.sentences import spliced_words


@dataclass(frozen=True, slots=True)
class SentenceMatcher:
    """Pseudo-words, in the sentence of a picture alone, and patch tokens to logits of matching.

    Attributes:
        foundation: Tokeniser and word embeddings.
        encoder: The foundation's, frozen.
        template: The sentence, with one `{}` for the pseudo-words.
    """

    foundation: FrozenFoundation
    encoder: MatchingEncoder
    template: str

    def __call__(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """(n, L, Dw) and (n, N, Dp) to (n,)."""
        words, mask = spliced_words(self.foundation, self.template, tokens)
        logits: Tensor = self.encoder(words, mask, patches)
        return logits


def load_matcher(
    foundation: FrozenFoundation, objective: ObjectiveConfig
) -> SentenceMatcher | None:
    """The matcher of a bundle; None where it has none, or the objective takes the other form."""
    bundle, lar = foundation.model.bundle, objective.lar
    name = bundle.manifest.text.matching
    if name is None or not lar.weight or lar.form != "matching":
        return None
    assert isinstance(foundation.text, TextTower)  # a bundle with one brings the other
    encoder = load_matching_encoder(bundle.file(name), foundation.text)
    encoder.to(foundation.device).requires_grad_(requires_grad=False)
    return SentenceMatcher(foundation, encoder, objective.image_template)
