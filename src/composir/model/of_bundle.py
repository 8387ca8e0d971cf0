"""What models of both kinds are by their bundles alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from composir.model.bundle import ModelManifest
from composir.model.checked_files import CheckedFolder

_Bundle_co = TypeVar("_Bundle_co", bound=CheckedFolder[ModelManifest], covariant=True)


class ModelOfBundle(Generic[_Bundle_co]):
    """The part of an `EmbeddingModel` that its manifest says.

    Attributes:
        bundle: Where it comes from.
    """

    def __init__(self, bundle: _Bundle_co) -> None:
        """Take a loaded bundle."""
        self.bundle = bundle

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.manifest.name

    @property
    def dimension(self) -> int:
        """Width D of the vectors."""
        return self.bundle.manifest.dimension

    @property
    def default_composer(self) -> str:
        """Name of the composer to use when none is asked for."""
        return self.bundle.manifest.default_composer

    @property
    def composer_settings(self) -> Mapping[str, Mapping[str, float | int | str]]:
        """Settings of composers chosen for this model on dev splits, by composer name."""
        return self.bundle.manifest.composers

    @property
    def confidence_settings(self) -> Mapping[str, Mapping[str, float]]:
        """Calibrated fields of `ConfidenceCalibration` by kind of query."""
        return self.bundle.manifest.confidence

    @property
    def copy_similarity(self) -> float | None:
        """Least cosine between a picture and a copy of it; None where nobody measured it."""
        return self.bundle.manifest.copy_similarity

    @property
    def costs(self) -> Mapping[str, float]:
        """What encoding a picture costs, by name, as the manifest states it."""
        return self.bundle.manifest.efficiency
