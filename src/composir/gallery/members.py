"""Pictures in containers, for an index run: found like files, their metadata brought in after.

What a container holds is noted in `cache/contents`, so that it is looked through once, and opened
no more while it is unchanged. A note ends in `.due` until the metadata are in the gallery too, so
that they come with the next run where one is killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np

from composir.data.excludes import Excludes, RootPatterns
from composir.data.files import open_regular, replaced_atomically
from composir.data.outputs import inside
from composir.data.remote_paths import as_path
from composir.errors import DatasetError
from composir.gallery.known import ContentSet
from composir.gallery.metadata import apply_metadata
from composir.gallery.progress import ProgressMeter
from composir.gallery.remains import CONTENTS_NAME
from composir.gallery.rows import image_id
from composir.gallery.store import Store
from composir.images.containers import Facts, Member, is_container, opened
from composir.images.scan import FoundFile, Inside, ScanNotes
from composir.types import Failure

_FORM = 1  # of a note; another one is not believed
_MOST_LINE = 1 << 16
_ROWS_AT_ONCE = 50_000  # whose metadata are in memory, where no container has more
_SECOND = 10**9


class MemberScan:
    """The containers of one run.

    Attributes:
        faulty: Those that could not be looked through to the end.
    """

    def __init__(
        self, folder: Path, patterns: Excludes, concerns: Callable[[FoundFile], bool]
    ) -> None:
        """Note contents in a gallery's folder; only containers that the run `concerns` are read."""
        self._folder, self._concerns = folder, concerns
        self._patterns = cache(patterns.of_root)
        self._due: dict[Path, FoundFile] = {}
        self.faulty: set[str] = set()

    def unpacked(
        self, found: Iterable[FoundFile | Failure], notes: ScanNotes
    ) -> Iterator[FoundFile | Failure]:
        """What was found, with their pictures in the place of containers that are ours."""
        for one in found:
            if isinstance(one, FoundFile) and is_container(one.path) and self._concerns(one):
                yield from self._pictures(one, notes)
            else:
                yield one

    def expect(self, found: FoundFile) -> None:
        """Say that a picture will be read: if it is in a container, its metadata are due."""
        file = None if found.inside is None else found.inside.file
        if file is not None and file.path not in self._due:
            self._note(file, "jsonl").replace(self._note(file, "due"))
            self._due[file.path] = file

    def _pictures(self, file: FoundFile, notes: ScanNotes) -> Iterator[FoundFile | Failure]:
        patterns, root, before = self._patterns(file.root), str(file.root), f"{file.path}/"
        try:
            for member in self._contents(file):
                if member.fault:  # quoted: it is no address, and may be that of a picture
                    yield Failure(as_path(f"{before}{member.name!r}"), member.fault)
                elif member.kind == "other":
                    notes.count_other(member.name)
                elif member.kind == "picture":
                    if patterns and _is_left_out(before, member.name, patterns, root):
                        notes.thinned.add(root)
                    else:
                        yield _found(file, member)
        except _BrokenError as error:
            self.faulty.add(str(file.path))
            yield Failure(file.path, str(error))

    def _contents(self, file: FoundFile) -> Iterator[Member]:
        """All that a container holds, as noted; what was not noted yet is looked up, and noted."""
        due = self._note(file, "due")
        for place in (self._note(file, "jsonl"), due):
            if _is_of(place, file):
                self._due |= {file.path: file} if place == due else {}
                yield from _noted(place)
                return
        self._due[file.path] = file
        due.parent.mkdir(parents=True, exist_ok=True)
        names = ContentSet(np.empty(0, np.uint64))
        with replaced_atomically(due) as note:
            note.write(_line(_head(file)))
            for member in _looked_up(file):
                told = _told_once(member, names)
                note.write(_line(astuple(told)))
                yield told

    def _note(self, file: FoundFile, ending: str) -> Path:
        return inside(self._folder, f"{CONTENTS_NAME}/{image_id(file.path)}.{ending}")

    def bring_in(self, store: Store, meter: ProgressMeter) -> Iterator[Failure]:
        """Make the metadata of pictures in due containers what these say; tell what is wrong."""
        files: list[FoundFile] = []
        facts: list[Facts] = []
        for file in self._due.values():
            if str(file.path) in self.faulty:
                continue
            told: list[Failure] = []
            try:
                facts += list(self._facts(file, told))
                files.append(file)
            except (OSError, DatasetError, _BrokenError) as error:
                told.append(Failure(file.path, f"its metadata cannot be read: {error}"))
            yield from told
            if len(facts) >= _ROWS_AT_ONCE:
                yield from self._apply(store, files, facts, meter)
                files, facts = [], []
        yield from self._apply(store, files, facts, meter)

    def settle(self, files: Iterable[FoundFile] | None = None) -> None:
        """Say that the metadata of containers, or of all, are in the gallery."""
        for file in self._due.values() if files is None else files:
            due = self._note(file, "due")
            if due.exists():
                due.replace(self._note(file, "jsonl"))

    def _facts(self, file: FoundFile, told: list[Failure]) -> Iterator[Facts]:
        def tell(name: str, reason: str) -> None:
            told.append(Failure(as_path(f"{file.path}/{name}"), reason))

        for name, said in opened(file).facts(self._contents(file), tell):
            yield str(as_path(f"{file.path}/{name}")), said

    def _apply(
        self, store: Store, files: list[FoundFile], facts: Sequence[Facts], meter: ProgressMeter
    ) -> Iterator[Failure]:
        from composir.gallery.sidecar import facts_of

        try:
            if any(said for _, said in facts):
                table = facts_of(files[0].path, facts)
                apply_metadata(store, table, [file.path for file in files], meter)
        except DatasetError as error:
            yield Failure(files[0].path, f"the metadata in it are left out: {error}")
        self.settle(files)


