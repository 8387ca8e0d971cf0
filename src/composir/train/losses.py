r"""The losses of all recipes: contrast, distillation, late interaction, matching.

All take unit vectors, compute in float32 or wider and return scalars. Notation: `s_i` is what is
trained (a sentence's vector), `v_i` what it is to match (its picture's vector, without the
appearance part where there is one), `B` all that it is told apart from, `h_il` the projected state
of pseudo-word l of sentence i, `p_jp` the projected patch token p of picture j.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

# Of a logit that does not count: its share is zero in float32.
MASKED = -1e4


def info_nce(logits: Tensor, reduction: str = "mean") -> Tensor:
    r"""InfoNCE (arXiv 1807.03748): the positive of row i is column i.

    $$ L = -\frac1n \sum_i \log \frac{e^{l_{ii}}}{\sum_j e^{l_{ij}}} $$

    Args:
        logits: (n, m), m at least n.
        reduction: As of `cross_entropy`.
    """
    own = torch.arange(len(logits), device=logits.device)
    return functional.cross_entropy(logits, own, reduction=reduction)


def contrastive_loss(
    queries: Tensor, targets: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    """InfoNCE of each query with its own target, against all others.

    Args:
        queries: (n, D), `s`.
        targets: (m, D), `B`; row i < n is `v_i`, the rest e.g. a queue of earlier ones.
        temperature: τ of the cosines.
        valid: (n, m) bool, which targets count for each query: a second copy of its own is no
            negative. None: all.
    """
    return info_nce(_logits(queries, targets, temperature, valid))


def symmetric_contrast(
    sentences: Tensor, vectors: Tensor, temperature: float, negatives: Tensor | None = None
) -> Tensor:
    r"""InfoNCE both ways between sentences and pictures (Pic2Word, arXiv 2302.03084, equation 2).

    $$ L = -\frac{1}{2n} \sum_i \log
         \frac{e^{s_i \cdot v_i / \tau}}{\sum_j e^{s_i \cdot v_j / \tau} + \sum_m
         e^{s_i \cdot u_m / \tau}}
       + \log \frac{e^{s_i \cdot v_i / \tau}}{\sum_j e^{s_j \cdot v_i / \tau}} $$

    The further negatives $u_m$ are ours.

    Args:
        sentences: (n, D).
        vectors: (n, D); row i is the picture of sentence i.
        temperature: Of both softmaxes.
        negatives: (m, D) vectors of other pictures, for the first term alone.
    """
    logits = rows = _logits(sentences, vectors, temperature)
    if negatives is not None and len(negatives):
        rows = torch.cat([logits, _logits(sentences, negatives, temperature)], dim=1)
    return (info_nce(rows) + info_nce(logits.T)) / 2


def hard_negative_contrast(
    queries: Tensor, targets: Tensor, hard: Tensor, valid: Tensor, temperature: float
) -> Tensor:
    """InfoNCE of queries against the targets of all, and hard negatives of each query's own.

    Args:
        queries: (n, D).
        targets: (n, D); row i is the target of query i.
        hard: (n, h, D), hard negatives of each query.
        valid: (n, n + h), true where a column counts; the diagonal does.
        temperature: τ.
    """
    logits = torch.cat([queries @ targets.T, torch.einsum("bd,bhd->bh", queries, hard)], dim=1)
    return info_nce((logits / temperature).masked_fill(~valid, MASKED))


def distillation_loss(
    students: Tensor,
    teachers: Tensor,
    targets: Tensor,
    teacher_temperature: float,
    student_temperature: float,
    valid: Tensor | None = None,
) -> Tensor:
    r"""As the teacher ranks the targets, the student shall too.

    $$ L = \frac1n \sum_i \mathrm{KL}\bigl(
       \mathrm{softmax}_j(v_i^\top b_j / \tau_t) \,\|\,
       \mathrm{softmax}_j(s_i^\top b_j / \tau_s)\bigr) $$

    Against pictures it is one half of ISA's global contrastive distillation; against texts it is
    the soft text alignment of Map-to-Compose (arXiv 2504.17990; the form is ours), soft because
    captions of other pictures may fit too.

    Args:
        students: (n, D), `s`.
        teachers: (n, D), `v`; they get no gradient.
        targets: (m, D), `B`.
        teacher_temperature: τ_t.
        student_temperature: τ_s.
        valid: (n, m) bool, as in `contrastive_loss`.
    """
    with torch.no_grad():
        teacher = _logits(teachers, targets, teacher_temperature, valid)
    student = _logits(students, targets, student_temperature, valid)
    divergence = functional.kl_div(
        student.log_softmax(dim=1), teacher.log_softmax(dim=1), log_target=True, reduction="none"
    )
    return divergence.sum(1).mean()


def late_interaction(states: Tensor, patches: Tensor) -> Tensor:
    r"""Every pseudo-word looks for its best patch.

    $$ \mathrm{score}(i, j) = \frac1L \sum_l \max_p h_{il}^\top p_{jp} $$

    Args:
        states: (n, L, d).
        patches: (m, N, d).

    Returns:
        (n, m).
    """
    similarity = torch.einsum("ild,jpd->ijlp", states.float(), patches.float())
    return similarity.amax(dim=3).mean(dim=2)


def alignment_loss(states: Tensor, patches: Tensor, temperature: float, group: int = 0) -> Tensor:
    r"""InfoNCE of late interactions: ISA's local alignment without a matching encoder.

    Args:
        states: (n, L, d), `h`.
        patches: (n, N, d), `p`.
        temperature: τ.
        group: Contrast within consecutive groups of this many rows, which costs a fraction of the
            whole batch; 0 for the whole batch.
    """
    size = group or len(states)
    total = states.new_zeros((), dtype=torch.float32)
    for at in range(0, len(states), size):
        scores = late_interaction(states[at : at + size], patches[at : at + size])
        total = total + info_nce(scores / temperature, reduction="sum")
    return total / len(states)


class Matcher(Protocol):
    """Whether a sentence and a picture belong together, as BLIP-like foundations can say."""

    def __call__(self, tokens: Tensor, patches: Tensor) -> Tensor:
        """Match a sentence with a picture, row by row.

        Args:
            tokens: (n, L, Dw), pseudo-words of the sentences.
            patches: (n, N, Dp), patch tokens of the pictures.

        Returns:
            (n,) logits, higher for a match; differentiable in `tokens`.
        """


def matching_loss(
    matcher: Matcher,
    tokens: Tensor,
    patches: Tensor,
    vectors: Tensor,
    temperature: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Match or not, with hard negatives: ISA's local alignment with a matching encoder `m`.

    $$ L = \frac{1}{3n} \sum_i \bigl[ \mathrm{sp}(-m(S_i, P_i))
       + \mathrm{sp}(m(S_i, P_{a(i)})) + \mathrm{sp}(m(S_{b(i)}, P_i)) \bigr],
       \quad \mathrm{sp}(x) = \log(1 + e^x) $$

    The negatives `a(i), b(i) ≠ i` are drawn with probability `softmax_j(<v_i, v_j> / τ)`: pictures
    that the gallery finds alike are the hard ones.

    Args:
        matcher: `m`, frozen.
        tokens: (n, L, Dw), the sentences `S`; n at least 2.
        patches: (n, N, Dp), `P`.
        vectors: (n, D), `v`.
        temperature: τ of the draw.
        generator: Of the draw.
    """
    likeness = _logits(vectors, vectors, temperature)
    likeness.fill_diagonal_(float("-inf"))
    pictures, sentences = (
        torch.multinomial(likeness.softmax(dim=1), 1, generator=generator).squeeze(1)
        for _ in range(2)
    )
    match = functional.softplus(-matcher(tokens, patches).float())
    wrong_picture = functional.softplus(matcher(tokens, patches[pictures]).float())
    wrong_sentence = functional.softplus(matcher(tokens[sentences], patches).float())
    return (match + wrong_picture + wrong_sentence).mean() / 3


