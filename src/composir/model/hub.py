"""Fetch a repository of the Hugging Face hub into its ordinary cache, with clear errors.

The one place of composir, beside `--allow-url`, that opens a connection: when a user adds a model
by its name on the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from composir.errors import ModelError, first_line
from composir.lazy import imported
from composir.model.sources import Repository

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