class _BrokenError(Exception):
    """Why a container cannot be looked through; other errors are the gallery's."""


def _looked_up(file: FoundFile) -> Iterator[Member]:
    try:
        yield from opened(file).members()
    except OSError as error:
        raise _BrokenError(error.strerror or str(error)) from error


def forget_contents(folder: Path) -> None:
    """Remove what was noted of containers: names of what is forgotten leave the disk."""
    shutil.rmtree(inside(folder, CONTENTS_NAME), ignore_errors=True)


def _found(file: FoundFile, member: Member) -> FoundFile:
    """A picture; its time is the container's, with digits below a second of its place in there."""
    told = f"{file.size} {file.mtime_ns} {member.begin} {member.size}"
    mark = int.from_bytes(blake2b(told.encode(), digest_size=8).digest(), "big")
    when = file.mtime_ns // _SECOND * _SECOND + mark % _SECOND
    place = as_path(f"{file.path}/{member.name}")
    return FoundFile(place, file.root, member.size, when, Inside(file, member))


def _is_left_out(before: str, name: str, patterns: RootPatterns, root: str) -> bool:
    """Whether a pattern matches a picture, or a folder around it in the container."""
    parts = name.split("/")
    ends = range(1, len(parts) + 1)
    return any(patterns.match(before + "/".join(parts[:end]), root) for end in ends)


def _told_once(member: Member, names: ContentSet) -> Member:
    """The member; of a picture whose name came before, that it did."""
    if member.fault or member.kind != "picture" or names.add(int(image_id(member.name), 16)):
        return member
    why = "a name that came before; the first is taken"
    return Member(f"{member.name} at byte {member.begin}", 0, 0, fault=why)


def _head(file: FoundFile) -> dict[str, object]:
    """What a note begins with; it is believed while that is the same."""
    named = {"path": str(file.path), "named": file.path == file.root}
    return {"form": _FORM, **named, "size": file.size, "mtime_ns": file.mtime_ns}


def _line(said: object) -> bytes:
    return json.dumps(said).encode("ascii") + b"\n"


def _is_of(place: Path, file: FoundFile) -> bool:
    """Whether there is a note of a container as it is now."""
    try:
        with open_regular(place, follow=False) as note:
            return note.readline(_MOST_LINE) == _line(_head(file))
    except OSError:
        return False


def _noted(place: Path) -> Iterator[Member]:
    with open_regular(place, follow=False) as note:
        note.readline(_MOST_LINE)
        while line := note.readline(_MOST_LINE):
            try:
                name, begin, size, kind, fault = json.loads(line)
                member = Member(str(name), int(begin), int(size), kind, str(fault))
            except (ValueError, TypeError, RecursionError) as error:
                place.unlink(missing_ok=True)
                raise _BrokenError("its note in cache/contents is damaged: run again") from error
            yield member
