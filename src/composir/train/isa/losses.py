r"""Losses of ISA: global contrastive distillation (GCD) and local alignment regularisation (LAR).

[paper, arXiv 2403.01431] names both and says what they are for; the equations are [ours], as
methods.md, section 1, gives them. All functions take unit vectors, compute in float32 and return
scalars.

Notation: `s_i` sentence vector of picture i, `v_i` the gallery encoder's vector of the same
picture (without its appearance part where it has one, `FrozenFoundation.meaning`), `B` the in-batch
`v` and after them the queue's, `h_il` the projected state of pseudo-word l of sentence i, `p_jp`
the projected patch token p of picture j.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

# Of a logit that does not count: its share is zero in float32.
MASKED = -1e4


def contrastive_loss(
    sentences: Tensor, targets: Tensor, temperature: float, valid: Tensor | None = None
) -> Tensor:
    r"""InfoNCE of each sentence with its own picture, against batch and queue.

    $$ L_c = -\frac1n \sum_i \log
       \frac{\exp(s_i^\top v_i / \tau)}{\sum_{b_j \in B} \exp(s_i^\top b_j / \tau)} $$

    Args:
        sentences: (n, D), `s`.
        targets: (n + q, D), `B`; row i < n is `v_i`.
        temperature: τ.
        valid: (n, n + q) bool, which of `B` count for each sentence; a queued copy of the
            sentence's own picture is no negative. None: all.
    """
    logits = _logits(sentences, targets, temperature, valid)
    return functional.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def distillation_loss(
    sentences: Tensor,
    targets: Tensor,
    teacher_temperature: float,
    student_temperature: float,
    valid: Tensor | None = None,
) -> Tensor:
    r"""How the teacher ranks batch and queue, the student shall too.

    $$ L_d = \frac1n \sum_i \mathrm{KL}\bigl(
       \mathrm{softmax}_j(v_i^\top b_j / \tau_t) \,\|\,
       \mathrm{softmax}_j(s_i^\top b_j / \tau_s)\bigr) $$

    The teacher's distribution takes no gradient; a picture's likeness to itself is in it.

    Args:
        sentences: (n, D), `s`.
        targets: (n + q, D), `B`; row i < n is `v_i`.
        teacher_temperature: τ_t.
        student_temperature: τ_s.
        valid: As in `contrastive_loss`.
    """
    with torch.no_grad():
        teacher = _logits(targets[: len(sentences)], targets, teacher_temperature, valid)
    student = _logits(sentences, targets, student_temperature, valid)
    divergence = functional.kl_div(
        student.log_softmax(dim=1), teacher.log_softmax(dim=1), log_target=True, reduction="none"
    )
    return divergence.sum(1).mean()


def late_interaction(states: Tensor, patches: Tensor) -> Tensor:
    r"""Every pseudo-word looks for its best patch.

    $$ \mathrm{score}(i, j) = \frac1L \sum_l \max_p h_{il}^\top p_{jp} $$

    Args:
        states: (n, L, d), unit norm.
        patches: (m, N, d), unit norm.

    Returns:
        (n, m).
    """
    states, patches = states.float(), patches.float()
    similarity = torch.einsum("ild,jpd->ijlp", states, patches)
    return similarity.amax(dim=3).mean(dim=2)


def alignment_loss(states: Tensor, patches: Tensor, temperature: float, group: int = 0) -> Tensor:
    r"""LAR where the foundation has no matching encoder: InfoNCE of late interactions.

    $$ L_{lar} = -\frac1n \sum_i \log
       \frac{\exp(\mathrm{score}(i, i) / \tau)}{\sum_j \exp(\mathrm{score}(i, j) / \tau)} $$

    Args:
        states: (n, L, d), `h`, unit norm.
        patches: (n, N, d), `p`, unit norm.
        temperature: τ.
        group: Contrast within consecutive groups of this many rows, which costs a fraction of the
            whole batch; 0 for the whole batch.
    """
    size = group or len(states)
    total = states.new_zeros((), dtype=torch.float32)
    for at in range(0, len(states), size):
        scores = late_interaction(states[at : at + size], patches[at : at + size]) / temperature
        own = torch.arange(len(scores), device=scores.device)
        total = total + functional.cross_entropy(scores, own, reduction="sum")
    return total / len(states)


class MatchingEncoder(Protocol):
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
    matcher: MatchingEncoder,
    tokens: Tensor,
    patches: Tensor,
    vectors: Tensor,
    temperature: float,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""LAR where the foundation has a matching encoder `m`: match or not, with hard negatives.

    $$ L_{lar} = \frac{1}{3n} \sum_i \bigl[ \mathrm{sp}(-m(S_i, P_i))
       + \mathrm{sp}(m(S_i, P_{a(i)})) + \mathrm{sp}(m(S_{b(i)}, P_i)) \bigr],
       \quad \mathrm{sp}(x) = \log(1 + e^x) $$

    The negatives `a(i), b(i) ≠ i` are drawn with probability `softmax_j(<v_i, v_j> / τ)`: pictures
    that the gallery finds alike are the hard ones.

    Args:
        matcher: `m`, frozen.
        tokens: (n, L, Dw), the sentences `S`; n at least 2.
        patches: (n, N, Dp), `P`.
        vectors: (n, D), `v`, unit norm.
        temperature: τ of the draw.
        generator: Of the draw.
    """
    likeness = vectors.float() @ vectors.float().T / temperature
    likeness.fill_diagonal_(float("-inf"))
    pictures, sentences = (
        torch.multinomial(likeness.softmax(dim=1), 1, generator=generator).squeeze(1)
        for _ in range(2)
    )
    match = functional.softplus(-matcher(tokens, patches).float())
    wrong_picture = functional.softplus(matcher(tokens, patches[pictures]).float())
    wrong_sentence = functional.softplus(matcher(tokens[sentences], patches).float())
    return (match + wrong_picture + wrong_sentence).mean() / 3


def _logits(left: Tensor, right: Tensor, temperature: float, valid: Tensor | None) -> Tensor:
    logits = left.float() @ right.float().T / temperature
    return logits if valid is None else logits.masked_fill(~valid, MASKED)
