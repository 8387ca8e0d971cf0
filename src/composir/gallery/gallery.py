"""The gallery: one folder with the vectors, thumbnails and metadata of all indexed images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from composir.compose.base import Composer
from composir.data.files import absolute
from composir.data.places import GALLERY_MANIFEST
from composir.data.remote_paths import is_remote, root_path
from composir.errors import GalleryError, QueryError
from composir.gallery.contents import GalleryContents
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.failures import FAILURES_NAME
from composir.gallery.manifest import TABLE_NAME, read_manifest
from composir.gallery.mirror_note import MIRROR_NOTE
from composir.gallery.origin import identity_of
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.remains import CACHE_NAME, forget_others
from composir.gallery.store import Store
from composir.gallery.upkeep import LOCK_NAME, index_lock, prepare_folder, read_sidecar, tidy
from composir.limits import MOST_BATCH
from composir.model.base import EmbeddingModel
from composir.types import IndexReport, Missing, Query, SearchResult, SortOrder, check_query

if TYPE_CHECKING:
    from composir.gallery.forget import ForgetReport
    from composir.gallery.rerank import Reranker

NAMES = frozenset({GALLERY_MANIFEST, LOCK_NAME, FAILURES_NAME, TABLE_NAME, CACHE_NAME, MIRROR_NOTE})
"""All that lies in a gallery's folder."""


