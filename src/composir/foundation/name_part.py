r"""What a classifier calls a picture, told in the vectors of those names.

[ours] A linear head cannot keep a thousand names apart in a few hundred numbers that are to hold
the rest of the picture too, and contrast teaches it a fifth of what the trunk's own classifier knew
before. So the classifier is kept, and the names that it gives are added to the meaning,

$$ m' = \mathrm{normalise}(m + N\, \mathrm{softmax}(W a + b)) $$

of the meaning `m` and the mean `a` of the feature map as the head's first attention weights it (the
plain mean on the light side, whose attention is even); the columns of `N` are vectors of the names
as the text tower has them, times how much they count.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class NamePart(nn.Module):
    """Names beside the rest of a meaning.

    Attributes:
        classify: `W` and `b`.
        names: `N`.
    """

    def __init__(self, channels: int, classes: int, dimension: int) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, classes)
        self.names = nn.Linear(classes, dimension, bias=False)

    def forward(self, meaning: Tensor, pooled: Tensor) -> Tensor:
        """Meanings (n, Dm), unit norm, and means (n, channels) to meanings (n, Dm)."""
        named = self.names(self.classify(pooled).softmax(dim=-1))
        return functional.normalize(meaning + named, dim=-1)
