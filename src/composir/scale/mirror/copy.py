"""A gallery, or one shard of it, in an object store, and this machine's copy of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from composir.data.file_lock import try_lock
from composir.data.object_store import names_below
from composir.data.object_writes import AT_ONCE, delete, download, upload
from composir.data.outputs import inside, refuse_links, write_inside
from composir.data.remote_paths import RemotePath
from composir.errors import ComposirError, GalleryBusyError, GalleryError, ObjectStoreError
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.mirror_note import MIRROR_NOTE, MirrorNote, mirror_note
from composir.gallery.progress import Stage
from composir.scale.mirror.local_files import in_order, published_files, remove_others
from composir.scale.mirror.published import (
    PUBLISHED_NAME,
    Published,
    PublishedFile,
    is_of_a_gallery,
    read_published,
)
from composir.scale.mirror.writer_mark import marked

SECONDS_BETWEEN_EDITIONS = 60.0
"""While a run writes; what came after the last of them dies with its machine."""
_WORK_BETWEEN = 9.0
"""Times what an edition takes, where that is much: files that grow are sent whole each time."""
_ATTEMPTS = 5
_SECONDS_A_LOOK = 0.2


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears what.

    Attributes:
        report: The stage, and how many files of how many are transferred.
        remark: What people should know.
    """

    report: Callable[[Stage, int, int], None] = lambda _stage, _done, _all: None
    remark: Callable[[str], None] = lambda _text: None


