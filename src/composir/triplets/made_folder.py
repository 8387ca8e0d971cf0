"""A data set folder of made pictures: claimed, filled bit by bit, resumed, and written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from PIL import Image

from composir.data.files import read_regular
from composir.data.outputs import check_own_folder, inside, withdrawn_if_refused, write_inside
from composir.data.untrusted_json import MANIFEST_LIMIT
from composir.errors import DatasetError

Progress: TypeAlias = Callable[[int, int], None]
QUALITY = 88
COPIES = "images"
BLOCK = 64
WORKERS = 2
Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


@contextmanager
def own_folder(out: Path, settings_file: str, said: Mapping[str, Any], made: str) -> Iterator[None]:
    """Take a new folder, or go on in one of the same settings; `made` names what it holds.

    Nothing new is left behind where the work is refused before it made a picture, or the command
    with mended pictures would be refused as another one.
    """
    copies = (out / COPIES).glob
    try:
        with withdrawn_if_refused(out, {settings_file, COPIES}, lambda: not any(copies("*"))):
            _claim(out, settings_file, json.dumps(said), made)
            yield
    except OSError as error:
        raise DatasetError(f"cannot write to {out}: {error.strerror or error}") from error


def _claim(out: Path, settings_file: str, said: str, made: str) -> None:
    check_own_folder(out, {settings_file}, "--out")
    path = out / settings_file
    if path.is_file():
        if read_regular(path, limit=MANIFEST_LIMIT) != said.encode():
            raise DatasetError(
                f"{out} holds {made} of other settings or pictures, or of pictures that have "
                f"changed since (see {path}); name a new folder with --out"
            )
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_inside(out, settings_file, said)
    (out / COPIES).mkdir(exist_ok=True)


def identity(files: Iterable[Path]) -> str:
    """A hash that differs for other or changed pictures, without reading them.

    Names alone are not enough: the copies of another folder's `0.jpg` would count as finished.
    """
    digest = hashlib.sha256()
    for file in files:
        try:
            state = file.stat()
            facts = [state.st_size, state.st_mtime_ns]
        except OSError:  # it will be skipped as unreadable, unless it comes back
            facts = []
        digest.update(json.dumps([str(file), *facts]).encode())
    return digest.hexdigest()


def in_blocks(
    jobs: Sequence[Job], work: Callable[[Job], Outcome], progress: Progress | None
) -> Iterator[tuple[Job, Outcome]]:
    """What comes of every job, in their order, by a few threads; progress is told a block."""
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(jobs), BLOCK):
            block = jobs[start : start + BLOCK]
            yield from zip(block, pool.map(work, block), strict=True)
            if progress:
                progress(min(start + BLOCK, len(jobs)), len(jobs))


def none_readable(number: int, skipped: Sequence[tuple[str, str]]) -> DatasetError:
    """What to say where no picture could be read."""
    file, reason = skipped[0]
    return DatasetError(f"none of {number:,} pictures could be read, e.g. {file}: {reason}")


def copy_of(out: Path, name: str) -> Path:
    """Where a made picture lies, or will."""
    return inside(out, f"{COPIES}/{name}.jpg")


def save_copy(place: Path, picture: Image.Image) -> None:
    """Write a made picture in one go, unless it is there."""
    if not place.exists():
        partial = place.with_suffix(".partial")
        picture.save(partial, "JPEG", quality=QUALITY)
        partial.replace(place)


def row_of_copy(name: str) -> dict[str, str]:
    """A gallery row of a made picture."""
    return {"id": name, "file": f"{COPIES}/{name}.jpg"}


def write_set(
    out: Path,
    card: Mapping[str, Any],
    gallery: Iterable[Mapping[str, Any]],
    queries: Iterable[Mapping[str, Any]],
) -> None:
    """Write what makes the folder a data set; `card` adds to what all such sets say."""
    common = {
        "name": out.name,
        "description": card["description"],
        "exclude_reference": True,
        "metrics": ["recall@1", "recall@10"],
        "headline": "recall@10",
    }
    write_inside(out, "dataset.json", json.dumps(common | dict(card), indent=1) + "\n")
    for stem, items in (("gallery", gallery), ("queries", queries)):
        write_inside(out, f"{stem}.jsonl", "".join(json.dumps(item) + "\n" for item in items))
