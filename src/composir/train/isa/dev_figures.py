"""What is measured on dev pictures while ISA trains, without any label.

That a sentence finds its own picture says nothing about composing: a sentence that copies the
picture does it best and cannot be steered any more. So every dev picture is also asked for with
neutral phrases, and what is found is judged by the frozen model itself: does it fit the phrase, and
is it still like the reference? Both are agreement with the frozen model, no truth; they order runs.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from composir.train.losses import overlap, relative_entropy, slot_cosine

TOP = 10
QUARTER = 0.25


def own_picture_figures(sentences: Tensor, vectors: Tensor) -> dict[str, float]:
    """How well sentences (n, D), row i of picture i, find the gallery's vectors (n, D)."""
    scores = sentences @ vectors.T
    own = scores.diagonal()
    rank = (scores > own[:, None]).sum(1)
    recalls = {f"image/recall@{k}": 100.0 * float((rank < k).float().mean()) for k in (1, TOP)}
    return recalls | {"image/cosine": float(own.mean())}


def slot_figures(
    tokens: Tensor, maps: Tensor, sentences: Tensor, averaged: Tensor, vectors: Tensor
) -> dict[str, float]:
    """Whether a picture's L >= 2 tokens are several words, or one word several times.

    Args:
        tokens: (n, L, Dw).
        maps: (n, L, positions), where they look.
        sentences: (n, D), row i of picture i.
        averaged: (n, D), the same with every token replaced by the mean of its picture's.
        vectors: (n, D), the gallery's.
    """
    found = (own_picture_figures(rows, vectors)["image/recall@1"] for rows in (sentences, averaged))
    return {
        "slots/cosine": float(slot_cosine(tokens)),
        "slots/overlap": float(overlap(maps)),
        "slots/entropy": float(relative_entropy(maps)),
        "averaged/cosine": float((sentences * averaged).sum(dim=1).mean()),
        "averaged/fall@1": next(found) - next(found),
    }


def steering_figures(
    name: str, queries: Tensor, reference: Tensor, phrases: Tensor, vectors: Tensor
) -> dict[str, float]:
    """How far a phrase moves a query, and whether the reference is kept.

    A picture fits a phrase if it is in the top quarter of all dev pictures by `t · v`, and is like
    the reference if it is in the top quarter by `v · v`. Chance is 25, 25 and about 6 percent.

    Args:
        name: Prefix of the figures.
        queries: (m, D), composed.
        reference: (m,) int64, which dev picture each has; it is taken out of what is found.
        phrases: (m, D), `t`.
        vectors: (n, D), `v`.
    """
    own = functional.one_hot(reference, len(vectors)).bool()
    found = (queries @ vectors.T).masked_fill(own, -2.0).topk(min(TOP, len(vectors) - 1)).indices
    fits = _top_quarter((phrases @ vectors.T).masked_fill(own, -2.0)).gather(1, found)
    alike = _top_quarter((vectors[reference] @ vectors.T).masked_fill(own, -2.0)).gather(1, found)
    shares = {"phrase": fits, "like": alike, "both": fits & alike}
    return {f"{name}/{k}@{TOP}": 100.0 * float(x.float().mean()) for k, x in shares.items()}


def _top_quarter(scores: Tensor) -> Tensor:
    """(m, n) to booleans: the best quarter of each row, one at least."""
    count = max(1, round(QUARTER * (scores.shape[1] - 1)))
    return scores >= scores.topk(count).values[:, -1:]
