"""Where a model to be added comes from: a folder, a file, a repository of the hub, an endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from composir.errors import ModelError
from composir.model.joint.address import EndpointAddress, is_address, parse_address
from composir.model.known_models import PREFIX, REPOSITORIES, KnownModel, known_model

_JOINT = "joint:"
_REPOSITORY = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?")
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of the hub.

    Attributes:
        name: Its owner and name.
        revision: A branch, tag or commit; None for the main one.
        open_clip: What open_clip calls the model, as it was asked for; None of others. Of such a
            repository the files for open_clip alone are wanted.
        joint: Whether it holds a joint encoder.
    """

    name: str
    revision: str | None = None
    open_clip: str | None = None
    joint: bool = False

    @property
    def words(self) -> str:
        """As it is given on the command line."""
        name = self.open_clip or (_JOINT * self.joint + self.name)
        return name if self.revision is None else f"{name}@{self.revision}"


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What is to be added.

    Attributes:
        place: A folder with a checkpoint or a bundle in it, what is to be fetched first, or an
            endpoint that runs a joint encoder.
        name: What to call it where nobody says.
        known: Its entry in the table of known models, if it has one.
        joint: Whether a checkpoint is that of a joint encoder.
    """

    place: Path | Repository | EndpointAddress
    name: str
    known: KnownModel | None = None
    joint: bool = False

    @property
    def words(self) -> str:
        """The place, for messages."""
        if isinstance(self.place, Path):
            return str(self.place)
        return self.place.words if isinstance(self.place, Repository) else self.place.url


def parse_source(text: str) -> ModelSource:
    """Understand what `composir models add` is given; nothing is fetched."""
    if is_address(text):
        address = parse_address(text)
        return ModelSource(address, suggested_name(address.model), known_model(text))
    if text.casefold().startswith(_JOINT):
        inner = parse_source(text[len(_JOINT) :])
        place = inner.place
        if isinstance(place, Repository):
            place = replace(place, joint=True)
        return replace(inner, place=place, known=known_model(text), joint=True)
    if text.casefold().startswith(PREFIX):
        return _of_open_clip(text)
    path = Path(text).expanduser()
    if path.exists():
        folder = path if path.is_dir() else _folder_of(path)
        return ModelSource(folder, suggested_name(folder.resolve().name))
    known = known_model(text)
    # A known model may be asked for at a revision, which its entry does not name.
    if known is not None and ":" in known.source and "/" not in text:
        return parse_source(known.source + "".join(text.partition("@")[1:]))
    found = _REPOSITORY.fullmatch(known.source if known and "/" not in text else text)
    if found is None or text.startswith((".", "~", "/")):
        raise ModelError(
            f"there is no folder or file {text}, and it is neither ORG/NAME of the hub nor a name "
            "that composir models lists"
        )
    repository = Repository(found[1], found[2])
    name = known.name if known else suggested_name(found[1].partition("/")[2])
    return ModelSource(repository, name, known)


def _of_open_clip(text: str) -> ModelSource:
    """What open_clip calls `ARCHITECTURE/TAG`, small letters or not."""
    asked, _, revision = text[len(PREFIX) :].partition("@")
    found = next((name for name in REPOSITORIES if name.casefold() == asked.casefold()), None)
    if found is None:
        architecture = asked.partition("/")[0].casefold()
        alike = [name for name in REPOSITORIES if name.casefold().startswith(f"{architecture}/")]
        raise ModelError(
            f"{text}: composir does not know where the hub has it; known ones: "
            f"{', '.join(alike or REPOSITORIES)}. If the hub has it with an open_clip_config.json, "
            "give ORG/NAME"
        )
    known = known_model(PREFIX + found)
    repository = Repository(REPOSITORIES[found], revision or None, PREFIX + found)
    return ModelSource(repository, known.name if known else suggested_name(found), known)


def suggested_name(text: str) -> str:
    """The nearest thing to a text that a model may be called."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).lstrip("._-") or "model"


def _folder_of(path: Path) -> Path:
    """A checkpoint file is read together with what describes it, beside it."""
    if path.name not in _WEIGHTS:
        raise ModelError(
            f"{path} is no checkpoint that can be added: that is a {_WEIGHTS[0]} with its "
            "config.json and tokenizer beside it, or their folder"
        )
    return path.absolute().parent
