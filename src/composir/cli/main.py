"""The command line: one table of verbs, each imported only when it is called.

Switches such as `--json` are shown without a value in help, and refused one on the command line.

Exit codes: 0 done; 1 `doctor` found something broken; 2 wrong usage or a `ComposirError`; 3 another
process holds the gallery; 4 `search --min-confidence` found nothing that matches; 130 stopped with
Ctrl-C. Errors go to stderr and leave stdout empty, with `--json` too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from composir.cli.extras import missing_extra
from composir.cli.interrupts import INTERRUPTED, was_interrupted
from composir.cli.terminal import echo, printable, shortened
from composir.errors import ComposirError

_NEVER_A_WORD = frozenset({"true", "false"})
_ALONE_NO_WORD = _NEVER_A_WORD | {"yes", "no", "on", "off", "1", "0"}
# Of `click`, or of the copy of it that newer versions of typer hold.
_UsageError: Any = typer.BadParameter.__bases__[0]
_SHOWN_NAME = 120


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


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: where its typer app is, and the line that `composir --help` shows."""

    module: str
    summary: str


VERBS = {
    "index": Verb("composir.cli.index", "Read folders of pictures into a gallery."),
    "merge": Verb("composir.cli.merge", "Join what many workers have indexed into one gallery."),
    "reindex": Verb("composir.cli.reindex", "Give a gallery another model in steps, and back."),
    "search": Verb("composir.cli.search", "Search a gallery by an image, words, or both."),
    "serve": Verb("composir.cli.serve", "Serve a gallery: a page, an API, tools for assistants."),
    "forget": Verb("composir.cli.forget", "Make a gallery forget a folder or a file."),
    "info": Verb("composir.cli.info", "Show what a gallery holds and which model made it."),
    "models": Verb("composir.cli.models_verb", "List, add, check and remove models."),
    "doctor": Verb("composir.cli.doctor", "Check that everything needed is there and works."),
    "repair": Verb("composir.cli.repair", "Rescue what can be read of a damaged gallery."),
    "bench": Verb("composir.cli.bench", "Measure composers on benchmarks or on your own data."),
    "triplets": Verb("composir.cli.triplets", "Make triplets to train on, and look at them."),
    "export": Verb("composir.cli.export", "Write what devices and other stores need."),
    "train": Verb("composir.cli.train", "Train models (needs the train extra)."),
}


class LazyVerbs(TyperGroup):
    """A command group that imports a verb's module when that verb is called, and no other."""

    def __init__(self, **settings: Any) -> None:
        """Fill the group with stand-ins: enough for `--help`, completion and "did you mean"."""
        super().__init__(**settings)
        for name, verb in VERBS.items():
            self.commands[name] = TyperCommand(name, help=verb.summary)

    def make_context(self, *args: Any, **settings: Any) -> Any:
        """Read the command line; Ctrl-C meanwhile ends it as it ends a verb."""
        try:
            return super().make_context(*args, **settings)
        except KeyboardInterrupt as stop:
            raise _stopped() from stop

    def get_params(self, ctx: Any) -> Any:
        """The options of `composir` itself."""
        return shown_without_values(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that the arguments name, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        command = get_command(import_module(VERBS[str(name)].module).app)
        command.name = name
        for one in with_subcommands(command):
            shown_without_values(one.get_params(ctx))
        refuse_values(command, rest)
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; turn expected errors into a message and an exit code."""
        try:
            return super().invoke(ctx)
        except ComposirError as error:
            raise _reported(error) from error
        except _UsageError as error:  # of a verb's options: file names may be among the words
            error.message = printable(error.message)
            raise
        except ModuleNotFoundError as error:
            missing = missing_extra(error)
            if missing is None:
                raise
            raise _reported(missing) from error
        except OSError as error:
            raise _reported(_refused(error)) from error
        except RuntimeError as error:
            if "home directory" not in str(error):
                raise
            problem = ComposirError("a path begins with ~ and a user that this system lacks")
            raise _reported(problem) from error
        except KeyboardInterrupt as stop:
            raise _stopped() from stop


def _refused(error: OSError) -> ComposirError:
    """What the system refuses and no verb expects: names too long, folders for files, ..."""
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    where = f": {' and '.join(shortened(name, _SHOWN_NAME) for name in names)}" if names else ""
    return ComposirError(f"the system refuses: {error.strerror or error}{where}")


def _stopped() -> typer.Exit:
    echo("stopped.", to_stderr=True)
    return typer.Exit(INTERRUPTED)


def _reported(error: ComposirError) -> typer.Exit:
    if was_interrupted():  # some libraries turn Ctrl-C into errors of their own
        return _stopped()
    text = "\n".join(printable(line) for line in str(error).split("\n"))
    echo(f"error: {text}", to_stderr=True)
    return typer.Exit(error.exit_code)


def _print_version(wanted: bool) -> None:
    if wanted:
        import composir

        echo(f"composir {composir.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="composir",
    cls=LazyVerbs,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: **composir index ~/photos**, then **composir search 'a dog on a beach'**.",
)


@app.callback()
def composir_command(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Search your own pictures by an image and words, offline."""


def run() -> None:
    """Run the command line of this process; see `composir.cli.entry`."""
    from composir.cli.entry import run as begin

    begin()
