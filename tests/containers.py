"""Files that hold pictures, made for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from tests.fakes import COLOURS


def picture(colour: str, size: tuple[int, int] = (40, 30)) -> bytes:
    """A PNG of one colour."""
    made = io.BytesIO()
    Image.new("RGB", size, COLOURS[colour]).save(made, "PNG")
    return made.getvalue()


def tar(members: Mapping[str, bytes] | Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """A tar; members given as pairs may share names, and bring what else a tar says of them."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for named, content in members.items() if isinstance(members, Mapping) else members:
            info = tarfile.TarInfo(named) if isinstance(named, str) else named
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return made.getvalue()


def pack(path: Path, members: Mapping[str, bytes]) -> Path:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar(members))
    return path
