"""What a step of ISA computes: every weight, temperature and size, as settings."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator
from torch import Tensor

from composir.foundation.text_tower import TextTower, load_matching_encoder
from composir.train.config import (
    Count,
    Pairs,
    Rate,
    Rows,
    Settings,
    Share,
    Temperature,
    Weight,
    Width,
)
from composir.train.frozen import FrozenFoundation
from composir.train.losses import Matcher
from composir.train.sentences import spliced_words
from composir.train.steering import SteeringConfig


class GcdConfig(Settings):
    """Global contrastive distillation; a weight of 0 switches a term off.

    Attributes:
        contrastive_weight: Of InfoNCE.
        temperature: Of InfoNCE, τ.
        distillation_weight: Of the Kullback-Leibler term.
        teacher_temperature: τ_teacher.
        student_temperature: τ_student.
        queue: Teacher vectors of earlier steps that both terms also see; 0 for the batch alone.
    """

    contrastive_weight: Weight = 1.0
    temperature: Temperature = 0.05
    distillation_weight: Weight = 1.0
    teacher_temperature: Temperature = 0.05
    student_temperature: Temperature = 0.05
    queue: Count = 1024


class LarConfig(Settings):
    """Local alignment regularisation.

    Attributes:
        weight: λ; 0 switches it off.
        form: `matching` takes the foundation's matching encoder where it has one; `interaction`,
            and where it has none, late interaction of pseudo-words and patches is contrasted.
        temperature: Of its InfoNCE, or of the draw of hard negatives in the matching form.
        width: Of the training-only projections.
        group: Rows contrasted with each other; 0 for the whole batch, which costs more.
    """

    weight: Weight = 0.2
    form: Literal["matching", "interaction"] = "matching"
    temperature: Temperature = 0.05
    width: Width = 128
    group: Rows = 64


class ObjectiveConfig(Settings):
    """What a step computes.

    Attributes:
        batch: Pictures.
        chunk: Pictures encoded at a time; the contrast is the whole batch's all the same. 0: all.
        rate: Peak learning rate of the token learner.
        encoder_rate: Of trained blocks of the light encoder, and of a head inherited from the
            gallery; 0 leaves both as they are.
        gcd: Global contrastive distillation.
        lar: Local alignment regularisation.
        steering: Text faithfulness.
        overlap_weight: Of the penalty on tokens that look at the same places (`losses.overlap`).
        likeness_weight: Of the penalty on tokens that say the same (`losses.slot_cosine`).
        token_dropout: Chance that a step sees only some of the tokens, one at least, so that none
            relies on the others.
        image_template: Sentence of a picture alone.
        composed_template: Sentence with a phrase.
    """

    batch: Pairs = 256
    chunk: Rows = 0
    rate: Rate = 1e-3
    encoder_rate: Rate = 1e-4
    gcd: GcdConfig = GcdConfig()
    lar: LarConfig = LarConfig()
    steering: SteeringConfig = SteeringConfig()
    overlap_weight: Weight = 1.0
    likeness_weight: Weight = 5.0
    token_dropout: Share = 0.5
    image_template: str = "a photo of {}"
    composed_template: str = "a photo of {} that {text}"

    @model_validator(mode="after")
    def _weigh_something(self) -> Self:
        if not (self.gcd.contrastive_weight or self.gcd.distillation_weight or self.lar.weight):
            raise ValueError("the weights of gcd and lar must not all be 0")
        return self


def load_matcher(foundation: FrozenFoundation, objective: ObjectiveConfig) -> Matcher | None:
    """The first form of LAR: a bundle's own matching encoder reads sentences with pseudo-words.

    None where the bundle has none, or the objective takes the other form.
    """
    bundle, lar = foundation.model.bundle, objective.lar
    name = bundle.manifest.text.matching
    if name is None or not lar.weight or lar.form != "matching":
        return None
    assert isinstance(foundation.text, TextTower)  # a bundle with one brings the other
    encoder = load_matching_encoder(bundle.file(name), foundation.text)
    encoder.to(foundation.device).requires_grad_(requires_grad=False)

    def match(tokens: Tensor, patches: Tensor) -> Tensor:
        words, mask = spliced_words(foundation, objective.image_template, tokens)
        logits: Tensor = encoder(words, mask, patches)
        return logits

    return match
