"""Making a gallery forget folders or files: rows, failures, patterns, and the folders themselves.

The files themselves are never touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from composir.data.remote_paths import as_path
from composir.data.volumes import lies_below
from composir.errors import GalleryError
from composir.gallery.failures import read_failures, write_failures
from composir.gallery.key_lists import KeyList
from composir.gallery.manifest import GalleryManifest
from composir.gallery.other_models import OtherModels, read_other_models
from composir.gallery.store import Store


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What a gallery forgets, or would forget.

    Attributes:
        images: Pictures.
        failures: Files that could not be read.
        roots: Indexed folders, with the patterns remembered with them.
        covered_by: Indexed folders around those that are forgotten: the next run over them brings
            back what is still there.
        total: Pictures left in the gallery.
    """

    images: int
    failures: int
    roots: tuple[Path, ...]
    covered_by: tuple[Path, ...]
    total: int


class Forgetting:
    """What lies at or below some paths in a gallery."""

    def __init__(self, store: Store, manifest: GalleryManifest, paths: Sequence[Path]) -> None:
        self._store, self._manifest = store, manifest
        self._wanted = [str(path) for path in paths]
        self._known: set[str] = set()
        self._ids = KeyList()
        for path, row in store.stream_rows(["id"]):
            if self._is_below(str(path)):
                self._ids.append_id(row["id"])
        self._failures = read_failures(store.folder)
        self._failed = {path for path in self._failures if self._is_below(path)}
        self._roots = {root for root in manifest.roots if self._is_below(root)}
        unknown = [path for path in self._wanted if path not in self._known]
        if unknown:
            raise GalleryError(
                f"the gallery {store.folder} knows nothing of {', '.join(unknown)}; nothing was "
                f"forgotten. Folders that it knows: {', '.join(manifest.roots) or 'none'}"
                f"{_of_other_models(store.folder)}"
            )

    def report(self) -> ForgetReport:
        """What it comes to."""
        covering = [
            root
            for root in self._manifest.roots
            if root not in self._roots and any(lies_below(path, root) for path in self._wanted)
        ]
        return ForgetReport(
            len(self._ids),
            len(self._failed),
            tuple(as_path(root) for root in self._manifest.roots if root in self._roots),
            tuple(map(as_path, covering)),
            len(self._store) - len(self._ids),
        )

    def carry_out(self) -> GalleryManifest:
        """Forget it; the manifest that is to be written when the store has been tidied."""
        self._store.drop(self._ids.as_ids())
        kept = {path: entry for path, entry in self._failures.items() if path not in self._failed}
        write_failures(self._store.folder, kept)
        return self._manifest.without_roots(self._roots)

    def _is_below(self, path: str) -> bool:
        above = [wanted for wanted in self._wanted if lies_below(path, wanted)]
        self._known.update(above)
        return bool(above)


def _of_other_models(folder: Path) -> str:
    """Where pictures may be that have left the gallery's own table already."""
    if read_other_models(folder) == OtherModels():
        return ""
    return (
        ". Of pictures that an index run has dropped, vectors of other models are kept still: "
        "composir reindex --discard"
    )
