"""One tree of exceptions; every message says what is wrong, where, and what to do.

The command line catches `ComposirError` alone, prints its message and exits with its `exit_code`;
anything else is a bug and keeps its traceback.
"""


class ComposirError(Exception):
    """Base of every error that composir raises on purpose."""

    exit_code = 2


class OutputError(ComposirError):
    """What is to be written would replace or reach something that is not composir's."""


class ImageReadError(ComposirError):
    """A picture cannot be read; the message is the reason alone, without the path.

    Attributes:
        needs: What this machine lacks and the file could be read with, e.g. `pillow-heif`
            (`composir.images.needs` tells whether it is there by now); None where the file itself
            is at fault.
    """

    def __init__(self, reason: str, *, needs: str | None = None) -> None:
        """Say why, and what would help."""
        super().__init__(reason)
        self.needs = needs


class ModelError(ComposirError):
    """A model cannot be loaded or used."""


class ModelNotFoundError(ModelError):
    """There is no model of a name, or no bundle where one should lie."""


class LicenceError(ModelError):
    """A licence does not allow what is asked for, or has to be accepted first."""


class BundleError(ModelError):
    """A bundle is missing files, damaged, or of a schema that this version does not know."""


class QueryError(ComposirError):
    """A query cannot be answered as asked (nothing given, k < 1, unreadable reference, ...)."""


class FilterError(QueryError):
    """A `where` expression is not understood."""


class GalleryError(ComposirError):
    """A gallery folder is missing, is something else, is damaged or cannot be written."""


class GalleryDamagedError(GalleryError):
    """Files of a gallery are missing, cut short or scrambled; `composir repair` keeps the rest."""

    def __init__(self, message: str, fault: str = "") -> None:
        """Tell all, and keep apart what is wrong, for those who list it."""
        super().__init__(message)
        self.fault = fault or message


class GalleryBusyError(GalleryError):
    """Another process is indexing the same gallery."""

    exit_code = 3


class BundleMismatchError(GalleryError):
    """A gallery was indexed with another bundle than the one at hand."""


class DatasetError(ComposirError):
    """A data set or one of its files is missing, inconsistent or of an unknown version."""


class BenchError(ComposirError):
    """A benchmark run cannot be made or compared as asked."""


class TrainingError(ComposirError):
    """A training run cannot start or go on."""


class MissingExtraError(ComposirError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Say which package is missing and which extra brings it."""
        super().__init__(
            f"{package} is not installed; it comes with an extra: pip install 'composir[{extra}]'"
        )


class DeviceMessageError(QueryError):
    """A device's query message is damaged, of another version, or belongs to another model."""
