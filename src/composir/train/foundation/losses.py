"""The contrast between pictures and texts that the packaged model is trained with."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def contrastive_loss(images: Tensor, texts: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    r"""Symmetric InfoNCE with soft targets.

    $$ L = \tfrac12 H(P, \mathrm{softmax}(s I T^\top))
         + \tfrac12 H(P, \mathrm{softmax}(s T I^\top)) $$

    with cross-entropy `H`. With `targets` the identity it is the loss of CLIP (arXiv 2103.00020,
    section 2.3).

    Args:
        images: (n, D), unit norm.
        texts: (n, D), unit norm; row i describes image i.
        targets: (n, n), symmetric up to row normalisation; rows sum to one.
        scale: Inverse temperature, scalar.

    Returns:
        The mean loss, scalar.
    """
    logits = scale * images @ texts.T
    forward = -(targets * functional.log_softmax(logits, dim=1)).sum(1).mean()
    backward = -(targets * functional.log_softmax(logits.T, dim=1)).sum(1).mean()
    return (forward + backward) / 2


def soft_targets(sentences: Tensor, share: float | Tensor, temperature: float) -> Tensor:
    """Who else might a text describe: what a frozen sentence encoder finds alike shares the target.

    Identical texts ("a photo of a hat" of a hundred pictures) share equally whatever `share` is.

    Args:
        sentences: (n, w) frozen sentence vectors, unit norm.
        share: How much of the target goes by similarity, 0 to 1, of all rows or (n, 1) by row; the
            rest goes to identical texts.
        temperature: Of the similarity's softmax.

    Returns:
        (n, n), rows sum to one.
    """
    similarity = sentences @ sentences.T
    identical = (similarity > 1.0 - 1e-4).float()
    identical = identical / identical.sum(1, keepdim=True)
    alike = torch.softmax(similarity / temperature, dim=1)
    return (1.0 - share) * identical + share * alike
