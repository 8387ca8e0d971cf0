"""What the loop trains for ISA: token learner, light vector, LAR's projections, light blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from composir.errors import TrainingError
from composir.train.blend import BlendSettings, blended
from composir.train.frozen import FrozenFoundation
from composir.train.gradient_cache import Encodings, backward_in_chunks
from composir.train.isa.batches import Batch, Batches
from composir.train.isa.dev_figures import own_picture_figures, slot_figures, steering_figures
from composir.train.isa.light_encoder import LightEncoder
from composir.train.isa.light_vector import LightVector, light_vector_loss
from composir.train.isa.objective import GcdConfig, LarConfig, ObjectiveConfig
from composir.train.isa.picture_bank import PictureBank, RowNumbers
from composir.train.isa.token_learner import TokenLearner
from composir.train.loop import ParameterGroup, mixed_precision
from composir.train.losses import (
    Matcher,
    alignment_loss,
    contrastive_loss,
    distillation_loss,
    matching_loss,
    overlap,
    slot_cosine,
)
from composir.train.sentences import encode_sentences
from composir.train.steering import Phrases, PhraseSteering, steering_loss
from composir.train.workers import Workers, own_slice

EVALUATION_BATCH = 128
PHRASES_A_PICTURE = 2


class IsaTask(nn.Module):
    """Pictures to sentences, sentences to the gallery's vectors (`train.loop.TrainingTask`).

    Attributes:
        encoder: The light side's network; only its trained blocks have gradients.
        learner: The token learner.
        light_vector: Estimates v on the light side; None where it does not.
        projections: Of states and patches, for LAR alone; training-only.
    """

    def __init__(
        self,
        foundation: FrozenFoundation,
        encoder: LightEncoder,
        learner: TokenLearner,
        bank: PictureBank,
        objective: ObjectiveConfig,
        phrases: Phrases,
        blend: BlendSettings,
        seed: int,
        *,
        workers: Workers | None = None,
        precision: str = "auto",
        dev_images: int = 400,
        light_vector: LightVector | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        """Prepare; frozen parts are frozen here."""
        super().__init__()
        if len(bank.train) < objective.batch:
            raise TrainingError(
                f"{len(bank.train)} training images are fewer than a batch of {objective.batch}: "
                "bring more, or lower it (--set objective.batch=32)"
            )
        self.workers = workers or Workers(foundation.device)
        self._foundation, self._bank, self._matcher = foundation, bank, matcher
        self._objective, self._blend, self._precision = objective, blend, precision
        self._dev = bank.dev[:dev_images]
        vectors = foundation.encode_texts(phrases.texts)
        self._steering = PhraseSteering(phrases, vectors, objective.steering)
        self.batches = Batches(
            bank, objective, self._steering, learner.config, seed, foundation.text_aligned
        )
        self.encoder, self.learner, self.light_vector = encoder, learner, light_vector
        self.projections = _projections(foundation, bank, objective.lar, matcher)
        self.requires_grad_(requires_grad=False).to(foundation.device).eval()
        for group in self.groups():
            for parameter in group.parameters:
                parameter.requires_grad = True

    def groups(self) -> Sequence[ParameterGroup]:
        """What is new; what is pretrained: trained blocks of the encoder, an inherited head."""
        new = [*self.learner.parameters(), *self.projections.parameters()]
        pretrained = list(self.encoder.trained())
        if self.light_vector is not None:
            new += self.light_vector.new_parameters()
            pretrained += self.light_vector.inherited_parameters()
        groups = [ParameterGroup(tuple(new), self._objective.rate)]
        if pretrained and self._objective.encoder_rate:
            groups.append(ParameterGroup(tuple(pretrained), self._objective.encoder_rate))
        return groups

    def loss(self, step: int) -> Tensor:
        """Loss of a whole batch at once."""
        self._learn()
        batch = self.batches.draw(step)
        return self._contrast(batch, *self._encode(batch, range(len(batch.rows))))

    def backward(self, step: int) -> Tensor:
        """Gradients of the same loss, in chunks and shared by the processes."""
        if self.workers.count == 1 and not self._objective.chunk:
            loss = self.loss(step)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()
        self._learn()
        batch = self.batches.draw(step)
        own = range(len(batch.rows))[own_slice(len(batch.rows), self.workers)]
        size = self._objective.chunk or len(own)
        chunks = [own[at : at + size] for at in range(0, len(own), size)]
        loss = backward_in_chunks(
            lambda chunk: self._encode(batch, chunk),
            chunks,
            lambda *encodings: self._contrast(batch, *encodings),
            self.workers,
        )
        self.workers.sum_gradients(p for group in self.groups() for p in group.parameters)
        return loss

    def state(self) -> dict[str, Any]:
        """Running statistics of normalisation, where there are any."""
        return dict(self.learner.named_buffers())

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        for name, buffer in self.learner.named_buffers():
            buffer.copy_(state[name])

    def evaluate(self) -> dict[str, float]:
        """Figures on the dev pictures (`dev_figures`); none where there are fewer than three."""
        if len(self._dev) < 3:
            return {}
        self.eval()
        with torch.no_grad():
            return self._figures()

    def seen(self, rows: Sequence[int], views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """What the light side sees of pictures (`LightEncoder.upper`): (n, C, h, w) and (n, k)."""
        features = torch.from_numpy(self._bank.features(rows, views)).to(self._foundation.device)
        return self.encoder.upper(features)

    def tokens(self, rows: Sequence[int], views: Sequence[int]) -> Tensor:
        """Pseudo-words of pictures, (n, L, Dw)."""
        tokens: Tensor = self.learner(self.seen(rows, views)[0])[0]
        return tokens

    def _learn(self) -> None:
        """Training mode for what has dropout."""
        self.learner.train()
        if self.light_vector is not None:
            self.light_vector.train()

    def _encode(self, batch: Batch, places: Sequence[int]) -> Encodings:
        """What the contrast needs of some rows.

        That is s, the tokens and their maps, then the light vector, LAR's parts, then q.
        """
        chosen, objective = batch.at(places), self._objective
        with mixed_precision(self._foundation.device, self._precision):
            features, statistics = self.seen(chosen.rows, chosen.views)
            every, maps = self.learner(features)
            tokens = every[:, batch.kept]
            own = encode_sentences(
                self._foundation, self._foundation.text, objective.image_template, tokens
            )
            parts = [own.vectors, every, maps.flatten(2)]
            if self.light_vector is not None:
                parts.append(self.light_vector(features, statistics))
            if objective.lar.weight:
                first = int(own.start[0])
                states = own.states[:, first : first + tokens.shape[1]]
                parts += self._local(chosen, tokens, states)
            if objective.steering.phrase_weight:
                parts.append(self._composed(chosen, tokens, own.vectors))
        return tuple(part.float() for part in parts)

    def _local(self, chosen: Batch, tokens: Tensor, states: Tensor) -> list[Tensor]:
        rows = torch.from_numpy(self._bank.patches(chosen.rows, chosen.views))
        patches = rows.to(self._foundation.device).float()
        if self._matcher is not None:
            return [tokens, patches]
        projected = (self.projections["states"](states), self.projections["patches"](patches))
        return [functional.normalize(part, dim=-1) for part in projected]

    def _composed(self, chosen: Batch, tokens: Tensor, vectors: Tensor) -> Tensor:
        """Sentences with a phrase, of the rows that have one; (m, D)."""
        rows = self._steering.rows_with_phrase(chosen.phrases)
        if not rows:
            return vectors[:0]
        texts = [self._steering.texts[chosen.phrases[row]] for row in rows]
        template = self._objective.composed_template
        foundation = self._foundation
        return encode_sentences(foundation, foundation.text, template, tokens[rows], texts).vectors

    def _contrast(
        self, batch: Batch, sentences: Tensor, tokens: Tensor, maps: Tensor, *parts: Tensor
    ) -> Tensor:
        objective, rest = self._objective, list(parts)
        loss = gcd_loss(sentences, batch, objective.gcd)
        if objective.overlap_weight:
            loss = loss + objective.overlap_weight * overlap(maps)
        if objective.likeness_weight:
            loss = loss + objective.likeness_weight * slot_cosine(tokens).square()
        if self.light_vector is not None:
            config, estimates = self.light_vector.config, rest.pop(0)
            estimated = light_vector_loss(estimates, batch.teachers, config, batch.valid)
            loss = loss + config.weight * estimated
        if objective.lar.weight:
            left, right = rest.pop(0), rest.pop(0)
            loss = loss + objective.lar.weight * self._alignment(batch, left, right)
        if objective.steering.phrase_weight:
            steered = steering_loss(rest.pop(0), batch.goals, objective.steering.temperature)
            loss = loss + objective.steering.phrase_weight * steered
        return loss

    def _alignment(self, batch: Batch, left: Tensor, right: Tensor) -> Tensor:
        lar = self._objective.lar
        if self._matcher is None:
            return alignment_loss(left, right, lar.temperature, lar.group)
        draw = torch.Generator(device=left.device).manual_seed(batch.step)
        own = batch.targets[: len(left)]
        return matching_loss(self._matcher, left, right, own, lar.temperature, draw)

    def _figures(self) -> dict[str, float]:
        device = self._foundation.device
        vectors = torch.from_numpy(self._bank.views[0].vectors(self._dev)).to(device)
        seen = [self.seen(rows, [0] * len(rows)) for rows in _parts(self._dev)]
        read, statistics = (torch.cat(some) for some in zip(*seen, strict=True))
        tokens, maps = self.learner(read)
        sentences = self._sentences(self._objective.image_template, tokens)
        own_pictures = self._foundation.text_aligned(vectors)
        figures = own_picture_figures(sentences, own_pictures)
        if tokens.shape[1] > 1:
            alike = tokens.mean(dim=1, keepdim=True).expand_as(tokens)
            averaged = self._sentences(self._objective.image_template, alike)
            figures |= slot_figures(tokens, maps.flatten(2), sentences, averaged, own_pictures)
        if self.light_vector is not None:
            cosines = (self.light_vector(read, statistics) * vectors).sum(dim=1)
            figures["light_vector/cosine"] = float(cosines.mean())
        reference = torch.arange(len(vectors), device=device).repeat(PHRASES_A_PICTURE)
        phrases = self._steering.texts
        asked = (torch.arange(len(reference), device=device) * 7) % len(phrases)
        texts = [phrases[phrase] for phrase in asked.tolist()]
        composed = self._sentences(self._objective.composed_template, tokens[reference], texts)
        own, v, t = sentences[reference], vectors[reference], self._steering.vectors[asked]
        queries = {
            "sentence": composed,
            "blend": blended(self._blend, composed, own, v, t),
            "sum": functional.normalize(v + t, dim=-1),
        }
        for name, query in queries.items():
            figures |= steering_figures(name, query, reference, t, vectors)
        return figures

    def _sentences(
        self, template: str, tokens: Tensor, texts: Sequence[str] | None = None
    ) -> Tensor:
        foundation, parts = self._foundation, []
        for at in range(0, len(tokens), EVALUATION_BATCH):
            some = slice(at, at + EVALUATION_BATCH)
            words = None if texts is None else texts[some]
            encoded = encode_sentences(foundation, foundation.text, template, tokens[some], words)
            parts.append(encoded.vectors)
        return torch.cat(parts)


def gcd_loss(sentences: Tensor, batch: Batch, gcd: GcdConfig) -> Tensor:
    """Both terms of global contrastive distillation, weighted; a term of weight 0 costs nothing."""
    loss = sentences.new_zeros(())
    if gcd.contrastive_weight:
        contrast = contrastive_loss(sentences, batch.targets, gcd.temperature, batch.valid)
        loss = loss + gcd.contrastive_weight * contrast
    if gcd.distillation_weight:
        taught = distillation_loss(
            sentences,
            batch.targets[: len(sentences)],
            batch.targets,
            gcd.teacher_temperature,
            gcd.student_temperature,
            batch.valid,
        )
        loss = loss + gcd.distillation_weight * taught
    return loss


def _projections(
    foundation: FrozenFoundation,
    bank: PictureBank,
    lar: LarConfig,
    matcher: Matcher | None,
) -> nn.ModuleDict:
    """Of token states and patch tokens, where late interaction is trained."""
    if not lar.weight or matcher is not None:
        return nn.ModuleDict()
    patches = bank.views[0].gallery.patch_tokens
    return nn.ModuleDict(
        {
            "states": nn.Linear(foundation.state_width, lar.width),
            "patches": nn.Linear(patches.shape[2], lar.width),
        }
    )


def _parts(rows: RowNumbers) -> list[list[int]]:
    numbers = [int(row) for row in rows]
    return [numbers[at : at + EVALUATION_BATCH] for at in range(0, len(numbers), EVALUATION_BATCH)]
