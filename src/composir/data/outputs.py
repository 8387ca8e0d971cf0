"""Whether a path may be written: the one place that decides, for every verb, before work begins.

A file that composir writes for people has the ending of its kind and a mark by which it is known
again. What lies at its place is replaced if it carries that mark; anything else is refused, and so
are links, pipes, devices and sockets. Missing parents are made. What a folder of composir's own
leads to by links may be anybody's, so nothing in one is written through them.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from composir.data.files import (
    TEMPORARY_PREFIX,
    UnfitFileError,
    open_regular,
    replaced_atomically,
)
from composir.errors import ComposirError, OutputError

_HEAD_BYTES = 1 << 12
_OTHER_NAME = "choose another name, or delete it first"
_OTHER_PLACE = "choose another place"


@dataclass(frozen=True, slots=True)
class OutputKind:
    """A kind of file that composir writes for people to keep.

    Attributes:
        name: With its article, e.g. `a page`.
        endings: In lower case with the dot; the first is proposed where another was given.
        marks: Regular expressions; the begin of every file that composir has written matches one.
    """

    name: str
    endings: tuple[str, ...]
    marks: tuple[bytes, ...]

    def has_written(self, path: Path) -> bool:
        """Whether an existing file is of this kind; an empty one holds nothing to lose."""
        with open_regular(path, follow=False) as file:
            head = file.read(_HEAD_BYTES)
        return not head or any(re.match(mark, head) for mark in self.marks)


GENERATOR = '<meta name="generator" content="composir">'
PAGE = OutputKind(
    "a page",
    (".html", ".htm"),
    (
        rb'<!doctype html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*'
        + re.escape(GENERATOR.encode()),
        # Pages of versions that did not sign yet: contact sheets and explanations, then bench's.
        rb'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        rb'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        rb'<meta name="color-scheme" content="light dark">\n'
        rb"<meta http-equiv=\"Content-Security-Policy\"\n content=\"default-src 'none'; ",
        rb'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        rb'content="width=device-width,initial-scale=1"><title>composir bench: ',
    ),
)


def check_file(path: Path, kind: OutputKind, option: str = "") -> None:
    """Refuse a file that may not be written, before anything is computed for it."""
    _refuse(option, path, _system_told(lambda: _why_not(path, kind)))


def check_folder(path: Path, option: str = "") -> None:
    """Refuse a folder that no files can be written into; it and its parents may be missing."""
    _refuse(option, path, _system_told(lambda: _why_no_folder(path)))


def check_own_folder(path: Path, marks: Collection[str], option: str = "") -> None:
    """Refuse a folder that is to be composir's own, unless it is new, empty, or so already."""
    check_folder(path, option)
    if not path.is_dir():
        return
    names = sorted(name for name in os.listdir(path) if not name.startswith(TEMPORARY_PREFIX))  # noqa: PTH208 - names alone
    if names and not any(mark in names for mark in marks):
        _refuse(option, path, f"holds something else ({names[0]}); name a new or empty folder")
    refuse_links(path)


def write_file(path: Path, content: str | bytes, kind: OutputKind, option: str = "") -> Path:
    """Write a file in one go: a reader sees the old one or the new one, never half."""
    path = path.expanduser().absolute()
    check_file(path, kind, option)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        # `mkdir` says "File exists" of a file in the way; the path tells which one.
        place = error.filename or path
        problem = f"cannot be written ({place}: {error.strerror or error})"
        raise _refusal(option, path, f"{problem}; {_OTHER_PLACE}") from error
    return path


def inside(folder: Path, name: str) -> Path:
    """A place in a folder of composir's own, to write there."""
    place = folder
    for part in PurePath(name).parts:
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            break
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise OutputError(_not_followed(place, mode))
    return folder / name


def write_inside(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file of a folder of composir's own in one go."""
    place = inside(folder, name)
    with replaced_atomically(place) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)
    return place


