"""Composers: from a reference image and a modification text to a query.

One idea a file. `COMPOSERS` is the table of those without training; trained ones are folders, which
`spliced` runs. Adding one: docs/adding-a-composer.md.
"""

from __future__ import annotations

import dataclasses  # as a whole, for `replace` is a submodule here
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING

from composir.compose.base import ComposedQueries, Composer, QueryBatch, Traits
from composir.data.untrusted_json import is_finite_number, shown
from composir.errors import ComposerNotFoundError, ModelError, QueryError
from composir.lazy import imported
from composir.model.base import EmbeddingModel, SplicingModel

if TYPE_CHECKING:
    from composir.compose.spliced import SplicedComposer

COMPOSERS: dict[str, str] = {
    "image": "composir.compose.arithmetic:ImageOnly",
    "text": "composir.compose.arithmetic:TextOnly",
    "sum": "composir.compose.arithmetic:WeightedSum",
    "slerp": "composir.compose.arithmetic:Slerp",
    "product": "composir.compose.arithmetic:Product",
    "replace": "composir.compose.replace:Replace",
    "direction": "composir.compose.direction:Direction",
    "joint": "composir.compose.joint:Joint",
}

Settings = Mapping[str, float | int | str]

_LARGEST = 1e6  # far beyond any weight or angle, and what float32 multiplies without overflow


def load_composer(
    name: str | Path | None, model: EmbeddingModel, **settings: float | int | str
) -> Composer:
    """Make a composer for a model.

    Args:
        name: Name in `COMPOSERS`, or of a trained composer that comes with the model, or the folder
            of any trained composer; None for the model's default.
        model: Encodes the texts; its bundle's settings, chosen on dev splits, are the defaults.
        **settings: Override those, e.g. `alpha=0.3`.

    Returns:
        The composer; graphs are read at first use.

    Raises:
        ComposerNotFoundError: If the name is unknown.
        QueryError: If a setting is unknown, or a value is out of range.
        BundleError: If a trained composer's folder is incomplete or damaged.
        ModelError: If it was trained for another model.
    """
    chosen = str(name or model.default_composer)
    values = {**model.composer_settings.get(chosen, {}), **settings}
    if chosen in COMPOSERS:
        return _arithmetic(chosen, model, values)
    folder = packaged_composers(model).get(chosen) or Path(chosen)
    if not _is_folder(folder):
        raise ComposerNotFoundError(_unknown(chosen, model))
    opened = _opened(chosen, folder.expanduser(), model)
    return _named(chosen, lambda: opened.with_settings(**values))


def _opened(chosen: str, folder: Path, model: EmbeddingModel) -> SplicedComposer:
    """A trained composer; one that was given as a folder says so in its name."""
    from composir.compose.called import called

    opened, packaged = open_trained(folder, model), packaged_composers(model)
    if chosen in packaged:
        return opened
    taken = frozenset(composer_names(model))
    return dataclasses.replace(opened, called=called(opened.folder, packaged, taken))


def parse_composer(text: str) -> tuple[str, dict[str, float | int | str]]:
    """Read `NAME`, `FOLDER`, or either with settings: `NAME:SETTING=VALUE,SETTING=VALUE`.

    Raises:
        QueryError: If it is malformed.
    """
    if _is_folder(Path(text)):  # on some systems paths hold colons
        return text, {}
    name, _, rest = text.partition(":")
    settings: dict[str, float | int | str] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not key.strip() or not equals or not value.strip():
            raise QueryError(f"composer {text!r}: write NAME or NAME:SETTING=VALUE,SETTING=VALUE")
        settings[key.strip()] = _number_or_text(value.strip())
    if not name.strip():
        raise QueryError(f"composer {text!r}: no name")
    return name.strip(), settings


def _is_folder(path: Path) -> bool:
    """Whether there is one; what cannot be a path of this system is none."""
    try:
        return path.expanduser().is_dir()
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a zero byte
        return False


def _number_or_text(value: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def open_trained(folder: Path, model: EmbeddingModel) -> SplicedComposer:
    """Open the folder of a trained composer.

    Raises:
        BundleError: If the folder is no composer, incomplete or damaged.
        ModelError: If it was trained for another model.
    """
    from composir.compose.spliced import open_spliced
    from composir.compose.trained import ComposerFolder

    opened = ComposerFolder.load(folder)
    capable = _splicing(model, folder)
    words = capable.texts.word_dimension
    opened.check_model(model.name, model.fingerprint, capable.text_checksum, words)
    return open_spliced(opened, capable)


def packaged_composers(model: EmbeddingModel) -> Mapping[str, Path]:
    """Folders of the trained composers that come with a model, by name; many models have none."""
    return model.composer_folders()


def composer_names(model: EmbeddingModel) -> tuple[str, ...]:
    """Names of all composers that can be had for a model without giving a folder."""
    untrained = (name for name in COMPOSERS if name != "joint" or model.joint is not None)
    return (*untrained, *(name for name in packaged_composers(model) if name not in COMPOSERS))


def _arithmetic(name: str, model: EmbeddingModel, values: Settings) -> Composer:
    make = imported(COMPOSERS[name])
    known = list(signature(make).parameters)[1:]  # the first is the model
    for key, value in values.items():
        if key not in known:
            raise QueryError(
                f"composer {name} has no setting {key}; its settings are {', '.join(known)}"
            )
        if isinstance(value, str) or not is_finite_number(value):
            raise QueryError(f"composer {name}: {key} must be a finite number, not {shown(value)}")
        if abs(value) > _LARGEST:
            raise QueryError(f"composer {name}: {key} is too large: {shown(value)}")
    composer: Composer = make(model, **values)
    return composer


def _named(name: str, make: Callable[[], Composer]) -> Composer:
    try:
        return make()
    except QueryError as error:
        raise QueryError(f"composer {name}: {error}") from error


def _splicing(model: EmbeddingModel, folder: Path) -> SplicingModel:
    capable = model.splicing
    if capable is None:
        why = "use a bundle, or another composer, e.g. sum" if model.joint is None else _NO_SPLICING
        raise ModelError(
            f"the composer {folder} puts pseudo-words among words, which the model {model.name} "
            f"does not offer; {why}"
        )
    return capable


_NO_SPLICING = (
    "a joint encoder's words are closed to the pseudo-words of trained composers (map, isa, "
    "compose); joint reads picture and words together, sum and the like work too"
)


def _unknown(name: str, model: EmbeddingModel) -> str:
    known = ", ".join(composer_names(model))
    if model.joint is not None:
        return (
            f"no composer named {name} for the model {model.name}; known: {known}. {_NO_SPLICING}"
        )
    return f"no composer named {name}; known: {known}; or give the folder of a trained one"


__all__ = [
    "COMPOSERS",
    "ComposedQueries",
    "Composer",
    "QueryBatch",
    "Traits",
    "composer_names",
    "load_composer",
    "open_trained",
    "packaged_composers",
    "parse_composer",
]
