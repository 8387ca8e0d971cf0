"""What a step of ISA computes: every weight, temperature and size, as settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from composir.errors import TrainingError
from composir.train.steering.targets import SteeringConfig


@dataclass(frozen=True, slots=True)
class GcdConfig:
    """Global contrastive distillation; a weight of 0 switches a term off.

    Attributes:
        contrastive_weight: Of InfoNCE.
        temperature: Of InfoNCE, τ.
        distillation_weight: Of the Kullback-Leibler term.
        teacher_temperature: τ_teacher.
        student_temperature: τ_student.
        queue: Teacher vectors of earlier steps that both terms also see; 0 for the batch alone.
    """

    contrastive_weight: float = 1.0
    temperature: float = 0.05
    distillation_weight: float = 1.0
    teacher_temperature: float = 0.05
    student_temperature: float = 0.05
    queue: int = 1024


@dataclass(frozen=True, slots=True)
class LarConfig:
    """Local alignment regularisation.

    Attributes:
        weight: λ; 0 switches it off.
        form: `matching` takes the foundation's matching encoder where it has one; `interaction`,
            and where it has none, late interaction of pseudo-words and patches is contrasted.
        temperature: Of its InfoNCE, or of the draw of hard negatives in the matching form.
        width: Of the training-only projections.
        group: Rows contrasted with each other; 0 for the whole batch, which costs more.
    """

    weight: float = 0.2
    form: Literal["matching", "interaction"] = "matching"
    temperature: float = 0.05
    width: int = 128
    group: int = 64


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """What a step computes.

    Attributes:
        batch: Pictures.
        chunk: Pictures encoded at a time; the contrast is the whole batch's all the same. 0: all.
        rate: Peak learning rate of the token learner.
        encoder_rate: Of trained blocks of the light encoder, and of a head inherited from the
            gallery; 0 leaves both as they are.
        gcd: Global contrastive distillation.
        lar: Local alignment regularisation.
        steering: What keeps sentences steerable.
        token_dropout: Chance that a step sees only some of the tokens, so that none relies on the
            others.
        image_template: Sentence of a picture alone.
        composed_template: Sentence with a phrase.
    """

    batch: int = 256
    chunk: int = 0
    rate: float = 1e-3
    encoder_rate: float = 1e-4
    gcd: GcdConfig = field(default_factory=GcdConfig)
    lar: LarConfig = field(default_factory=LarConfig)
    steering: SteeringConfig = field(default_factory=SteeringConfig)
    token_dropout: float = 0.0
    image_template: str = "a photo of {}"
    composed_template: str = "a photo of {} that {text}"

    def __post_init__(self) -> None:
        """Refuse what cannot be computed.

        Raises:
            TrainingError: If a number is out of range, or every weight is 0.
        """
        gcd, lar = self.gcd, self.lar
        if self.batch < 2 or min(self.chunk, gcd.queue, lar.group) < 0:
            raise TrainingError("objective: batch at least 2; chunk, queue and group at least 0")
        if min(gcd.temperature, gcd.teacher_temperature, gcd.student_temperature) <= 0:
            raise TrainingError("objective.gcd: temperatures must be above 0")
        if lar.temperature <= 0 or lar.width < 1:
            raise TrainingError("objective.lar: temperature must be above 0, width at least 1")
        if not 0 <= self.token_dropout <= 1:
            raise TrainingError("objective: 0 <= token_dropout <= 1")
        weights = (gcd.contrastive_weight, gcd.distillation_weight, lar.weight)
        if min(weights) < 0 or not any(weights):
            raise TrainingError("objective: weights must be at least 0, and not all be 0")
