"""What a gallery holds, as of its newest version: images, thumbnails, vectors, failures."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from composir.data.files import absolute
from composir.errors import BundleMismatchError, ImageNotFoundError
from composir.gallery.approximate import ApproximateRanker
from composir.gallery.composers import Searchable
from composir.gallery.confidence import ConfidenceCalibration
from composir.gallery.disk_errors import VersionGoneError, clear_disk_errors
from composir.gallery.failures import read_failures
from composir.gallery.lookup import (
    GalleryInfo,
    IndexedImage,
    describe,
    indexed_images,
    sampled_images,
    stored_thumbnails,
)
from composir.gallery.manifest import read_manifest
from composir.gallery.matrix import MatrixDamagedError, load_matrix
from composir.gallery.origin import load_origin
from composir.gallery.presence import Absentees, Whereabouts
from composir.gallery.ranking import CODED_FROM, ExactRanker, Ranker
from composir.gallery.rows import vectors_of
from composir.gallery.store import EXACT_LIMIT, Store
from composir.model.base import EmbeddingModel
from composir.types import Failure, FloatArray

_ATTEMPTS = 5  # a run that ends commits twice and cleans up; more runs may follow closely
Answer = TypeVar("Answer")


class Snapshot:
    """A store at a fixed version and its ranker."""

    def __init__(self, store: Store, exact_limit: int, *, matrix_anew: bool = False) -> None:
        self.store, self._exact_limit, self._matrix_anew = store, exact_limit, matrix_anew

    @cached_property
    def ranker(self) -> Ranker:
        """Ranks this version."""
        if len(self.store) > self._exact_limit and self.store.has_index():
            return ApproximateRanker(self.store)
        matrix = load_matrix(self.store, self.store.folder, anew=self._matrix_anew)
        if len(matrix) <= CODED_FROM:
            return ExactRanker(self.store, matrix)
        from composir.gallery.codes import load_codes

        codes = load_codes(self.store, matrix, anew=self._matrix_anew)
        return ExactRanker(self.store, matrix, codes)


class GalleryContents(Searchable):
    """A gallery to look things up in; `Gallery` searches and changes it."""

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
        super().__init__()
        self.path = absolute(path)
        self._manifest = read_manifest(self.path)
        self._given_model = model
        self._calibration, self._exact_limit = calibration, exact_limit
        if model is not None:
            self._check_bundle(model)
        self._kept: Snapshot | None = None
        self._whole_files: set[str] = set()

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
        from composir.gallery.lookup import count_values

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

    def _absentees(self) -> Absentees:
        with clear_disk_errors(self.path):
            return Absentees(Whereabouts(read_manifest(self.path)))

    def on_newest(self, work: Callable[[Store], Answer]) -> Answer:
        """Do something with the newest version's table; again, if that version goes meanwhile."""
        return self._ask(lambda newest: work(newest.store))

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
            snapshot = Snapshot(store, self._exact_limit, matrix_anew=matrix_anew)
            self._kept = snapshot
        return snapshot
