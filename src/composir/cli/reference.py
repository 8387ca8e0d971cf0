"""What `--image` may name: a file, standard input, a pipe, an address, the clipboard."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from composir.data.files import read_regular
from composir.data.streams import UnreadableStreamError, read_at_most, within
from composir.errors import QueryError
from composir.references import LARGEST_FILE, NamedImage

if TYPE_CHECKING:
    from PIL import Image

STANDARD_INPUT = "-"
CLIPBOARD = "clipboard:"
SECONDS = 60.0
"""How long a pipe may take."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_TERMINAL = (
    "standard input is a terminal: send a picture into it, e.g. composir search -i - < a.jpg"
)
CLIPBOARD_SECONDS = 10.0
_SAVE_FIRST = "save the picture to a file and name that"


def command_line_references(
    names: Sequence[str], *, allow_url: bool = False
) -> list[str | NamedImage]:
    """Read what does not lie in a file; files are left to the search."""
    if list(names).count(STANDARD_INPUT) > 1:
        raise QueryError("standard input can be read once: name `-` once")
    return [_reference(name, allow_url=allow_url) for name in names]


def _reference(name: str, *, allow_url: bool) -> str | NamedImage:
    if name == STANDARD_INPUT:
        return NamedImage("standard input", _standard_input())
    if name == CLIPBOARD:
        return NamedImage("clipboard", clipboard_picture())
    scheme = _SCHEME.match(name)
    if scheme and not os.path.lexists(name):
        return _addressed(name, scheme[1].lower(), allow_url=allow_url)
    return _at_path(name)


def _addressed(name: str, scheme: str, *, allow_url: bool) -> str | NamedImage:
    if scheme == "file":
        return _at_path(file_of_url(name))
    if scheme == "http":
        raise QueryError(f"the reference {name}: pictures come over https only")
    if scheme != "https":
        raise QueryError(f"the reference {name}: give a file, `-`, or a file:// or https:// URL")
    if not allow_url:
        raise QueryError(
            f"the reference {name} is on the network, which composir does not use unasked: allow "
            "it for this one search with --allow-url, or download the picture first"
        )
    from composir.data.fetch import FetchError, fetch

    try:
        return NamedImage(name, fetch(name))
    except FetchError as error:
        raise QueryError(f"the reference {name}: {error}") from error


def file_of_url(url: str) -> str:
    """The path of a `file://` URL of this machine."""
    from urllib.parse import unquote_to_bytes, urlsplit

    parts = urlsplit(url)
    if parts.netloc.lower() not in ("", "localhost"):
        raise QueryError(
            f"the reference {url} is on another machine ({parts.netloc}): file:///path has three /"
        )
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise QueryError(f"the reference {url}: in a file:// URL, ? is written %3F and # is %23")
    if os.name == "nt":
        from urllib.request import url2pathname

        return url2pathname(parts.path)
    path = os.fsdecode(unquote_to_bytes(os.fsencode(parts.path)))
    if not path or "\0" in path:
        raise QueryError(f"the reference {url} names no file")
    return path


def _at_path(name: str) -> str | NamedImage:
    if not name:
        raise QueryError("the reference image is an empty path")
    from composir.images.containers import container_of

    path = Path(name)
    try:
        mode = (container_of(name) or path).stat().st_mode
    except FileNotFoundError:
        raise QueryError(f"the reference image {name} does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise QueryError(f"the reference image {name} cannot be read: {reason}") from error
    if stat.S_ISREG(mode):
        return name
    if stat.S_ISFIFO(mode):
        # Named by the user, as `<(…)` does: whoever writes to it is waited for, but not for ever.
        return NamedImage(path.name, _read(name, lambda: path.open("rb")))
    if stat.S_ISCHR(mode) and os.path.realpath(name) == _terminal():
        raise QueryError(_TERMINAL)
    raise QueryError(f"the reference image {name} is not a file")


def _terminal() -> str | None:
    try:
        return os.ttyname(0)
    except (OSError, AttributeError):  # no terminal; no such function on Windows
        return None


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.closed:
        raise QueryError("standard input is closed: there is no picture in it")
    if sys.stdin.isatty():
        raise QueryError(_TERMINAL)
    return _read("on standard input", _unshared_input)


def _unshared_input() -> BinaryIO:
    """Standard input of our own: Python's shutdown would wait for a reader of `sys.stdin`."""
    try:
        descriptor = sys.stdin.fileno()
    except OSError:  # of a test
        return io.BytesIO(sys.stdin.buffer.read(LARGEST_FILE + 1))
    return open(descriptor, "rb", buffering=0, closefd=False)


def _read(name: str, opened: Callable[[], BinaryIO]) -> bytes:
    def work() -> bytes:
        with opened() as stream:
            return read_at_most(stream, LARGEST_FILE)

    try:
        data = within(SECONDS, work)
    except (UnreadableStreamError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise QueryError(f"the reference {name}: {reason}") from error
    if not data:
        raise QueryError(f"the reference {name}: nothing came (0 bytes)")
    return data


def clipboard_picture() -> bytes | Image.Image:
    """What was copied last: a picture, or one picture file copied in a file manager."""
    from PIL import Image, ImageGrab

    try:
        found = within(CLIPBOARD_SECONDS, ImageGrab.grabclipboard)
    except UnreadableStreamError as error:
        raise QueryError(f"the clipboard does not answer; {_SAVE_FIRST}") from error
    except Image.DecompressionBombError as error:
        raise QueryError(f"the picture on the clipboard is too large: {error}") from error
    except (NotImplementedError, OSError, ValueError) as error:
        # On Linux the helpers of the desktop are asked: wl-paste or xclip.
        raise QueryError(f"the clipboard cannot be read: {error}; {_SAVE_FIRST}") from error
    if found is None:
        raise QueryError("there is no picture on the clipboard: copy one first")
    if isinstance(found, list):
        return _only_file(found)
    return found


def _only_file(paths: list[str]) -> bytes:
    if len(paths) != 1:
        raise QueryError(f"there are {len(paths)} files on the clipboard: copy one picture")
    try:
        return read_regular(paths[0], limit=LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or error
        raise QueryError(f"the file on the clipboard, {paths[0]}: {reason}") from error
