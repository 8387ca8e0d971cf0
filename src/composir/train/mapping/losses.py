"""What stage 1 of Map-to-Compose is trained with: image contrast and soft text alignment."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def image_contrast(
    sentences: Tensor, vectors: Tensor, temperature: float, negatives: Tensor | None = None
) -> Tensor:
    r"""Symmetric InfoNCE between a picture's sentence and the picture.

    With $s_i = T(\text{"a photo of } w_i\text{"})$ and $v_i$ the picture's vector (without
    its appearance part where it has one, `FrozenFoundation.meaning`),

    $$ L_{img} = -\frac{1}{2n} \sum_i \log
         \frac{e^{s_i \cdot v_i / \tau}}{\sum_j e^{s_i \cdot v_j / \tau} + \sum_m
         e^{s_i \cdot u_m / \tau}}
       + \log \frac{e^{s_i \cdot v_i / \tau}}{\sum_j e^{s_j \cdot v_i / \tau}} $$

    (Pic2Word, arXiv 2302.03084, equation 2; the further negatives $u_m$ are ours).

    Args:
        sentences: (n, D), unit norm.
        vectors: (n, D), unit norm; row i is the picture of sentence i.
        temperature: Of both softmaxes.
        negatives: (m, D) vectors of other pictures, for the first term alone.

    Returns:
        The mean loss, scalar.
    """
    labels = torch.arange(len(sentences), device=sentences.device)
    logits = sentences @ vectors.T / temperature
    rows = logits
    if negatives is not None and len(negatives):
        rows = torch.cat([logits, sentences @ negatives.T / temperature], dim=1)
    forward = functional.cross_entropy(rows, labels)
    return (forward + functional.cross_entropy(logits.T, labels)) / 2


def soft_text_alignment(
    sentences: Tensor,
    vectors: Tensor,
    texts: Tensor,
    teacher_temperature: float,
    student_temperature: float,
) -> Tensor:
    r"""A picture's sentence should fit texts as the picture itself does.

    $$ p_{ij} = \mathrm{softmax}_j(v_i \cdot t_j / \tau), \quad
       q_{ij} = \mathrm{softmax}_j(s_i \cdot t_j / \tau'), \quad
       L_{sta} = \frac1n \sum_i KL(p_i \| q_i) $$

    Soft, because captions of other pictures may fit too (Map-to-Compose, arXiv 2504.17990; the form
    is ours). There is no gradient through the teacher.

    Args:
        sentences: (n, D), unit norm, $s_i$.
        vectors: (n, D), unit norm, $v_i$.
        texts: (m, D), unit norm: captions of the batch and of the bank.
        teacher_temperature: $\tau$.
        student_temperature: $\tau'$.

    Returns:
        The mean divergence in nats, scalar.
    """
    teacher = torch.log_softmax(vectors.detach() @ texts.T / teacher_temperature, dim=1)
    student = torch.log_softmax(sentences @ texts.T / student_temperature, dim=1)
    return functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
