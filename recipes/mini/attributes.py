"""What metadata say of pictures, as phrases that a text tower must tell apart.

Titles and captions name everything at once, so the model learns little about what "in brown" alone
means. Here a picture is matched with short phrases of one attribute, and a phrase with every
picture of the batch that has it: modification texts are such phrases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from corpus import TrainingPicture
from torch import Tensor
from torch.nn import functional

NO_VALUE = -1
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "colour": ("{}", "in {}", "a {} one", "something {}", "{} coloured"),
    "type": ("{}", "a photo of {}"),
    "class": ("{}", "a {}", "a photo of {}"),
    "gender": ("for {}", "{}"),
    "usage": ("{} wear", "for {} use"),
    "domain": ("{}", "a {}"),
}
WORDINGS: Mapping[str, tuple[str, ...]] = {
    "photo": ("a photo", "a photograph", "a real photo"),
    "art painting": ("a painting", "an art painting", "painted"),
    "cartoon": ("a cartoon", "a comic drawing", "a cartoon drawing"),
    "sketch": ("a sketch", "a pencil sketch", "a line drawing"),
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of one source.

    Attributes:
        source: The data set.
        name: Of the attribute.
        phrases: For each value, its phrases.
        values: (pictures of the source,) int64, which value each picture has; `NO_VALUE` for none.
    """

    source: str
    name: str
    phrases: tuple[tuple[str, ...], ...]
    values: np.ndarray[tuple[int], np.dtype[np.int64]]


def find_attributes(pictures: Sequence[TrainingPicture], source: str) -> list[Attribute]:
    """Attributes of one source; only values seen in training take part.

    Args:
        pictures: All pictures of the source, in the order of its bank.
        source: Its name.
    """
    names = sorted({name for picture in pictures for name in picture.attributes})
    return [_attribute(pictures, source, name) for name in names]


def phrases_of(attributes: Iterable[Attribute]) -> list[str]:
    """Every phrase, to be encoded once."""
    return [text for one in attributes for texts in one.phrases for text in texts]


def attribute_loss(images: Tensor, phrases: Tensor, values: Tensor, scale: Tensor) -> Tensor:
    r"""Picture to phrase, and phrase to all pictures that have it.

    $$ L = \tfrac12 \left( \mathrm{CE}(s V P^\top, y)
         - \frac1K \sum_k \frac1{|N_k|} \sum_{i \in N_k}
           \log \mathrm{softmax}_i(s P_k V^\top) \right) $$

    with $N_k$ the pictures of value `k`, over the values present.

    Args:
        images: (n, D), unit norm.
        phrases: (K, D), unit norm, one phrase a value.
        values: (n,) int64, `NO_VALUE` where the picture has none.
        scale: Inverse temperature, scalar.

    Returns:
        The loss, scalar; zero if no picture has a value.
    """
    has = values != NO_VALUE
    if not bool(has.any()):
        return images.sum() * 0.0
    chosen, owned = images[has], values[has]
    logits = scale * chosen @ phrases.T
    forward = functional.cross_entropy(logits, owned)
    present = torch.unique(owned)
    members = (owned[None] == present[:, None]).float()
    likely = functional.log_softmax(logits.T[present], dim=1)
    backward = -((likely * members).sum(1) / members.sum(1)).mean()
    loss: Tensor = (forward + backward) / 2
    return loss


def draw_phrases(attribute: Attribute, generator: np.random.Generator) -> list[str]:
    """One phrase a value."""
    return [texts[generator.integers(len(texts))] for texts in attribute.phrases]


def _attribute(pictures: Sequence[TrainingPicture], source: str, name: str) -> Attribute:
    known = sorted(
        {p.attributes[name] for p in pictures if p.split == "train" and name in p.attributes}
    )
    place = {value: index for index, value in enumerate(known)}
    values = [place.get(picture.attributes.get(name, ""), NO_VALUE) for picture in pictures]
    templates = TEMPLATES.get(name, ("{}",))
    phrases = tuple(
        WORDINGS.get(value) or tuple(t.format(value) for t in templates) for value in known
    )
    return Attribute(source, name, phrases, np.array(values, dtype=np.int64))


def batch_values(attribute: Attribute, rows: Sequence[int], device: torch.device) -> Tensor:
    """Values of some pictures, (n,) int64."""
    return torch.from_numpy(attribute.values[np.asarray(rows)]).to(device)
