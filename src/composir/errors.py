"""One tree of exceptions; every message says what is wrong, where, and what to do.

The command line catches `ComposirError` alone, prints its message and exits with its `exit_code`;
anything else is a bug and keeps its traceback. Every class has a `code` of its own for programs.
"""

from __future__ import annotations

from typing import ClassVar


class ComposirError(Exception):
    """Base of every error that composir raises on purpose.

    Attributes:
        code: Names the kind of error for programs, e.g. in a server's answers; it never changes.
        exit_code: Of the command line.
    """

    code: ClassVar[str] = "composir"
    exit_code: ClassVar[int] = 2


class OutputError(ComposirError):
    """What is to be written would replace or reach something that is not composir's."""

    code = "output-refused"


class ImageReadError(ComposirError):
    """A picture cannot be read; the message is the reason alone, without the path.

    Attributes:
        needs: What this machine lacks and the file could be read with, e.g. `pillow-heif`
            (`composir.images.formats` tells whether it is there by now); None where the file itself
            is at fault.
    """

    code = "unreadable-image"

    def __init__(self, reason: str, *, needs: str | None = None) -> None:
        """Say why, and what would help."""
        super().__init__(reason)
        self.needs = needs


class ImageTooLargeError(ImageReadError):
    """A picture has more pixels, or needs more memory, than is decoded."""

    code = "image-too-large"


class ImageTooSlowError(ImageReadError):
    """A picture takes longer to decode than it may."""

    code = "image-too-slow"


class ModelError(ComposirError):
    """A model cannot be loaded or used."""

    code = "model"


class ModelNotFoundError(ModelError):
    """There is no model of a name, or no bundle where one should lie."""

    code = "model-not-found"


class LicenceError(ModelError):
    """A licence does not allow what is asked for, or has to be accepted first."""

    code = "licence"


class BundleError(ModelError):
    """A bundle is missing files, damaged, or of a schema that this version does not know."""

    code = "bundle-damaged"


class QueryError(ComposirError):
    """A query cannot be answered as asked (nothing given, k < 1, unreadable reference, ...)."""

    code = "query"


class ComposerNotFoundError(QueryError):
    """There is no composer of a name, or at a folder."""

    code = "composer-not-found"


class ImageNotFoundError(QueryError):
    """A gallery has no image of an id."""

    code = "image-not-found"


class UnreadableReferenceError(QueryError):
    """A reference image is missing, or is no picture that can be read."""

    code = "unreadable-reference"


class ReferenceTooLargeError(UnreadableReferenceError):
    """A reference image has more pixels than are decoded."""

    code = "reference-too-large"


class FilterError(QueryError):
    """A `where` expression is not understood."""

    code = "filter"


class GalleryError(ComposirError):
    """A gallery folder is missing, is something else, is damaged or cannot be written."""

    code = "gallery"


class GalleryNotFoundError(GalleryError):
    """There is no gallery at a place."""

    code = "gallery-not-found"


class StoreError(ComposirError):
    """A served store does not answer, refuses, or holds something else."""

    code = "store"


class ObjectStoreError(GalleryError):
    """An object store with pictures to index does not answer, refuses, or cannot be addressed."""

    code = "object-store"


class DiskFullError(GalleryError):
    """The disk has no room left for what a gallery is to hold."""

    code = "disk-full"


class EmptyGalleryError(GalleryError):
    """A gallery holds no image, so nothing can be searched."""

    code = "gallery-empty"


class GalleryDamagedError(GalleryError):
    """Files of a gallery are missing, cut short or scrambled; `composir repair` keeps the rest."""

    code = "gallery-damaged"

    def __init__(self, message: str, fault: str = "") -> None:
        """Tell all, and keep apart what is wrong, for those who list it."""
        super().__init__(message)
        self.fault = fault or message


class GalleryBusyError(GalleryError):
    """Another process is indexing the same gallery."""

    code = "gallery-busy"

    exit_code = 3


class BundleMismatchError(GalleryError):
    """A gallery was indexed with another bundle than the one at hand."""

    code = "bundle-mismatch"


class CacheError(ComposirError):
    """A cache of vectors is damaged, locked or cannot be written; nothing but time is lost."""

    code = "cache"


class DatasetError(ComposirError):
    """A data set or one of its files is missing, inconsistent or of an unknown version."""

    code = "dataset"


class BenchError(ComposirError):
    """A benchmark run cannot be made or compared as asked."""

    code = "bench"


class TrainingError(ComposirError):
    """A training run cannot start or go on."""

    code = "training"


def first_line(error: Exception) -> str:
    """What a library's error says first, which is mostly all that people can use."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


class MissingExtraError(ComposirError):
    """An optional dependency is not installed."""

    code = "missing-extra"

    def __init__(self, package: str, extra: str) -> None:
        """Say which package is missing and which extra brings it."""
        super().__init__(
            f"{package} is not installed; it comes with an extra: pip install 'composir[{extra}]'"
        )


class DeviceMessageError(QueryError):
    """A device's query message is damaged, of another version, or belongs to another model."""

    code = "device-message"


class MessageMismatchError(DeviceMessageError):
    """A device's query message holds tokens of another model or composer."""

    code = "tokens-of-another-model"
