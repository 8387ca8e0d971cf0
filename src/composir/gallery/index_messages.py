"""What an index run says when it finds nothing, keeps rows in doubt, or has stray metadata."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from composir.data.remote_paths import is_remote
from composir.errors import DatasetError
from composir.images.formats import PICTURE_SUFFIXES
from composir.images.scan import ScanNotes

if TYPE_CHECKING:
    from composir.gallery.sidecar import SidecarTable


def kept_rows(folder: str, count: int, is_known: bool, gallery: Path) -> str:
    """Why rows stay whose files were not found, and what to do."""
    why = "its disk is not mounted." if is_known else "is a disk not mounted?"
    why = "its store lists none now." if is_remote(folder) else why
    return (
        f"no pictures found here, but the gallery has {count:,} from here: {why} Nothing was "
        f"dropped; {_way_out(folder, gallery)}"
    )


def _way_out(folder: str, gallery: Path) -> str:
    command = shlex.join(["composir", "forget", folder, "--gallery", str(gallery)])
    return f"if they are gone for good: {command}"


def nothing_found(
    roots: Sequence[Path], held: int, below: Mapping[str, int], notes: ScanNotes, gallery: Path
) -> str:
    """Why a run ends at once, and what to do."""
    told = f"no pictures found under {', '.join(map(str, roots))}"
    told += f"; the gallery keeps its {held} images" if held else ""
    if below:
        told += f" (is a disk not mounted?); {_way_out(next(iter(below)), gallery)}"
    if notes.thinned:
        told += "; patterns leave some out: see composir info, and --no-exclude"
    return f"{told}. Looked for files ending in {' '.join(sorted(PICTURE_SUFFIXES))}"


def rows_without_picture(sidecar: SidecarTable) -> tuple[str, ...]:
    """Before anything is replaced: what a sidecar says of no picture that was found."""
    unmatched = sidecar.unmatched()
    if not len(sidecar):
        raise DatasetError(
            f"{sidecar.path} has no rows: nothing to replace the metadata with. The gallery stays "
            "as it was"
        )
    if len(unmatched) == len(sidecar):
        raise DatasetError(
            f"none of the {len(sidecar):,} rows of {sidecar.path} is for a picture in the folders "
            f"to index: its column {sidecar.key_column!r} says, e.g., {unmatched[0]!r}; name files "
            "as they lie below those folders. The gallery stays as it was"
        )
    return unmatched