def overlap(maps: Tensor) -> Tensor:
    r"""How much the maps of a picture's tokens look at the same places.

    $$ O = \frac{1}{n L (L - 1)} \sum_i \sum_{l \ne m} \cos(A_{il}, A_{im}) $$

    Args:
        maps: (n, L, positions), `A`, none negative.

    Returns:
        From 0, no place is shared, to 1; 0 for a single token.
    """
    return _between_tokens(functional.normalize(maps, dim=-1))


def slot_cosine(tokens: Tensor) -> Tensor:
    r"""How much a picture's tokens say the same of it: 1 where one would do.

    The mean cosine of two tokens of a picture, each less what it is on average over the pictures: a
    word that is always there says nothing of a picture.

    Args:
        tokens: (n, L, Dw), n at least 2.
    """
    return _between_tokens(functional.normalize(tokens - tokens.mean(dim=0), dim=-1))


def relative_entropy(maps: Tensor) -> Tensor:
    """Mean entropy of attention, of the largest possible: 1 where it looks everywhere alike.

    Args:
        maps: (..., positions), each sums to 1; two positions at least.
    """
    entropy = -torch.xlogy(maps, maps).sum(dim=-1) / math.log(maps.shape[-1])
    return entropy.mean()


def _between_tokens(rows: Tensor) -> Tensor:
    """Mean product of two different rows of a picture; (n, L, d) to a scalar."""
    count = rows.shape[1]
    if count < 2:
        return rows.new_zeros(())
    products = rows @ rows.transpose(1, 2)
    own = products.diagonal(dim1=1, dim2=2).sum(1)
    return ((products.sum((1, 2)) - own) / (count * (count - 1))).mean()


def cosine_loss(queries: Tensor, targets: Tensor) -> Tensor:
    r"""`1 - cosine` of each query to its own target, on average; both (n, D)."""
    return (1.0 - (_at_least_single(queries) * targets).sum(dim=1)).mean()


def _logits(left: Tensor, right: Tensor, temperature: float, valid: Tensor | None = None) -> Tensor:
    """Cosines over the temperature, (n, m); those that do not count are `MASKED`."""
    logits = _at_least_single(left) @ _at_least_single(right).T / temperature
    return logits if valid is None else logits.masked_fill(~valid, MASKED)


def _at_least_single(vectors: Tensor) -> Tensor:
    return vectors if vectors.dtype == torch.float64 else vectors.float()
