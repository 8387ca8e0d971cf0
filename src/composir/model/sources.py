"""Where a model to be added comes from: a folder, a file, a repository of the hub, an endpoint.

Fetching from the hub is the one place of composir, beside `--allow-url`, that opens a connection:
when a user adds a model by its name there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from composir.errors import ModelError, first_line
from composir.lazy import imported
from composir.model.catalogue import PREFIX, REPOSITORIES, KnownModel, known_model
from composir.model.joint.joint_bundle import EndpointAddress, is_address, parse_address

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


# Weights as safetensors alone: the same ones as pickles may run code, and take as much room.
_WANTED = ("*.json", "*.jinja", "*.txt", "*.md", "*.model", "LICENSE*", "*.safetensors")
_PICKLES = ("pytorch_model*.bin", "pytorch_model*.bin.index.json")
# Repositories of open_clip often keep the same weights for transformers and for timm beside them.
_OPEN_CLIP = (
    "open_clip_config.json",
    "open_clip_model*.safetensors*",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "*.md",
    "LICENSE*",
)
_OPEN_CLIP_PICKLES = ("open_clip_pytorch_model*.bin*",)
_UNWANTED = ("[!1]*/*", "1*/*.safetensors")  # of folders, 1_Pooling alone says something
_CLIENTS = {"huggingface_hub", "hf_xet", "httpx", "httpx2", "httpcore", "requests"}


def fetch(repository: Repository, *, pickles: bool = False, **settings: Any) -> Path:
    """Fetch what a bundle is made of; of a download that was stopped, files that are whole stay."""
    hub = imported("huggingface_hub", "foundation")
    errors = imported("huggingface_hub.errors", "foundation")
    try:
        folder = Path(
            hub.snapshot_download(
                repository.name,
                revision=repository.revision,
                allow_patterns=_wanted(repository, pickles=pickles),
                ignore_patterns=list(_UNWANTED),
                **settings,
            )
        )
    except Exception as error:  # the client lets its own and its libraries' errors through
        raise _told(error, errors, repository) from error
    if not any(folder.glob("*.safetensors")) and not pickles:
        raise ModelError(
            f"{repository.words} holds no weights as safetensors, and pickles, which can run any "
            "code, are not fetched; the hub's page may have a conversion among its pull requests: "
            f"composir models add {repository.name}@refs/pr/NUMBER; or allow them: --allow-pickle"
        )
    return folder


def _wanted(repository: Repository, *, pickles: bool) -> list[str]:
    wanted, also = (_OPEN_CLIP, _OPEN_CLIP_PICKLES) if repository.open_clip else (_WANTED, _PICKLES)
    return [*wanted, *(also if pickles else ())]


def _told(error: Exception, errors: Any, repository: Repository) -> Exception:
    """What went wrong, in a user's words; an error that nobody foresaw stays what it is."""
    words, page = repository.words, f"https://huggingface.co/{repository.name}"
    again = f"the same command resumes: composir models add {words}"
    unreachable = errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled
    sayings: tuple[tuple[Any, str], ...] = (  # the first that fits; some are kinds of later ones
        (
            errors.GatedRepoError,
            f"{words} asks for its licence to be accepted: do so at {page}, then log in (hf auth "
            f"login, or HF_TOKEN); {again}",
        ),
        (
            errors.RevisionNotFoundError,
            f"{repository.name} has no revision {repository.revision}: see {page}",
        ),
        (
            errors.RepositoryNotFoundError,
            f"the hub has no model {repository.name}, or it is private: see {page}; to add a "
            "folder, give its path",
        ),
        (
            unreachable,
            f"{words} is not, or not wholly, in the hub client's cache, and the hub cannot be "
            f"reached; once there is a connection {again}. Or give a local folder",
        ),
        (OSError, f"fetching {words} failed: {first_line(error)}; {again}"),
    )
    found = next((text for kind, text in sayings if isinstance(error, kind)), None)
    if found is None and _is_the_clients(error):
        found = sayings[-1][1]
    return error if found is None else ModelError(found)


def _is_the_clients(error: Exception) -> bool:
    """Whether the client raised it, or one of the libraries that its versions connect with."""
    return type(error).__module__.partition(".")[0] in _CLIENTS


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a model is to be added; what is behind `allow_pickle` is for joint encoders alone.

    Attributes:
        name: What to call it.
        quantise: `int8`, or None for the weights as they are.
        accepts: Asked with a licence that restricts the use; False ends the adding.
        say: Told what is being done.
        allow_pickle: Whether weights may be read from a pickle.
        instruction: What it is told with a query; None for what is known to suit it.
        allow_remote: Whether pictures and words may be sent to another machine.
        key_variable: Environment variable with the endpoint's key.
        key_file: File with it.
        timeout: Seconds for one answer of the endpoint.
    """

    name: str
    quantise: str | None
    accepts: Callable[[str], bool]
    say: Callable[[str], None]
    allow_pickle: bool = False
    instruction: str | None = None
    allow_remote: bool = False
    key_variable: str | None = None
    key_file: Path | None = None
    timeout: float = 120.0
