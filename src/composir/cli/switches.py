"""Switches such as `--json`: shown without a value in help, and refused one on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from composir.errors import ComposirError

_NEVER_A_WORD = frozenset({"true", "false"})
_ALONE_NO_WORD = _NEVER_A_WORD | {"yes", "no", "on", "off", "1", "0"}


class UsageError(ComposirError):
    """A command line that says something else than its writer means."""

    code = "usage"


def shown_without_values(options: Sequence[Any]) -> Sequence[Any]:
    """Let help show switches as they are typed.

    Newer versions of typer write `<bool>` behind each, as if a value had to follow.
    """
    for option in options:
        if getattr(option, "is_flag", False) and option.metavar is None:
            option.metavar = ""
    return options


def refuse_values(command: Any, words: Sequence[str]) -> None:
    """Refuse a value behind a switch, which would be taken for one more word or path.

    `--json true` is refused whatever follows; `yes`, `no`, `on`, `off`, `1` and `0` only where they
    stand alone, for `--json on a beach` is a fine question.
    """
    switches, with_value = _options_of(_named(command, words))
    rest = list(words)
    while rest and (word := rest.pop(0)) != "--":
        if word in with_value:
            del rest[:1]
        elif word in switches and rest and _is_value(rest):
            raise UsageError(
                f"{word} is a switch, on where it is named: leave {rest[0]!r} out. Where it is a "
                f"word that you look for, put the words first, or `--` before them"
            )


def _is_value(words: Sequence[str]) -> bool:
    word, alone = words[0].lower(), len(words) == 1 or words[1].startswith("-")
    return word in _NEVER_A_WORD or (alone and word in _ALONE_NO_WORD)


def _options_of(commands: Sequence[Any]) -> tuple[set[str], set[str]]:
    """Spellings of switches, and of options that take a value."""
    switches: set[str] = set()
    with_value: set[str] = set()
    for command in commands:
        for option in command.params:
            names = [name for name in (*option.opts, *option.secondary_opts) if name[:1] == "-"]
            (switches if getattr(option, "is_flag", False) else with_value).update(names)
    return switches, with_value


def _named(command: Any, words: Sequence[str]) -> list[Any]:
    """The command that is called; of a group that chooses by itself, all it may choose."""
    below = getattr(command, "commands", None)
    if below is None:
        return [command]
    return [below[words[0]]] if words and words[0] in below else list(below.values())


def with_subcommands(command: Any) -> Iterator[Any]:
    """A command and all that are below it."""
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from with_subcommands(below)
