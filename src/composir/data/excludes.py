"""Patterns of what an index run leaves out: how they are typed, compared and remembered.

A pattern without `/` is compared with the name of every file and folder (`*.gif`, `trash`). One
with `/` names a place: from the root (`2020/raw/*`, `/raw`), from the current folder (`./raw`,
`photos/raw`), or from the top of the disk (`/home/me/photos/raw`). `*` matches `/` too.

Remembered are names as they are, and places from the root with a `/` before them, so that they mean
the same whatever the current folder is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from posixpath import normpath

from composir.data.volumes import lies_below
from composir.errors import GalleryError


@dataclass(slots=True)
class _Pattern:
    """One form of a pattern.

    Attributes:
        form: A name, or a place from `base` with a `/` before it.
        base: The root that it belongs to.
        typed: As it was given to this run; None where it was remembered.
        used: Whether anything matched.
    """

    form: str
    base: str
    typed: str | None
    used: bool = False


class Excludes:
    """The patterns of one run, those given now and those remembered."""

    def __init__(
        self,
        roots: Sequence[Path],
        typed: Sequence[str] = (),
        remembered: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Take the patterns."""
        self._roots = [str(root) for root in roots]
        self._patterns = [
            _Pattern(form, base, None)
            for base, patterns in (remembered or {}).items()
            if any(lies_below(root, base) for root in self._roots)
            for form in patterns
        ]
        self._patterns += [
            _Pattern(form, root, text)
            for root in self._roots
            for text in dict.fromkeys(typed)
            for form in forms(text, root)
        ]
        self._typed = tuple(dict.fromkeys(typed))

    def of_root(self, root: Path) -> RootPatterns:
        """The patterns that hold below a root."""
        text = str(root)
        return RootPatterns(
            text,
            [
                one
                for one in self._patterns
                if one.base == text or (one.typed is None and lies_below(text, one.base))
            ],
        )

    def unmatched(self) -> tuple[str, ...]:
        """Patterns given to this run that nothing matched, as they were typed."""
        used = {one.typed for one in self._patterns if one.used}
        return tuple(text for text in self._typed if text not in used)

    def in_force(self, root: Path) -> tuple[str, ...]:
        """The patterns that hold below a root, as they were typed or remembered."""
        held = [
            one
            for one in self._patterns
            if one.base == str(root) or (one.typed is None and lies_below(str(root), one.base))
        ]
        return tuple(dict.fromkeys(one.typed or one.form for one in held))

    def to_remember(self, root: Path) -> tuple[str, ...]:
        """What the next run over a root shall leave out too."""
        own = [one for one in self._patterns if one.base == str(root)]
        kept = {one.form: None for one in own if one.typed is None}
        for text in self._typed:
            mine = [one for one in own if one.typed == text]
            matched = [one.form for one in mine if one.used]
            if not matched and mine and self._may_match_later(mine[0]):
                matched = [mine[0].form]
            kept |= dict.fromkeys(matched)
        return tuple(kept)

    def _may_match_later(self, pattern: _Pattern) -> bool:
        """Whether what matched nothing is meant for this root all the same."""
        if "/" not in pattern.form:
            return True
        text = pattern.typed or ""
        is_elsewhere = any(one.used for one in self._patterns if one.typed == text)
        return not is_elsewhere and not os.path.isabs(text)  # noqa: PTH117


class RootPatterns:
    """The patterns that hold below one root."""

    def __init__(self, root: str, patterns: list[_Pattern]) -> None:
        """Compile them."""
        self._names = [one for one in patterns if "/" not in one.form]
        # Places are compared with the path from the pattern's own root, which may lie above.
        self._places = [(one, _offset(root, one.base)) for one in patterns if "/" in one.form]
        self._any_name = _any_of(one.form for one in self._names)
        self._any_place = {
            offset: _any_of(one.form for one, other in self._places if other == offset)
            for offset in {offset for _, offset in self._places}
        }

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._names or self._places)

    def match(self, path: str, root: str) -> bool:
        """Whether a file or folder is left out."""
        name = os.path.basename(path)  # noqa: PTH119 - there may be millions
        if self._any_name is not None and self._any_name.match(name):
            _mark((one for one in self._names), name)
            return True
        if not self._any_place:
            return False
        inside = path[len(root.rstrip(os.sep)) :].replace(os.sep, "/")
        is_matched = False
        for offset, pattern in self._any_place.items():
            if pattern is not None and pattern.match(offset + inside):
                _mark((one for one, other in self._places if other == offset), offset + inside)
                is_matched = True
        return is_matched


def forms(text: str, root: str) -> tuple[str, ...]:
    """What a typed pattern may mean below a root.

    Returns:
        Names as they are; places from the root, with a `/` before them, the most literal reading
        first. None where it names a place elsewhere.
    """
    plain = text.strip().replace(os.sep, "/")
    if not plain.strip("/"):
        raise GalleryError(
            f"an exclude pattern is empty: {text!r}; to take in again what earlier patterns leave "
            "out, use --no-exclude"
        )
    if "/" not in plain.rstrip("/"):
        return (plain.rstrip("/"),)
    from_disk, from_root = _from_disk(plain, root), _from_root(plain)
    if from_disk and plain.startswith((".", "~", "/")):  # said so: no other reading
        return (from_disk,)
    return tuple(dict.fromkeys(form for form in (from_disk, from_root) if form))


def _from_disk(text: str, root: str) -> str | None:
    """A place given from the top of the disk, from home or from the current folder."""
    whole = os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111
    for spelled in dict.fromkeys((root, os.path.realpath(root))):
        if whole != spelled and lies_below(whole, spelled):
            return "/" + whole[len(spelled.rstrip(os.sep)) + 1 :].replace(os.sep, "/")
    return None


def _from_root(text: str) -> str | None:
    relative = normpath(text.lstrip("/"))
    return None if relative.startswith("..") or relative == "." else "/" + relative


def _offset(root: str, base: str) -> str:
    """The path from `base` to a root inside it, with a `/` before it; empty for the same."""
    return root[len(base.rstrip(os.sep)) :].replace(os.sep, "/") if root != base else ""


def _mark(patterns: Iterable[_Pattern], text: str) -> None:
    for one in patterns:
        if not one.used and re.match(translate(one.form), text):
            one.used = True


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(translate(pattern) for pattern in patterns)
    return re.compile(joined) if joined else None
