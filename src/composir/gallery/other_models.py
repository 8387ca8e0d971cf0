"""Tables of other models that a gallery keeps beside its own: one to switch to, one to go back to.

`composir-other-models.json` names them. What it does not name, and the manifest neither, is what a
change of the model has left when it was stopped, and is removed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from composir.data.fields import Text
from composir.data.outputs import inside, write_inside
from composir.data.schema import read_own
from composir.errors import GalleryError
from composir.gallery.manifest import (
    TABLE_NAME,
    BundleIdentity,
    is_table,
    read_manifest,
    tables,
)

OTHER_MODELS_NAME = "composir-other-models.json"


@dataclass(frozen=True, slots=True)
class KeptTable:
    """One table.

    Attributes:
        bundle: Whose vectors it holds.
        table: Its name in the gallery's folder.
        written_from: Identity of the rows that it was written from; empty while it is not whole.
    """

    bundle: BundleIdentity
    table: Text
    written_from: Text = ""


@dataclass(frozen=True, slots=True)
class OtherModels:
    """What a gallery keeps beside its own table.

    Attributes:
        prepared: To switch to.
        former: To go back to.
        leaving: The gallery's own while it goes back, so that it is never without a name.
    """

    prepared: KeptTable | None = None
    former: KeptTable | None = None
    leaving: KeptTable | None = None

    @property
    def tables(self) -> set[str]:
        """Names of the tables that stay."""
        kept = (self.prepared, self.former, self.leaving)
        return {one.table for one in kept if one is not None}

    def settled(self, own: str) -> OtherModels:
        """What is kept beside the gallery's own table, also where a switch was killed half-way."""
        former = self.leaving if self.former and self.former.table == own else self.former
        prepared = None if self.prepared and self.prepared.table == own else self.prepared
        return OtherModels(prepared, None if former and former.table == own else former)

    def write(self, folder: Path) -> None:
        """Note it, atomically; nothing is noted of nothing."""
        if self == OtherModels():
            inside(folder, OTHER_MODELS_NAME).unlink(missing_ok=True)
        else:
            write_inside(folder, OTHER_MODELS_NAME, json.dumps(asdict(self), indent=2))


def read_other_models(folder: Path) -> OtherModels:
    """What a gallery keeps beside its own table, as it is noted.

    Raises:
        GalleryError: If the note is damaged, or names what is no table.
    """
    path = folder / OTHER_MODELS_NAME
    if not path.exists():
        return OtherModels()
    kind = "the note of a gallery's other models; delete it, and prepare them again"
    noted = read_own(path, OtherModels, GalleryError, kind)
    for name in noted.tables:
        if not is_table(name):
            raise GalleryError(f"{path} is not {kind}: {name!r} is no table")
    return noted


def table_of(folder: Path) -> str:
    """Name of the table that a gallery's manifest names; if that is damaged, of what is there."""
    try:
        return read_manifest(folder).table
    except GalleryError:
        found = [table.name for table in tables(folder)]
        kept = read_other_models(folder).tables
        return next((name for name in found if name not in kept), (found or [TABLE_NAME])[0])
