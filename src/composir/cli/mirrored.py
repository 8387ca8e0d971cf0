"""What `--gallery` names, as a folder to work in: itself, or the copy of one in an object store."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composir.cli.paths import default_gallery
from composir.cli.terminal import note, printable
from composir.data.remote_paths import RemotePath, is_remote
from composir.errors import GalleryNotFoundError

if TYPE_CHECKING:
    from composir.gallery.progress import IndexProgress, Stage
    from composir.gallery.shards import Shard
    from composir.model.base import EmbeddingModel
    from composir.scale.mirror import Told
    from composir.scale.mirror.copy import Copy

Show = Callable[["IndexProgress"], None]


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where a command works.

    Attributes:
        folder: The gallery, or this machine's copy of it.
        copy: Of one in a store, what publishes it; None for a folder of its own.
    """

    folder: Path
    copy: Copy | None = None

    def publishing(self, show: Show) -> Show:
        """Progress that publishes what is done every minute, where it is to be published."""
        copy = self.copy
        if copy is None:
            return show

        def shown(progress: IndexProgress) -> None:
            show(progress)
            if progress.stage == "encoding":
                copy.publish_if_due()

        return shown


def gallery_folder(gallery: Path | None, *, new: bool = False) -> Path:
    """The gallery to look at: as named, else the default one; of a store, the copy, fetched.

    Args:
        gallery: What was named, if anything.
        new: Whether it may be missing in its store.
    """
    place = gallery or default_gallery()
    if not is_remote(place):
        return place
    from composir.scale.mirror import fetched

    folder = fetched(RemotePath(place), _told())
    return folder if new else _published(folder, place)


def _published(folder: Path, address: Path) -> Path:
    from composir.gallery.manifest import is_gallery

    if not is_gallery(folder):
        raise GalleryNotFoundError(
            f"no gallery is published at {address}; make one: composir index FOLDER --gallery "
            f"{shlex.quote(str(address))}"
        )
    return folder


@contextmanager
def changed_gallery(place: Path, *, new: bool = False, purge: bool = False) -> Iterator[Workplace]:
    """The gallery to change; one of a store is fetched before and published after.

    Args:
        place: Its folder or address.
        new: Whether it may be missing in its store.
        purge: Whether what is dropped leaves the store at once.
    """
    if not is_remote(place):
        yield Workplace(place)
        return
    from composir.scale.mirror import changed

    with changed(RemotePath(place), _told(), purge=purge) as copy:
        _ = new or _published(copy.folder, place)
        yield Workplace(copy.folder, copy)


@contextmanager
def merged_gallery(place: Path) -> Iterator[Workplace]:
    """The gallery to merge shards into; of a store, they are fetched too."""
    if not is_remote(place):
        yield Workplace(place)
        return
    from composir.scale.mirror import merged

    with merged(RemotePath(place), _told()) as copy:
        _published(copy.folder, place)
        yield Workplace(copy.folder, copy)


@contextmanager
def shard_workplace(place: Path, shard: Shard, model: EmbeddingModel) -> Iterator[Workplace]:
    """The gallery to encode a shard beside; of a store, the shard alone is published."""
    if not is_remote(place):
        yield Workplace(place)
        return
    from composir.gallery.origin import identity_of
    from composir.scale.mirror import changed_shard

    bundle = identity_of(model)
    with changed_shard(RemotePath(place), shard, bundle, _told()) as (folder, copy):
        yield Workplace(folder, copy)


def _told() -> Told:
    """Lines on stderr: a run's own bar may be there beside."""
    from composir.cli.progress import PlainLines
    from composir.gallery.progress import IndexProgress
    from composir.scale.mirror import Told

    lines = PlainLines()

    def report(stage: Stage, done: int, total: int) -> None:
        lines(IndexProgress(stage, done, total, 0, 0.0, None, None))

    return Told(report, lambda remark: note(printable(remark)))
