"""The gallery: one folder with the vectors, thumbnails and metadata of all indexed images."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, get_args

from composir.compose.base import ComposedQueries, Composer
from composir.data.files import absolute, remove_abandoned
from composir.data.places import GALLERY_MANIFEST
from composir.errors import (
    BundleMismatchError,
    DatasetError,
    GalleryError,
    ImageNotFoundError,
    QueryError,
)
from composir.gallery import manifest as manifests
from composir.gallery.composers import ComposerShelf
from composir.gallery.confidence import ConfidenceCalibration
from composir.gallery.damage import VersionGoneError, damaged
from composir.gallery.disk_errors import clear_disk_errors
from composir.gallery.failures import FAILURES_NAME, read_failures
from composir.gallery.info import GalleryInfo, describe
from composir.gallery.lock import LOCK_NAME, index_lock
from composir.gallery.lookup import (
    IndexedImage,
    indexed_images,
    sampled_images,
    stored_thumbnails,
)
from composir.gallery.manifest import TABLE_NAME, GalleryManifest, read_manifest
from composir.gallery.matrix import MatrixDamagedError, forget_matrices
from composir.gallery.origin import identity_of, load_origin
from composir.gallery.presence import Absentees, Whereabouts
from composir.gallery.progress import ProgressCallback, ProgressMeter
from composir.gallery.remains import CACHE_NAME, remove_other_tables
from composir.gallery.rows import vectors_of
from composir.gallery.snapshot import Snapshot
from composir.gallery.store import EXACT_LIMIT, Store
from composir.limits import MOST_BATCH
from composir.model.base import EmbeddingModel
from composir.types import (
    Failure,
    FloatArray,
    IndexReport,
    Query,
    SearchResult,
    SortOrder,
    check_query,
)

if TYPE_CHECKING:
    from composir.gallery.forget import ForgetReport
    from composir.gallery.rerank import Reranker
    from composir.gallery.sidecar import SidecarTable

NAMES = frozenset({GALLERY_MANIFEST, LOCK_NAME, FAILURES_NAME, TABLE_NAME, CACHE_NAME})
"""All that lies in a gallery's folder."""

_ATTEMPTS = 5  # a run that ends commits twice and cleans up; more runs may follow closely
Answer = TypeVar("Answer")
Missing: TypeAlias = Literal["hide", "keep"]


