"""Ctrl-C, once or many times in a row: stop in order, never with a traceback.

The first stops the work as `KeyboardInterrupt` does: what has been done is committed. The second
changes nothing, but says that a third ends the process at once; whatever was being written then is
as after a power cut: nothing half is left. Once the verb is over, nothing is worth waiting for, and
any Ctrl-C ends the process. Nothing is imported here that takes time, so that it can be in place
before anything else is.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
_SHOW_CURSOR = "\x1b[?25h"  # a progress bar hides it
_SECONDS_UNTIL_AGAIN = 0.01
_ONCE_MORE = "stopping; Ctrl-C once more ends at once\n"


class _Presses:
    """How often Ctrl-C was pressed, and whether the verb is over."""

    def __init__(self) -> None:
        self.count = 0
        self.is_over = False


_presses = _Presses()


def listen() -> None:
    """Take Ctrl-C over, unless whoever started us wants it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _pressed)
        sys.unraisablehook = _unraisable
        # Registered first, so called last: what Python does then takes no Ctrl-C, and no time.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def was_interrupted() -> bool:
    """Whether Ctrl-C was pressed."""
    return _presses.count > 0


def finish(code: int) -> int:
    """Say that the verb is over: from now on Ctrl-C ends the process."""
    _presses.is_over = True
    if was_interrupted() and code != 0:
        # Not through Python's shutdown, which waits for threads and may meet them half-way.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):  # closed, or not there
                stream.flush()
        end_now()
    return code


def say(text: str) -> None:
    """Write to stderr past Python's streams, which may be busy or not there yet."""
    with suppress(OSError):  # nobody listens
        os.write(2, text.encode())


def end_now() -> NoReturn:
    """End the process at once; what was not written yet could wait for a reader, and is left."""
    if os.isatty(2):
        say(_SHOW_CURSOR)
    os._exit(INTERRUPTED)


def _pressed(_signal: int, _frame: FrameType | None) -> None:
    _presses.count += 1
    if _presses.is_over or _presses.count > 2:
        end_now()
    if _presses.count == 1:
        raise KeyboardInterrupt
    say(_ONCE_MORE)


def _press() -> None:
    from threading import main_thread

    if sys.platform == "win32":
        signal.raise_signal(signal.SIGINT)
    else:  # to that thread, which may sleep
        signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)


def _unraisable(problem: sys.UnraisableHookArgs) -> None:
    """Ctrl-C where Python cannot raise it (a destructor, a callback): press it again for the user.

    Without this it would be printed as a traceback, and forgotten.
    """
    if problem.exc_type is KeyboardInterrupt:
        from threading import Timer

        _presses.count = 0
        again = Timer(_SECONDS_UNTIL_AGAIN, _press)
        again.daemon = True
        again.start()
        return
    sys.__unraisablehook__(problem)
