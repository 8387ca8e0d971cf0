"""The picture on the clipboard, where the system has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composir.data.files import read_regular
from composir.data.streams import UnreadableStreamError, within
from composir.errors import QueryError
from composir.references import LARGEST_FILE

if TYPE_CHECKING:
    from PIL import Image

SECONDS = 10.0
_WAY_OUT = "save the picture to a file and name that"


def clipboard_picture() -> bytes | Image.Image:
    """What was copied last: a picture, or one picture file copied in a file manager."""
    from PIL import Image, ImageGrab

    try:
        found = within(SECONDS, ImageGrab.grabclipboard)
    except UnreadableStreamError as error:
        raise QueryError(f"the clipboard does not answer; {_WAY_OUT}") from error
    except Image.DecompressionBombError as error:
        raise QueryError(f"the picture on the clipboard is too large: {error}") from error
    except (NotImplementedError, OSError, ValueError) as error:
        # On Linux the helpers of the desktop are asked: wl-paste or xclip.
        raise QueryError(f"the clipboard cannot be read: {error}; {_WAY_OUT}") from error
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