class Gallery:
    """Indexed images, and what is asked of them.

    Searching is safe from several threads and processes at once, and while another process
    indexes.

    Example:
        >>> gallery = Gallery.create_or_open(Path("photos.gallery"), load_model())
        >>> gallery.index([Path("photos")])
        >>> gallery.search(Query(image="lamp.jpg", text="in brass")).hits[0].path
    """

    def __init__(
        self,
        path: Path,
        model: EmbeddingModel | None = None,
        *,
        calibration: ConfidenceCalibration | None = None,
        exact_limit: int = EXACT_LIMIT,
    ) -> None:
        """Open an existing gallery.

        Args:
            path: Its folder.
            model: The model that made it; None to load that when it is needed.
            calibration: Of the confidence; None for the model's.
            exact_limit: Above this number of images, search goes through an index.

        Raises:
            GalleryError: If there is no gallery there, or it is damaged.
            BundleMismatchError: If another model made it.
        """
        self.path = absolute(path)
        self._manifest = read_manifest(self.path)
        self._given_model = model
        self._calibration, self._exact_limit = calibration, exact_limit
        if model is not None:
            self._check_bundle(model)
        self._kept: Snapshot | None = None
        self._composers = ComposerShelf()
        self._whole_files: set[str] = set()

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
        folder = absolute(path)
        if manifests.has_lost_manifest(folder):
            raise damaged(folder, f"its {GALLERY_MANIFEST} is missing")
        if folder.is_dir() and not manifests.is_gallery(folder) and not manifests.is_free(folder):
            raise GalleryError(
                f"{folder} holds other things and is not a gallery; nothing was touched. "
                "Choose a new or empty folder with --gallery"
            )
        if not folder.exists() or (folder.is_dir() and not manifests.is_gallery(folder)):
            with clear_disk_errors(folder, writing=True):
                folder.mkdir(parents=True, exist_ok=True)
                GalleryManifest(identity_of(model)).write(folder)
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

        Unchanged files are skipped, moved ones keep their vectors and metadata, and rows of deleted
        ones are dropped, under these roots only; rows of other roots go when their pictures have
        moved to these. A run may be stopped or killed at any time; the same call
        goes on where it was.

        Args:
            roots: Folders to search through and single files.
            metadata: CSV, JSONL or Parquet whose columns become the metadata of all images under
                the roots; None leaves metadata as it is.
            columns: Types of metadata columns that are not to be found out, e.g.
                `{"price": "number:comma", "sold": "date:dmy", "code": "text"}`.
            exclude: Patterns of what to leave out. They are remembered with the roots, and later
                runs over them leave it out too; more patterns add to those remembered.
            forget_excludes: Forget the patterns remembered with these roots first.
            retry_failures: Read unchanged files again that could not be read last time.
            batch_size: Most pictures a call of the model; None for what is usual, or, where there
                are many pictures, for what the model finds best in some two seconds.
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
        sidecar = _read_sidecar(metadata, columns or {})
        folders = [absolute(root) for root in roots]
        settings = IndexSettings(tuple(exclude), forget_excludes, retry_failures, batch_size)
        with clear_disk_errors(self.path, writing=True), index_lock(self.path):
            self._manifest = read_manifest(self.path)
            self._check_bundle(model)
            store = Store(self.path, model.dimension)
            store.check_files()
            meter = ProgressMeter(progress)
            run = IndexRun(store, self.path, model, folders, settings, meter, self._manifest)
            report = run.run(sidecar)
            self._tidy(store)
            self._manifest = run.manifest.made_by(identity_of(model)).updated_now()
            self._manifest.write(self.path)
            self._ask(Snapshot.prepare)
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

        wanted = [absolute(path) for path in paths]
        with clear_disk_errors(self.path, writing=True), index_lock(self.path):
            self._manifest = read_manifest(self.path)
            store = Store(self.path, self._manifest.bundle.dimension)
            store.check_files()
            forgetting = Forgetting(store, self.path, self._manifest, wanted)
            report = forgetting.report()
            if not dry_run:
                self._manifest = forgetting.carry_out().updated_now()
                self._tidy(store, purge=True)
                self._manifest.write(self.path)
                self._ask(Snapshot.prepare)
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
            missing: `hide` leaves pictures out whose files have been deleted since they were
                indexed, and counts them; those on a disk that is not there are shown and marked.
                `keep` shows all that the gallery has, and looks for no file.
            sort: `score` for the best first. `date` for the newest first, `date:oldest` for the
                oldest: by when they were taken, else by when their files were changed; only images
                that are relevant by the measure of the confidence are hits then.
            min_confidence: From 0 to 1; where the confidence is below, the result's `matches` is
                False. None lets everything match.
            rerank: A joint encoder, its name or its bundle's folder, which looks at the first hits
                again and orders them by its own scores. It costs one encoding a picture, seconds on
                a CPU; what is encoded is kept in the gallery's folder. The confidence stays that of
                the gallery's own scores.
            rerank_top: How many of the first hits; those behind keep their order.
            rerank_progress: Told how far the encoding of new pictures is, as in `index`.

        Returns:
            The hits in that order, and how far to trust the best of them.

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
        model = self.model
        if composer is None or isinstance(composer, str | Path):
            composer = self.composer(composer)
        chosen = composer
        settings = SearchSettings(
            k,
            where,
            include_reference,
            collapse_duplicates,
            calibration=self._calibration,
            absentees=self._absentees() if missing == "hide" else None,
            sort=sort,
            min_confidence=min_confidence,
            reranker=self._reranker(rerank, rerank_top, rerank_progress),
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

    def embed_query(
        self, query: Query, *, composer: str | Path | Composer | None = None
    ) -> ComposedQueries:
        """The vector that a query is ranked by, for other stores of the same vectors.

        Args:
            query: As in `search`.
            composer: As in `search`.

        Returns:
            One composed query: (1, m, D) float32, and how its similarities become a score.

        Raises:
            QueryError: As `search`.
        """
        from composir.gallery.search import composed_query

        check_query(query)
        if composer is None or isinstance(composer, str | Path):
            composer = self.composer(composer)
        return composed_query(query, self.model, composer)

    def _absentees(self) -> Absentees:
        with clear_disk_errors(self.path):
            return Absentees(Whereabouts(read_manifest(self.path)))

    def prepare(self, query: Query, composer: str | Path | Composer | None = None) -> None:
        """Begin to open what a query will need; returns at once.

        A search that follows is faster by what has been opened meanwhile, and the same otherwise;
        what cannot be opened is told by the search.

        Args:
            query: As in `search`.
            composer: As in `search`.

        Raises:
            QueryError: If it is no `Query`, or there is no such composer.
            ModelError: If the model, or a trained composer, is damaged or does not fit.
        """
        from composir.gallery.prepare import in_background, steps

        check_query(query)
        if composer is None or isinstance(composer, str | Path):
            composer = self.composer(composer)
        in_background(steps(query, self.model, composer))

    def composer(self, name: str | Path | None = None) -> Composer:
        """A composer for this gallery's model; the few used last are kept open.

        Args:
            name: Of one, or a trained one's folder; None for the model's default.

        Raises:
            QueryError: If there is no such composer.
            ModelError: If a trained one is damaged or of another model.
        """
        return self._composers.get(name, self.model)

    def failures(self) -> tuple[Failure, ...]:
        """Files that could not be indexed, with reasons."""
        return tuple(entry.as_failure() for entry in read_failures(self.path).values())

    def info(self) -> GalleryInfo:
        """What the gallery holds, as of now."""
        return self._ask(lambda newest: describe(self.path, newest.store))

    def thumbnail(self, image_id: str) -> bytes:
        """The thumbnail of an image, JPEG of at most 256 pixels a side.

        Raises:
            ImageNotFoundError: If the gallery has no image of this id.
        """
        found = self.thumbnails([image_id])
        if image_id in found:
            return found[image_id]
        raise self._no_image(image_id)

    def thumbnails(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """The thumbnails of some images, e.g. of all hits of a search.

        They come from the version of the gallery that the last search saw, so that no hit loses its
        picture while another process indexes; from the newest where that version is gone.

        Args:
            image_ids: The gallery's.

        Returns:
            JPEGs by id; ids that the gallery does not have are missing.
        """
        wanted = [image_id for image_id in dict.fromkeys(image_ids) if image_id.isalnum()]
        found: dict[str, bytes] = {}
        if self._kept is not None:
            with clear_disk_errors(self.path), suppress(VersionGoneError):
                found = stored_thumbnails(self._kept.store, wanted)
        rest = [image_id for image_id in wanted if image_id not in found]
        if not rest:
            return found
        return found | self._ask(lambda newest: stored_thumbnails(newest.store, rest))

    def count_values(self) -> dict[str, Counter[str]]:
        """How often each value occurs, by column, of text columns with few values."""
        from composir.gallery.facets import count_values

        return self._ask(lambda newest: count_values(newest.store))

    def images(self, image_ids: Sequence[str]) -> dict[str, IndexedImage]:
        """What the gallery holds of some images.

        Args:
            image_ids: The gallery's; those that it does not have are missing in what comes back.
        """
        wanted = [image_id for image_id in dict.fromkeys(image_ids) if image_id.isalnum()]
        return self._ask(lambda newest: indexed_images(newest.store, wanted))

    def sample(self, count: int, seed: int = 0) -> list[IndexedImage]:
        """Some images, e.g. to start a search from.

        Args:
            count: How many; all where the gallery has fewer.
            seed: Chooses them.
        """
        return self._ask(lambda newest: sampled_images(newest.store, count, seed))

    def image(self, image_id: str) -> IndexedImage:
        """What the gallery holds of one image.

        Raises:
            ImageNotFoundError: If the gallery has no image of this id.
        """
        found = self.images([image_id])
        if image_id not in found:
            raise self._no_image(image_id)
        return found[image_id]

    def _no_image(self, image_id: str) -> ImageNotFoundError:
        return ImageNotFoundError(f"the gallery {self.path} has no image with the id {image_id!r}")

    @property
    def version(self) -> int:
        """Number of the newest version; it grows with every change."""
        return self._ask(lambda newest: newest.store.version)

    def vectors(self, image_ids: Sequence[str] | None = None) -> tuple[list[str], FloatArray]:
        """Ids and vectors.

        Args:
            image_ids: Of which images; those that the gallery lacks are missing in what comes
                back. None for all.

        Returns:
            n ids, and (n, D) float32 of unit norm up to the rounding of half precision.
        """
        names = ["id", "vector"]
        if image_ids is None:
            table = self._ask(lambda newest: newest.store.read(names))
        else:
            wanted = [image_id for image_id in image_ids if image_id.isalnum()]
            table = self._ask(lambda newest: newest.store.select("id", wanted, names))
        return table["id"].to_pylist(), vectors_of(table["vector"], self._manifest.bundle.dimension)

    def __len__(self) -> int:
        """Number of images."""
        return self._ask(lambda newest: len(newest.store))

    @property
    def model(self) -> EmbeddingModel:
        """The model that made the vectors; loaded when it is first needed.

        Raises:
            ModelError: If it is not to be had.
            BundleMismatchError: If the one of that name is another by now.
        """
        if self._given_model is None:
            from composir.model import open_model

            model = load_origin(self._manifest.bundle, self.path, open_model)
            self._check_bundle(model)
            self._given_model = model
        return self._given_model

    def _check_bundle(self, model: EmbeddingModel) -> None:
        made_by = self._manifest.bundle
        if made_by.fingerprint == model.fingerprint:
            return
        roots = " ".join(shlex.quote(root) for root in self._manifest.roots) or "FOLDER"
        beside = shlex.quote(f"{self.path}-{model.name}-{model.fingerprint[:8]}")
        other = shlex.quote(model.name)
        raise BundleMismatchError(
            f"the gallery {self.path} was made with the bundle {made_by.name} "
            f"({made_by.fingerprint[:12]}), but the model at hand is {model.name} "
            f"({model.fingerprint[:12]}); their vectors cannot be compared. Use that bundle, or "
            f"index again beside the old gallery: composir index {roots} --gallery {beside}; or "
            f"give this gallery the other model: composir index {roots} --model {other}"
        )

    def _check_unchanged(self) -> None:
        """Refuse to go on once another process has given the gallery another model."""
        now, mine = read_manifest(self.path).bundle, self._manifest.bundle
        if now.fingerprint != mine.fingerprint:
            raise BundleMismatchError(
                f"the gallery {self.path} is the model {now.name}'s by now, and was "
                f"{mine.name}'s when it was opened: open it again"
            )

    def _tidy(self, store: Store, *, purge: bool = False) -> None:
        if store.dataset is None:
            return
        store.compact(purge=purge)
        if len(store) > self._exact_limit:
            store.update_index()
        store.clean()
        forget_matrices(store, self.path)
        remove_other_tables(self.path, self._manifest)
        if purge:
            from composir.gallery.rerank import forget_reranked

            forget_reranked(self.path)
        for folder in (self.path, self.path / CACHE_NAME):
            remove_abandoned(folder)

    def _ask(self, question: Callable[[Snapshot], Answer]) -> Answer:
        """Ask the newest version; again, when an index run removes that version meanwhile."""
        anew = False
        with clear_disk_errors(self.path):
            for _ in range(_ATTEMPTS - 1):
                try:
                    return question(self._snapshot(matrix_anew=anew))
                except VersionGoneError:
                    self._kept = None
                except MatrixDamagedError:
                    self._kept, anew = None, True
            return question(self._snapshot(matrix_anew=anew))

    def _snapshot(self, *, matrix_anew: bool = False) -> Snapshot:
        """The newest version of the gallery; what was loaded for it is kept."""
        snapshot = self._kept
        if snapshot is None or not snapshot.store.is_current():
            store = Store(self.path, self._manifest.bundle.dimension)
            self._check_unchanged()  # by now: the store may be of a table that came meanwhile
            store.check_files(self._whole_files)
            snapshot = Snapshot(store, self.path, self._exact_limit, matrix_anew=matrix_anew)
            self._kept = snapshot
        return snapshot


def open_gallery(path: str | os.PathLike[str], model: EmbeddingModel | None = None) -> Gallery:
    """Open an existing gallery.

    Args:
        path: Its folder.
        model: The model that made it; None to load that when it is needed.

    Raises:
        GalleryError: If there is no gallery there, or it is damaged.
        BundleMismatchError: If another model made it.
    """
    return Gallery(Path(path), model)


def _read_sidecar(path: Path | None, types: Mapping[str, str]) -> SidecarTable | None:
    from composir.gallery.sidecar import read_metadata

    if path is None and types:
        raise DatasetError("types of columns are for a metadata file, and none is given")
    return None if path is None else read_metadata(path, types)