class Gallery(GalleryContents):
    """Indexed images, and what is asked of them.

    Searching is safe from several threads and processes at once, and while another process
    indexes.

    Example:
        >>> gallery = Gallery.create_or_open(Path("photos.gallery"), load_model())
        >>> gallery.index([Path("photos")])
        >>> gallery.search(Query(image="lamp.jpg", text="in brass")).hits[0].path
    """

    @classmethod
    def create_or_open(cls, path: Path, model: EmbeddingModel) -> Gallery:
        """Open a gallery, or make an empty one in a new or empty folder.

        Args:
            path: The folder.
            model: Whose vectors the gallery holds or will hold.

        Raises:
            GalleryError: If the folder holds something else (it is left alone), or cannot be made,
                or is a damaged gallery.
            BundleMismatchError: If another model made the gallery.
        """
        _refuse_address(path)
        folder = absolute(path)
        prepare_folder(folder, identity_of(model))
        return cls(folder, model)

    def index(
        self,
        roots: Sequence[Path],
        *,
        metadata: Path | None = None,
        columns: Mapping[str, str] | None = None,
        exclude: Sequence[str] = (),
        forget_excludes: bool = False,
        retry_failures: bool = False,
        batch_size: int | None = None,
        progress: ProgressCallback | None = None,
    ) -> IndexReport:
        """Bring the gallery up to date with some folders.

        Unchanged files are skipped, moved ones keep vectors and metadata, and rows of deleted ones
        are dropped, under these roots only; rows of other roots go when their pictures have moved
        to these. A run may be stopped or killed at any time; the same call goes on where it was.

        Args:
            roots: Folders to search through and single files.
            metadata: CSV, JSONL or Parquet whose columns become the metadata of all images under
                the roots; None leaves metadata as it is.
            columns: Types of metadata columns that are not to be found out, e.g.
                `{"price": "number:comma", "sold": "date:dmy", "code": "text"}`.
            exclude: Patterns of what to leave out, remembered with the roots; more add to them.
            forget_excludes: Forget the patterns remembered with these roots first.
            retry_failures: Read unchanged files again that could not be read last time.
            batch_size: Most pictures a call of the model; None for what suits model and machine.
            progress: Called at most about ten times a second, from the calling thread.

        Raises:
            GalleryError: If a root is missing, there are no pictures at all, or the disk is full
                or read-only.
            DatasetError: If the metadata cannot be read, or are not of the types said.
            GalleryBusyError: If another process is indexing the gallery.
            OutputError: If there are links in the gallery's folder, which would lead elsewhere.
            ModelError: If the model fails.
            KeyboardInterrupt: On Ctrl-C, after what has been encoded is committed.
        """
        from composir.gallery.indexer import IndexRun, IndexSettings

        if batch_size is not None and not 1 <= batch_size <= MOST_BATCH:
            raise GalleryError(f"batch_size is {batch_size}; give 1 to {MOST_BATCH:,}")
        model = self.model
        sidecar = read_sidecar(metadata, columns or {})
        folders = [root_path(root) for root in roots]
        settings = IndexSettings(tuple(exclude), forget_excludes, retry_failures, batch_size)
        with clear_disk_errors(self.path, writing=True), index_lock(self.path):
            self._manifest = read_manifest(self.path)
            self._check_bundle(model)
            store = Store(self.path, model.dimension, writes=True)
            store.check_files()
            meter = ProgressMeter(progress)
            run = IndexRun(store, model, folders, settings, meter, self._manifest)
            report = run.run(sidecar)
            tidy(store, self._manifest, self._exact_limit)
            self._manifest = replace(run.manifest, bundle=identity_of(model)).updated_now()
            self._manifest.write(self.path)
            self._ask(lambda newest: newest.ranker)  # made now, not by the next search
        return report

    def forget(self, paths: Sequence[Path], *, dry_run: bool = False) -> ForgetReport:
        """Forget folders or files: rows, failures, remembered patterns, and that they were indexed.

        The files are not touched; thumbnails and vectors leave the disk.

        Args:
            paths: Folders, indexed themselves or inside of such, and files; they need not exist.
            dry_run: Only say what would be forgotten.

        Raises:
            GalleryError: If the gallery knows nothing of one of them (nothing is forgotten then),
                or the disk is full or read-only.
            GalleryBusyError: If another process is indexing the gallery.
            OutputError: If there are links in the gallery's folder, which would lead elsewhere.
        """
        from composir.gallery.forget import Forgetting

        wanted = [root_path(path) for path in paths]
        with clear_disk_errors(self.path, writing=True), index_lock(self.path):
            self._manifest = read_manifest(self.path)
            store = Store(self.path, self._manifest.bundle.dimension)
            store.check_files()
            forgetting = Forgetting(store, self._manifest, wanted)
            report = forgetting.report()
            if not dry_run:
                forget_others(self.path, self._manifest)  # as long as it is known what to forget
                self._manifest = forgetting.carry_out().updated_now()
                tidy(store, self._manifest, self._exact_limit, purge=True)
                self._manifest.write(self.path)
                self._ask(lambda newest: newest.ranker)  # made now, not by the next search
        return report

    def search(
        self,
        query: Query,
        *,
        k: int = 10,
        where: str | None = None,
        composer: str | Path | Composer | None = None,
        include_reference: bool = False,
        collapse_duplicates: bool = True,
        missing: Missing = "hide",
        sort: SortOrder = "score",
        min_confidence: float | None = None,
        rerank: str | Path | EmbeddingModel | None = None,
        rerank_top: int = 50,
        rerank_progress: ProgressCallback | None = None,
    ) -> SearchResult:
        """Search the gallery.

        Args:
            query: An image or several, words, or both.
            k: Number of hits; more than there are gives all.
            where: SQL-like filter over the columns, applied before the search.
            composer: Name of one, a trained one's folder, or one; None for the model's default.
            include_reference: Let the reference and its duplicates be among the hits.
            collapse_duplicates: Show one of several duplicates, with the paths of the others.
            missing: `hide` leaves out and counts pictures whose files were deleted, and marks those
                on a disk that is not there; `keep` shows all and looks for no file.
            sort: `score` for the best first, `date` and `date:oldest` for relevant images by when
                they were taken, else by when their files were changed.
            min_confidence: From 0 to 1; below, the result's `matches` is False.
            rerank: A joint encoder, its name or its bundle's folder, which orders the first hits by
                its own scores; seconds a picture on a CPU, once. The confidence stays as it is.
            rerank_top: How many of the first hits; those behind keep their order.
            rerank_progress: Told how far the encoding of new pictures is, as in `index`.

        Returns:
            The hits, and how far to trust the best of them.

        Raises:
            QueryError: If it is no `Query`, k < 1, a reference cannot be read, the composer lacks
                something, or `missing`, `sort` or `min_confidence` is nothing that there is.
            FilterError: If `where` is not understood; the message names the columns.
            GalleryError: If the gallery is empty or damaged.
            ModelError: If there is no such joint encoder, or it fails.
        """
        from composir.gallery.search import SearchSettings, answer

        check_query(query)
        if missing not in get_args(Missing):
            raise QueryError(f"missing is {missing!r}; it can be: {', '.join(get_args(Missing))}")
        model, chosen = self.model, self.composer(composer)
        absentees = self._absentees() if missing == "hide" else None
        settings = SearchSettings(
            *(k, where, include_reference, collapse_duplicates, self._calibration, absentees),
            *(sort, min_confidence, self._reranker(rerank, rerank_top, rerank_progress)),
        )
        return self._ask(lambda newest: answer(query, newest.ranker, model, chosen, settings))

    def _reranker(
        self,
        model: str | Path | EmbeddingModel | None,
        top: int,
        progress: ProgressCallback | None,
    ) -> Reranker | None:
        if model is None:
            return None
        from composir.gallery.rerank import Reranker
        from composir.model import open_model

        opened = open_model(model) if isinstance(model, str | Path) else model
        return Reranker(opened, top, self.path, self.thumbnails, progress)


def open_gallery(path: str | os.PathLike[str], model: EmbeddingModel | None = None) -> Gallery:
    """Open an existing gallery.

    Args:
        path: Its folder.
        model: The model that made it; None to load that when it is needed.

    Raises:
        GalleryError: If there is no gallery there, or it is damaged.
        BundleMismatchError: If another model made it.
    """
    _refuse_address(path)
    return Gallery(Path(path), model)


def _refuse_address(path: str | os.PathLike[str]) -> None:
    if is_remote(path):
        raise GalleryError(
            f"{root_path(path)} is in an object store: `composir.scale.mirror.fetched` gives the "
            "folder of this machine's copy, `changed` the same to change it"
        )
