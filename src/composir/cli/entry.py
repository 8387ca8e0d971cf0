"""Where the `composir` command begins: Ctrl-C and the streams first, then everything else."""

from __future__ import annotations

import os
import sys

from composir.cli import interrupts


def run() -> None:
    """Run the command line of this process, and end with its exit code."""
    interrupts.listen()
    try:
        code = interrupts.finish(_outcome())
    except KeyboardInterrupt:  # just before the verb's work was caught, or just after
        interrupts.end_now()
    sys.exit(code)


def _outcome() -> int:
    """Run the verb; the exit code that became of it."""
    try:
        _quieten_lance()
        from composir.cli.main import app
        from composir.cli.terminal import prepare_streams

        prepare_streams()
        app(prog_name="composir")
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):
            # Who read the help, or what is wrong with the command line, has read enough.
            return int(getattr(end.__context__.__context__, "exit_code", 0))
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        # After Ctrl-C whatever comes is its echo: libraries turn it into errors of their own.
        if not interrupts.was_interrupted():
            raise
        interrupts.say("stopped.\n")
        return interrupts.INTERRUPTED
    return 0


def _quieten_lance() -> None:
    """Keep Lance's warnings to its programmers, and traces of its panics, from people's terminals.

    It reads these when it is loaded, so they are set for this process alone: whoever uses composir
    as a library decides for themselves, and whoever has set them for the command line, too.
    """
    os.environ.setdefault("LANCE_LOG", "error")
    os.environ.setdefault("RUST_BACKTRACE", "0")
