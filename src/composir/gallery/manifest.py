"""The gallery's manifest: what the folder is, whose vectors it holds, which roots it covers."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from composir.data.fields import Text
from composir.data.files import TEMPORARY_PREFIX, read_regular
from composir.data.outputs import write_inside
from composir.data.places import GALLERY_MANIFEST
from composir.data.schema import as_row
from composir.data.untrusted_json import MANIFEST_LIMIT, JsonFaultError, decode_json
from composir.data.volumes import Volume
from composir.errors import ComposirError, GalleryError, GalleryNotFoundError
from composir.gallery.disk_errors import cleared, damaged, is_trouble
from composir.gallery.mirror_note import MIRROR_NOTE

SCHEMA_VERSION = 2
"""1 where nothing is said that earlier versions do not know."""
TABLE_NAME = "images.lance"
_TABLE = re.compile(r"images(-[0-9a-f]{8})?\.lance")
MOST_DIMENSION = 65_536
_KIND = "composir-gallery"
_REQUIRED = ("schema_version", "bundle", "roots", "created", "updated")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class BundleIdentity:
    """Which bundle's vectors a gallery holds."""

    name: Text  # what the bundle is called
    fingerprint: Text  # of the vector space
    dimension: Annotated[int, Field(strict=True, ge=1, le=MOST_DIMENSION)]  # width D of the vectors
    # Where the bundle lies, absolute; None of a packaged one, and of galleries of earlier versions.
    folder: Text | None = None


@dataclass(frozen=True, slots=True)
class RootFacts:
    """What is remembered of an indexed folder."""

    exclude: tuple[Text, ...] = ()  # patterns of what is left out, relative to it; see `excludes`
    # The disk that it lies on, then those that are mounted below it. Empty where nothing is known:
    # an earlier version of composir indexed it.
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True)
class GalleryManifest:
    """What `composir-gallery.json` says."""

    bundle: BundleIdentity  # the bundle that encoded every vector
    # Folders indexed so far, absolute; bytes of no encoding as surrogates.
    roots: tuple[Text, ...] = ()
    root_facts: Mapping[Text, RootFacts] = field(default_factory=dict)  # what is remembered of them
    created: Text = field(default_factory=_now)  # UTC, ISO 8601
    updated: Text = field(default_factory=_now)  # end of the last index run; UTC, ISO 8601
    schema_version: Annotated[int, Field(strict=True, ge=1)] = 1  # of the folder's format
    # Name of the dataset; another one than at first, once the gallery has changed its model: naming
    # it is what changes the model.
    table: Text = TABLE_NAME

    def facts(self, root: str) -> RootFacts:
        """What is remembered of a root; nothing, where it is not known."""
        return self.root_facts.get(root, RootFacts())

    def with_roots(self, facts: Mapping[str, RootFacts]) -> GalleryManifest:
        """The same manifest, covering these roots too, with these facts of them."""
        merged = dict.fromkeys((*self.roots, *facts))
        return replace(self, roots=tuple(merged), root_facts={**self.root_facts, **facts})

    def without_roots(self, roots: set[str]) -> GalleryManifest:
        """The same manifest without these roots."""
        return replace(
            self,
            roots=tuple(root for root in self.roots if root not in roots),
            root_facts={r: facts for r, facts in self.root_facts.items() if r not in roots},
        )

    def switched(self, bundle: BundleIdentity, table: str) -> GalleryManifest:
        """The same manifest, for a table of another bundle's vectors."""
        return replace(self, bundle=bundle, table=table)

    def updated_now(self) -> GalleryManifest:
        """The same manifest, updated now."""
        return replace(self, updated=_now())

    def write(self, folder: Path) -> None:
        """Write the manifest into a gallery folder, atomically."""
        fields = asdict(self)
        if self.table == TABLE_NAME:
            del fields["table"]  # earlier versions know no other, and read no field that is new
        else:
            fields["schema_version"] = SCHEMA_VERSION
        text = json.dumps({"kind": _KIND, **fields}, indent=2)
        write_inside(folder, GALLERY_MANIFEST, text)


def is_gallery(folder: Path) -> bool:
    """Whether a folder carries a manifest, readable or not."""
    return (folder / GALLERY_MANIFEST).exists()


def is_free(folder: Path) -> bool:
    """Whether a folder holds nothing that a new gallery could harm."""
    return all(
        entry.name.startswith(TEMPORARY_PREFIX) or entry.name == MIRROR_NOTE
        for entry in folder.iterdir()
    )


def has_lost_manifest(folder: Path) -> bool:
    """Whether a folder is a gallery's but for its manifest, which is written before all else."""
    return any(path.is_dir() for path in tables(folder)) and not is_gallery(folder)


def is_table(name: str) -> bool:
    """Whether a table may have this name."""
    return _TABLE.fullmatch(name) is not None


def tables(folder: Path) -> list[Path]:
    """What lies in a gallery's folder under the name of a table, the first name first."""
    found = (path for path in folder.glob("images*.lance") if is_table(path.name))
    return sorted(found, key=lambda path: (path.name != TABLE_NAME, path.name))


def other_table(fingerprint: str) -> str:
    """Name of the table of a bundle that was not the gallery's first."""
    return f"images-{sha256(fingerprint.encode()).hexdigest()[:8]}.lance"


def read_manifest(folder: Path) -> GalleryManifest:
    """Read and check a gallery's manifest."""
    if not folder.exists():
        raise GalleryNotFoundError(
            f"no gallery at {folder}; make one: composir index FOLDER --gallery "
            f"{shlex.quote(str(folder))}"
        )
    if not folder.is_dir():
        raise GalleryError(f"{folder} is a file; a gallery is a folder: choose another --gallery")
    path = folder / GALLERY_MANIFEST
    try:
        text = read_regular(path, limit=MANIFEST_LIMIT, follow=False).decode("utf-8-sig")
    except FileNotFoundError:
        if has_lost_manifest(folder):
            raise damaged(folder, f"its {GALLERY_MANIFEST} is missing") from None
        raise GalleryNotFoundError(
            f"{folder} is not a gallery (it has no {GALLERY_MANIFEST}); "
            f"make one in a new folder: composir index FOLDER --gallery NEW"
        ) from None
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 text at byte {error.start:,}") from error
    except OSError as error:
        clear = cleared(error, folder) if is_trouble(error) else None
        raise clear or GalleryError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        return _parse(decode_json(text), path)
    except (JsonFaultError, _WrongValueError) as error:
        raise _damaged(path, str(error).removeprefix(f"{path}: ")) from error


class _WrongValueError(ComposirError):
    """A value of the manifest is not what it has to be."""

    code = "manifest-value"


def _damaged(path: Path, why: str) -> GalleryError:
    return damaged(path.parent, f"{path.name} is damaged ({why})")


def _parse(content: Any, path: Path) -> GalleryManifest:
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        raise _WrongValueError(f"it must be an object whose 'kind' is {_KIND!r}")
    for name in _REQUIRED:  # new galleries have defaults for them
        if name not in content:
            raise _WrongValueError(f"no {name!r}")
    version = content["schema_version"]
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise GalleryError(
            f"the gallery {path.parent} was written by a newer composir (format {version}, this "
            f"version knows {SCHEMA_VERSION}); upgrade: pip install --upgrade composir"
        )
    made = as_row(str(path), content, GalleryManifest, _WrongValueError)
    if not is_table(made.table):
        like = f"{TABLE_NAME!r} or one like 'images-0123abcd.lance'"
        raise _WrongValueError(f"'table' must be {like}, not {made.table!r}")
    return made
