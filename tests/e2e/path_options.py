"""Every option of every verb that names a file or a folder, found by looking at the verbs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args, get_type_hints

from composir.cli.main import VERBS

_NAMES_A_PLACE = re.compile(r"\b(FILE|FOLDER|PATH|NPZ|TOML|RESULT|TAR|GLOB)\b")


def path_options() -> set[tuple[str, str]]:
    """As (verb, parameter), e.g. `("bench run", "html")`."""
    return {
        (verb, name)
        for verb, callback in _commands()
        for name, hint in get_type_hints(callback, include_extras=True).items()
        if _is_place(hint)
    }


def _commands() -> Iterator[tuple[str, Any]]:
    for name, verb in VERBS.items():
        commands = import_module(verb.module).app.registered_commands
        for command in commands:
            own = command.name or command.callback.__name__
            yield name if own == name else f"{name} {own}", command.callback


def _is_place(hint: Any) -> bool:
    told = [str(getattr(part, "metavar", None) or "") for part in get_args(hint)[1:]]
    return "pathlib" in repr(hint) or any(_NAMES_A_PLACE.search(words) for words in told)