def open_inside(folder: Path, name: str, flags: int) -> int:
    """Open a file of a folder of composir's own; made if missing, for whom the umask says."""
    place = inside(folder, name)
    return os.open(place, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


def refuse_links(folder: Path) -> None:
    """Refuse a folder of composir's own in which there are links, pipes, devices or sockets.

    One that came from elsewhere, in an archive, could otherwise have any file written.
    """
    for parent, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            with suppress(FileNotFoundError):  # another process tidies up meanwhile
                inside(Path(parent), name)


@contextmanager
def withdrawn_if_refused(
    folder: Path,
    names: Collection[str],
    is_blank: Callable[[], bool] = lambda: True,
    beside: Collection[str] = (),
) -> Iterator[None]:
    """Leave no new folder behind where a command is refused that was to fill it.

    Args:
        folder: The folder.
        names: What the command makes in there.
        is_blank: Whether nothing of worth is in what was made.
        beside: What may lie in a folder that is new all the same.
    """
    missing = [place for place in (folder, *folder.parents) if not os.path.lexists(place)]
    was_free = bool(missing) or (folder.is_dir() and _holds_only(folder, beside))
    try:
        yield
    except ComposirError:
        with suppress(OSError, ComposirError):  # the first error is the one to tell
            if was_free and folder.is_dir() and _holds_only(folder, names) and is_blank():
                _remove(folder, missing)
        raise


def _holds_only(folder: Path, names: Collection[str]) -> bool:
    return all(
        path.name in names or path.name.startswith(TEMPORARY_PREFIX) for path in folder.iterdir()
    )


def _remove(folder: Path, made: Collection[Path]) -> None:
    import shutil

    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for place in made:
        place.rmdir()


def _refuse(option: str, path: Path, problem: str | None) -> None:
    if problem:
        raise _refusal(option, path, problem)


def _refusal(option: str, path: Path, problem: str) -> OutputError:
    return OutputError(f"{option or 'cannot write'} {path}: {problem}")


def _system_told(look: Callable[[], str | None]) -> str | None:
    try:
        return look()
    except UnfitFileError as error:
        return f"{error.strerror}; {_OTHER_NAME}"
    except OSError as error:  # e.g. a name that is too long
        return f"{error.strerror or error}; {_OTHER_PLACE}"


def _why_not(path: Path, kind: OutputKind) -> str | None:
    return _why_no_file(path) or _wrong_ending(path, kind) or _what_would_be_lost(path, kind)


def _wrong_ending(path: Path, kind: OutputKind) -> str | None:
    if path.suffix.lower() in kind.endings:
        return None
    wanted = " or ".join(kind.endings)
    return f"{kind.name} ends in {wanted}; name it e.g. {path.stem or 'output'}{kind.endings[0]}"


def _why_no_file(path: Path) -> str | None:
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return _why_not_into(path.parent)
    if stat.S_ISDIR(mode):
        return f"is a folder, but a file is to be written; {_OTHER_PLACE}"
    if not stat.S_ISREG(mode):
        return f"is {_special(mode)}, which is left alone; {_OTHER_NAME}"
    if not os.access(path, os.W_OK):
        return f"may not be written; {_OTHER_PLACE}"
    return None


def _what_would_be_lost(path: Path, kind: OutputKind) -> str | None:
    if not path.exists() or kind.has_written(path):
        return None
    return f"is there already and is not {kind.name} of composir's; {_OTHER_NAME}"


def _why_no_folder(path: Path) -> str | None:
    if os.path.lexists(path) and not path.is_dir():
        return f"is a file, but a folder is needed; {_OTHER_PLACE}"
    return _why_not_into(path)


def _why_not_into(folder: Path) -> str | None:
    """The folder itself may be missing; then the nearest one above it has to take it."""
    above = folder
    while not os.path.lexists(above) and above != above.parent:
        above = above.parent
    if not above.is_dir():
        return f"{above} is no folder; {_OTHER_PLACE}"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{above} may not be written into; {_OTHER_PLACE}"
    return None


def _not_followed(place: Path, mode: int) -> str:
    return (
        f"{place}: is {_special(mode)}, and composir writes through none in its own folders; "
        "put there what it leads to, or delete it"
    )


def _special(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a link"
    return "a pipe" if stat.S_ISFIFO(mode) else "a device or socket"
