"""Pictures in containers, for an index run: found like files, and their metadata brought in after.

What a container holds is noted in `cache/contents`, so that it is looked through once, and opened
no more while it is unchanged. A `.due` beside the note says that its metadata are to be brought in:
it is there before the first row is, and goes when all is done, whenever a run is killed.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from composir.data.excludes import Excludes, RootPatterns
from composir.data.files import open_regular, replaced_atomically
from composir.data.outputs import inside, write_inside
from composir.data.remote_paths import as_path
from composir.data.tables import MOST_CELLS
from composir.data.untrusted_json import decode_json
from composir.errors import DatasetError
from composir.gallery.known import ContentSet
from composir.gallery.metadata import apply_metadata
from composir.gallery.progress import ProgressMeter
from composir.gallery.remains import CACHE_NAME
from composir.gallery.rows import image_id
from composir.gallery.store import Store
from composir.images.containers import Member, is_container, opened
from composir.images.scan import FoundFile, Inside, ScanNotes
from composir.types import Failure

_CONTENTS = f"{CACHE_NAME}/contents"
_FORM = 1  # of a note; another one is not believed
_MOST_LINE = 1 << 16
_ROWS_AT_ONCE = 50_000  # whose metadata are in memory, where no container has more
_SECOND = 10**9
_TWICE = "a name that came before; the first is taken"


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
        """Say that a picture will be read: if it is in a container, that is due."""
        if found.inside is not None and found.inside.file.path not in self._due:
            self._set_due(found.inside.file)

    def _pictures(self, file: FoundFile, notes: ScanNotes) -> Iterator[FoundFile | Failure]:
        patterns, root, before = self._patterns(file.root), str(file.root), f"{file.path}/"
        try:
            for member in self._contents(file):
                if member.fault:
                    # Quoted: it is no address, and may be that of a picture.
                    yield Failure(as_path(f"{before}{member.name!r}"), member.fault)
                elif member.kind == "other":
                    notes.count_other(member.name)
                elif member.kind == "picture":
                    if _is_left_out(before, member.name, patterns, root):
                        notes.thinned.add(root)
                    else:
                        yield _found(file, member)
        except OSError as error:
            self.faulty.add(str(file.path))
            yield Failure(file.path, error.strerror or str(error))

    def _contents(self, file: FoundFile) -> Iterator[Member]:
        """All that a container holds, as noted; what was not noted yet is looked up, and noted."""
        place = self._note(file, "jsonl")
        if (place.parent / f"{place.stem}.due").exists():
            self._due[file.path] = file
        if _is_of(place, file):
            yield from _noted(place)
            return
        self._set_due(file)
        seen = ContentSet(np.empty(0, np.uint64))
        with replaced_atomically(place) as note:
            note.write(_line(_head(file)))
            for member in opened(file).members():
                told = _told_once(member, seen)
                note.write(_line(astuple(told)))
                yield told

    def _set_due(self, file: FoundFile) -> None:
        self._note(file, "due").parent.mkdir(parents=True, exist_ok=True)
        write_inside(self._folder, f"{_CONTENTS}/{image_id(file.path)}.due", b"")
        self._due[file.path] = file

    def _note(self, file: FoundFile, ending: str) -> Path:
        return inside(self._folder, f"{_CONTENTS}/{image_id(file.path)}.{ending}")

    def bring_in(self, store: Store, meter: ProgressMeter) -> Iterator[Failure]:
        """Make the metadata of pictures in due containers what these say; tell what is wrong."""
        waiting: list[FoundFile] = []
        facts: list[tuple[str, dict[str, object]]] = []
        for file in self._due.values():
            if str(file.path) in self.faulty:
                continue
            told: list[Failure] = []
            facts += self._facts(file, told)
            yield from told
            waiting.append(file)
            if len(facts) >= _ROWS_AT_ONCE:
                yield from self._apply(store, waiting, facts, meter)
                waiting, facts = [], []
        yield from self._apply(store, waiting, facts, meter)

    def settle(self) -> None:
        """Say that metadata have come from elsewhere, and nothing is due."""
        for file in self._due.values():
            self._note(file, "due").unlink(missing_ok=True)

    def _facts(self, file: FoundFile, told: list[Failure]) -> Iterator[tuple[str, dict[str, Any]]]:
        def tell(name: str, reason: str) -> None:
            told.append(Failure(as_path(f"{file.path}/{name}"), reason))

        for name, said in opened(file).facts(self._contents(file), tell):
            yield str(as_path(f"{file.path}/{name}")), said

    def _apply(
        self,
        store: Store,
        files: list[FoundFile],
        facts: list[tuple[str, dict[str, object]]],
        meter: ProgressMeter,
    ) -> Iterator[Failure]:
        from composir.gallery.sidecar import facts_of

        names = dict.fromkeys(name for _, said in facts for name in said)
        is_flood = len(names) * len(facts) > MOST_CELLS
        columns = {} if is_flood else {n: [said.get(n) for _, said in facts] for n in names}
        why = f"{len(names):,} columns for {len(facts):,} pictures" if is_flood else ""
        try:
            if columns:
                table = facts_of(files[0].path, [address for address, _ in facts], columns)
                apply_metadata(store, table, [file.path for file in files], meter)
        except DatasetError as error:
            why = str(error)
        if why:
            yield Failure(files[0].path, f"the metadata in it are left out: {why}")
        for file in files:
            self._note(file, "due").unlink(missing_ok=True)


def forget_contents(folder: Path) -> None:
    """Remove what was noted of containers: names of what is forgotten leave the disk."""
    shutil.rmtree(inside(folder, _CONTENTS), ignore_errors=True)


def _found(file: FoundFile, member: Member) -> FoundFile:
    """A picture; its time is the container's, with digits below a second of its place in there."""
    told = f"{file.size} {file.mtime_ns} {member.begin} {member.size}"
    digest = blake2b(told.encode(), digest_size=8).digest()
    mark = int.from_bytes(digest, "big") % _SECOND
    when = file.mtime_ns // _SECOND * _SECOND + mark
    place = as_path(f"{file.path}/{member.name}")
    return FoundFile(place, file.root, member.size, when, Inside(file, member))


def _is_left_out(before: str, name: str, patterns: RootPatterns, root: str) -> bool:
    """Whether a pattern matches a picture, or a folder around it in the container."""
    parts = name.split("/")
    ends = range(1, len(parts) + 1)
    return any(patterns.match(before + "/".join(parts[:end]), root) for end in ends)


def _told_once(member: Member, seen: ContentSet) -> Member:
    """The member; of a picture's name that came before, why it is left out."""
    if member.fault or member.kind != "picture" or seen.add(int(image_id(member.name), 16)):
        return member
    return Member(f"{member.name} at byte {member.begin}", 0, 0, fault=_TWICE)


def _head(file: FoundFile) -> dict[str, object]:
    """What a note begins with; it is believed while that is the same."""
    told = {"size": file.size, "mtime_ns": file.mtime_ns}
    return {"form": _FORM, "path": str(file.path), **told}


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
                name, begin, size, kind, fault = decode_json(line.decode("ascii"))
                member = Member(str(name), int(begin), int(size), kind, str(fault))
            except (ValueError, TypeError) as error:
                place.unlink(missing_ok=True)
                why = "what cache/contents says of it is damaged: run it again"
                raise OSError(errno.EIO, why) from error
            yield member
