"""A small gallery of two fragments, and the ways in which its folder gets damaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from composir.gallery import Gallery
from composir.gallery.store import Store
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import plain, scenes

MANIFEST = "composir-gallery.json"
TABLE = "images.lance"
FIRST, SECOND = 6, 1  # pictures a fragment; one of the first has been dropped
IMAGES = FIRST - 1 + SECOND


def make_gallery(folder: Path) -> Path:
    """Pictures in `pictures`, a sidecar, and their gallery in `gallery`: that folder."""
    pictures, gallery = folder / "pictures", folder / "gallery"
    paths = scenes(pictures, range(FIRST))
    sidecar = folder / "prices.csv"
    sidecar.write_text("file,price\n" + "".join(f"{p.name},{n}\n" for n, p in enumerate(paths)))
    opened = Gallery.create_or_open(gallery, ColourModel())
    with mock.patch.object(Store, "compact"):  # keeps the fragments apart
        opened.index([pictures], metadata=sidecar)
        plain(pictures / "red.png", "red")
        paths[0].unlink()
        opened.index([pictures])
    return gallery


def data_files(gallery: Path) -> list[Path]:
    """The table's data files, the largest (which holds most pictures) first."""
    found = (gallery / TABLE / "data").iterdir()
    return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


def largest(gallery: Path) -> Path:
    return data_files(gallery)[0]


def version(gallery: Path) -> Path:
    (found,) = (gallery / TABLE / "_versions").glob("*.manifest")
    return found


def deletions(gallery: Path) -> Path:
    (found,) = (gallery / TABLE / "_deletions").iterdir()
    return found


def cut(path: Path, share: float = 0.5) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def blank(path: Path, begin: float = 0.0, end: float = 1.0) -> None:
    """Fill a part of a file with a byte that is neither text nor zero; its length stays."""
    data = bytearray(path.read_bytes())
    first, last = int(len(data) * begin), int(len(data) * end)
    data[first:last] = b"\xa5" * (last - first)
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "data cut short": lambda gallery: cut(largest(gallery)),
    "data emptied": lambda gallery: cut(largest(gallery), 0),
    "data missing": lambda gallery: largest(gallery).unlink(),
    "data overwritten": lambda gallery: blank(largest(gallery)),
    "data folder missing": lambda gallery: shutil.rmtree(gallery / TABLE / "data"),
    "table missing": lambda gallery: shutil.rmtree(gallery / TABLE),
    "version missing": lambda gallery: version(gallery).unlink(),
    "version cut short": lambda gallery: cut(version(gallery)),
    "version overwritten": lambda gallery: blank(version(gallery), 0.2, 0.8),
    "deletions missing": lambda gallery: deletions(gallery).unlink(),
    "deletions overwritten": lambda gallery: blank(deletions(gallery)),
    "manifest missing": lambda gallery: (gallery / MANIFEST).unlink(),
    "manifest cut short": lambda gallery: cut(gallery / MANIFEST),
    "manifest emptied": lambda gallery: cut(gallery / MANIFEST, 0),
}
"""Each leaves a gallery that cannot be used until it is repaired."""
