"""The note in the folder of a gallery that is this machine's copy of one in an object store.

Such a folder may be searched like any other; it is changed only while somebody is about to publish
the change, since the next fetch would undo it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from composir.data.fields import Text
from composir.data.outputs import write_inside
from composir.data.schema import read_own
from composir.errors import GalleryError

MIRROR_NOTE = "composir-mirror.json"


@dataclass(frozen=True, slots=True)
class MirrorNote:
    """What `composir-mirror.json` says.

    Attributes:
        address: Of the gallery, or of one shard of it.
        edition: Which one the folder holds; empty for none that was ever published.
        changing: Whether what is there may differ from that edition, as something writes, or was
            killed before all of it was published.
        coming: The edition that was about to be published, and is not known to be.
    """

    address: Text
    edition: Text = ""
    changing: bool = False
    coming: Text = ""

    def write(self, folder: Path) -> None:
        """Write it, atomically."""
        write_inside(folder, MIRROR_NOTE, json.dumps(asdict(self)))


def mirror_note(folder: Path) -> MirrorNote | None:
    """What a gallery's folder is a copy of; None for a gallery of its own.

    Raises:
        GalleryError: If the note is damaged.
    """
    path = folder / MIRROR_NOTE
    if not path.exists():
        return None
    kind = "the note of a copy; delete its folder, and it is fetched again"
    return read_own(path, MirrorNote, GalleryError, kind)


def refuse_to_change_copy(folder: Path) -> None:
    """Raise GalleryError for a copy that nobody is about to publish."""
    note = mirror_note(folder)
    if note is not None and not note.changing:
        raise GalleryError(
            f"{folder} is this machine's copy of {note.address}, which a fetch brings up to date; "
            f"it is changed by that address: composir index FOLDER --gallery {note.address}"
        )