class Copy:
    """One of them.

    Attributes:
        address: In the store.
        folder: On this machine.
    """

    def __init__(
        self,
        address: RemotePath,
        folder: Path,
        sign: str,
        told: Told,
        *,
        transient: bool = False,
    ) -> None:
        """Name both; nothing is asked.

        Args:
            address: In the store.
            folder: On this machine; made when something is fetched.
            sign: The file without which there is nothing to publish.
            told: Who hears of it.
            transient: Whether it leaves the store as soon as the folder has not that file.
        """
        self.address, self.folder = address, folder
        self._sign, self._told, self._transient = sign, told, transient
        self._base: Published | None = None
        self._coming = ""
        self._next_edition = 0.0

    def fetch(self) -> None:
        """Bring the folder up to date, unless a run of this machine is changing it.

        Raises:
            ObjectStoreError: If the store does not answer.
            GalleryError: If what is there is damaged.
        """
        while (lock := self._try_lock()) is None:
            if self._is_changing():  # what it has is newer than what is published
                return
            time.sleep(_SECONDS_A_LOOK)
        try:
            if self._is_changing():
                self._told.remark(
                    f"an earlier run here was stopped before all was published to {self.address}: "
                    "this machine's copy is used as it is; the same command as then goes on"
                )
            else:
                self._bring(read_published(self.address))
        finally:
            os.close(lock)

    @contextmanager
    def changing(self, *, purge: bool = False, half_done: bool = True) -> Iterator[None]:
        """Hold the gallery, bring the folder up to date, and publish what was done to it.

        What an earlier run of this machine did not get published is gone on with.

        Args:
            purge: Whether what is dropped leaves the store at once, and not with the next edition,
                and so does what runs that were killed have left there: who is fetching the one
                before then has to begin again.
            half_done: Whether a run that ends with an error, or is interrupted, publishes what it
                has done. Else the store stays as it is, and the next run here goes on.

        Raises:
            GalleryBusyError: If something else, here or elsewhere, is changing it.
            ObjectStoreError: If the store does not answer, or nothing may be written there.
            GalleryError: If another machine has published meanwhile.
        """
        lock = self._try_lock()
        if lock is None:
            raise GalleryBusyError(
                f"{self.address} is being changed or fetched by another process of this machine; "
                "wait until it has finished, or stop it. Searching goes on meanwhile"
            )
        try:
            with marked(self.address, self.folder):
                self._prepare()
                yield from self._published_after(purge, half_done)
        finally:
            os.close(lock)

    def _published_after(self, purge: bool, half_done: bool) -> Iterator[None]:
        try:
            yield
        except BaseException:
            if half_done:
                self._try_to_finish(purge)
            elif self._is_as_published():
                self._settle()
            raise
        self._finish(purge)

    def _try_to_finish(self, purge: bool) -> None:
        try:
            self._finish(purge)
        except ComposirError as error:
            self._told.remark(f"not published: {error}")

    def _finish(self, purge: bool) -> None:
        if self._transient and self._base is not None and not self._has_sign():
            self._withdraw()
            return
        self.publish()
        if purge:
            self._sweep(set() if self._base is None else self._base.objects)
        self._settle()

    def _is_as_published(self) -> bool:
        if self._base is None or not self._has_sign():
            return self._base is None and not self._has_sign()
        return set(published_files(self.folder)) == set(self._base.files)

    def _has_sign(self) -> bool:
        return (self.folder / self._sign).is_file()

    def _prepare(self) -> None:
        published, note = read_published(self.address), mirror_note(self.folder)
        if note is None or not note.changing:
            self._bring(published)
        elif published is not None and published.edition not in {note.edition, note.coming}:
            raise GalleryError(
                f"another machine has changed {self.address} since a run of this one was stopped "
                f"before it had published. What it had done stays in {self.folder}; move that "
                "folder away to go on with what is published"
            )
        self._base = published
        self._next_edition = time.monotonic() + SECONDS_BETWEEN_EDITIONS
        self._note(changing=True)

    def _settle(self) -> None:
        if self._base is None:  # nothing was made, so there is nothing to be a copy of
            (self.folder / MIRROR_NOTE).unlink(missing_ok=True)
        else:
            self._note(changing=False)

    def _note(self, *, changing: bool) -> None:
        edition = "" if self._base is None else self._base.edition
        self.folder.mkdir(parents=True, exist_ok=True)
        MirrorNote(str(self.address), edition, changing, self._coming).write(self.folder)

    def _is_changing(self) -> bool:
        note = mirror_note(self.folder)
        return note is not None and note.changing

    def _try_lock(self) -> int | None:
        """A handle that holds the folder until it is closed; None if another process does."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        path = inside(self.folder.parent, f"{self.folder.name}.lock")
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        if try_lock(handle):
            return handle
        os.close(handle)
        return None

    def _bring(self, published: Published | None) -> None:
        """Make the folder hold an edition; nothing where there is none."""
        note = mirror_note(self.folder)
        if (note.edition if note else "") == (published.edition if published else ""):
            return
        refuse_links(self.folder)
        with clear_disk_errors(self.folder, writing=True):
            for _ in range(_ATTEMPTS):
                if published is None or self._fetch(published):
                    remove_others(self.folder, published.files if published else ())
                    self._base = published
                    self._settle()
                    return
                published = read_published(self.address)  # a newer one came meanwhile
        raise GalleryError(
            f"files of the gallery {self.address} are missing in the store, or of another size "
            "than was published; if nothing is writing there, publish it again from a machine "
            "that has it"
        )

    def _fetch(self, published: Published) -> bool:
        """Fetch what the folder lacks; False where some of it is no longer there."""
        wanted = [file for file in published.files if not file.is_at(self.folder)]
        done = 0
        for step in in_order(wanted):
            with ThreadPoolExecutor(AT_ONCE) as threads:
                for came in threads.map(self._fetch_file, step):
                    if not came:
                        return False
                    done += 1
                    self._told.report("fetching", done, len(wanted))
        return True

    def _fetch_file(self, file: PublishedFile) -> bool:
        inside(self.folder, file.path)
        if file.text is None:
            address = RemotePath(self.address / file.object)
            return download(address, self.folder / file.path, file.size)
        (self.folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        write_inside(self.folder, file.path, file.text)
        return True

    def publish_if_due(self) -> None:
        """As `publish`, while a run writes, and not more often than is worth it."""
        begun = time.monotonic()
        if begun < self._next_edition:
            return
        try:
            self.publish(still_written=True)
        except ObjectStoreError as error:  # it may answer again when the run is done
            self._told.remark(f"not published yet: {error}")
        done = time.monotonic()
        pause = max(SECONDS_BETWEEN_EDITIONS, _WORK_BETWEEN * (done - begun))
        self._next_edition = done + pause

    def publish(self, *, still_written: bool = False) -> None:
        """Make what the folder holds the newest edition, unless it is; within `changing`.

        Args:
            still_written: Whether a run is writing in the folder.

        Raises:
            GalleryError: If another machine has published meanwhile, or, though no run is writing,
                somebody has changed the folder.
            ObjectStoreError: If the store does not answer.
        """
        if not self._has_sign():
            return
        files = published_files(self.folder, still_written=still_written)
        if self._base is not None and set(files) == set(self._base.files):
            return
        self._check_nobody_else()
        base = self._base or Published("", ())
        there = set(base.files)
        new = [file for file in files if file.text is None and file not in there]
        self._upload(new)
        if not all(file.is_at(self.folder) for file in new):
            if still_written:
                return  # the next edition will be whole
            raise GalleryError(
                f"files in {self.folder} were changed while they were published to {self.address}, "
                "which is as it was before; the same command goes on"
            )
        dropped = base.objects - {file.object for file in files}
        made = Published(uuid4().hex, files, tuple(sorted(dropped)))
        self._announce(made)
        self._remove(set(base.dropped) - made.objects)

    def _announce(self, made: Published) -> None:
        """Write the record; who is killed, or hears no answer, knows it again by its name."""
        self._coming = made.edition
        self._note(changing=True)
        made.write(self.address)
        self._base, self._coming = made, ""
        self._note(changing=True)

    def _withdraw(self) -> None:
        delete([RemotePath(self.address / PUBLISHED_NAME)])
        self._sweep(set())

    def _sweep(self, needed: set[str]) -> None:
        """Remove all else, also what runs that were killed have sent and no edition has named."""
        base = self._base or Published("", ())
        there = set(filter(is_of_a_gallery, names_below(self.address)))
        self._remove((there | base.objects | set(base.dropped)) - needed)

    def _remove(self, objects: set[str]) -> None:
        delete(RemotePath(self.address / name) for name in sorted(objects))

    def _check_nobody_else(self) -> None:
        found = read_published(self.address)
        if found is not None and found.edition == self._coming:  # written, though not answered
            self._base = found
        if (found.edition if found else "") != (self._base.edition if self._base else ""):
            raise GalleryError(
                f"another machine has published {self.address} meanwhile, although this one holds "
                f"it; nothing there was changed, and what was done here stays in {self.folder}"
            )

    def _upload(self, files: Sequence[PublishedFile]) -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for done, _ in enumerate(threads.map(self._upload_file, files), start=1):
                self._told.report("publishing", done, len(files))

    def _upload_file(self, file: PublishedFile) -> None:
        upload(self.folder / file.path, RemotePath(self.address / file.object))
