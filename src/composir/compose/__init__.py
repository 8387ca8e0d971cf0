"""Composers: from a reference image and a modification text to a query.

One idea a file; `COMPOSERS` is the table. Adding one: docs/adding-a-composer.md.
"""

from __future__ import annotations

from importlib import import_module

from composir.compose.base import ComposedQueries, Composer, QueryBatch
from composir.errors import QueryError
from composir.model.base import EmbeddingModel

COMPOSERS: dict[str, str] = {
    "image": "composir.compose.arithmetic:ImageOnly",
    "text": "composir.compose.arithmetic:TextOnly",
    "sum": "composir.compose.arithmetic:WeightedSum",
    "slerp": "composir.compose.arithmetic:Slerp",
    "product": "composir.compose.arithmetic:Product",
}


def load_composer(
    name: str | None, model: EmbeddingModel, **settings: float | int | str
) -> Composer:
    """Make a composer for a model.

    Args:
        name: Name in `COMPOSERS`; None for the model's default.
        model: Encodes the texts; its bundle's settings, chosen on dev splits, are the defaults.
        **settings: Override those, e.g. `alpha=0.3`.

    Returns:
        The composer.

    Raises:
        QueryError: If the name or a setting is unknown, or a value is out of range.
    """
    chosen = name or model.default_composer
    if chosen not in COMPOSERS:
        raise QueryError(f"no composer named {chosen}; known: {', '.join(COMPOSERS)}")
    module, attribute = COMPOSERS[chosen].split(":")
    make = getattr(import_module(module), attribute)
    values = {**model.composer_settings.get(chosen, {}), **settings}
    try:
        composer: Composer = make(model, **values)
    except TypeError as error:
        raise QueryError(f"composer {chosen}: {error}".replace("__init__() ", "")) from error
    return composer


__all__ = ["COMPOSERS", "ComposedQueries", "Composer", "QueryBatch", "load_composer"]
