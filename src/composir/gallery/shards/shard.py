"""Shards: which files are whose, where they wait for their merge, and what is noted of each.

A stable hash of the path below the root, the same on every machine, gives each file its shard.
Shards can be merged only where they follow the same plan; whoever comes with another is refused
with what differs, when it begins and again when all are merged.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from composir.data.fields import Text
from composir.data.outputs import inside, write_inside
from composir.data.schema import read_own
from composir.errors import GalleryError
from composir.gallery.manifest import BundleIdentity
from composir.gallery.upkeep import LOCK_NAME
from composir.limits import MOST_SHARDS

SHARDS_NAME = "shards"
RECORD_NAME = "composir-shard.json"
State: TypeAlias = Literal["begun", "complete", "merged"]
_Number = Annotated[int, Field(strict=True, ge=1, le=MOST_SHARDS)]


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several disjoint parts of the files under some roots.

    Attributes:
        number: Which, from 1.
        of: How many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        """For people: `shard 3 of 64`."""
        return f"shard {self.number} of {self.of}"

    @property
    def folder_name(self) -> str:
        """What its folder is called; by name they are in order."""
        return f"{self.number:0{len(str(self.of))}d}-of-{self.of}"

    def takes(self, path: str, root: str) -> bool:
        """Whether a file is one of this shard's.

        Args:
            path: Absolute.
            root: The folder that it was found under, or the file itself.
        """
        relative = path[len(root.rstrip(os.sep)) + 1 :] or os.path.basename(path)  # noqa: PTH119
        name = os.fsencode(relative.replace(os.sep, "/"))
        digest = blake2b(name, digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1


def parse_shard(text: str) -> Shard:
    """Read `3/64`.

    Raises:
        GalleryError: If it is something else, or there is no such shard.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    number, of = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= of <= MOST_SHARDS:
        raise GalleryError(
            f"--shard is K/N, the K-th of N shards, e.g. 3/64, with at most {MOST_SHARDS}; "
            f"not {text!r}"
        )
    return Shard(number, of)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What all shards of a gallery must have in common."""

    of: _Number  # how many there are
    bundle: BundleIdentity  # whose vectors they hold
    roots: tuple[Text, ...]  # absolute, in the order that they are looked through
    # Patterns in force, as they may be remembered, by root.
    exclude: Mapping[Text, tuple[Text, ...]]

    def differences(self, other: ShardPlan) -> list[str]:
        """What is otherwise here than there, in words."""
        told = []
        if self.of != other.of:
            told.append(f"{self.of} shards, not {other.of}")
        if self.bundle.fingerprint != other.bundle.fingerprint:
            told.append(f"the model {told_model(self.bundle)}, not {told_model(other.bundle)}")
        if self.roots != other.roots:
            told.append(f"the folders {shlex.join(self.roots)}, not {shlex.join(other.roots)}")
        elif self.exclude != other.exclude:
            told.append(f"the patterns {_patterns(self)}, not {_patterns(other)}")
        return told


def told_model(bundle: BundleIdentity) -> str:
    """A model for people: its name and the begin of its fingerprint."""
    return f"{bundle.name} ({bundle.fingerprint[:12]})"


def _patterns(plan: ShardPlan) -> str:
    found = dict.fromkeys(one for patterns in plan.exclude.values() for one in patterns)
    return shlex.join(found) or "none"


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """What `composir-shard.json` says."""

    number: _Number  # which shard, from 1
    plan: ShardPlan  # what it has in common with the others
    # `begun`, `complete`, or `merged`: then its rows are in the gallery, and gone here.
    state: State

    @property
    def shard(self) -> Shard:
        """Number and how many there are."""
        return Shard(self.number, self.plan.of)

    def write(self, gallery: Path, state: State) -> ShardRecord:
        """Note a state, atomically."""
        noted = replace(self, state=state)
        text = json.dumps(asdict(noted), indent=2)
        write_inside(place_of(gallery, self.shard), RECORD_NAME, text)
        return noted


def place_of(gallery: Path, shard: Shard) -> Path:
    """The folder of a shard."""
    return inside(gallery, f"{SHARDS_NAME}/{shard.folder_name}")


def sweep(gallery: Path, shard: Shard) -> None:
    """Remove what a merged shard leaves but for the note of it; may be repeated."""
    for path in place_of(gallery, shard).iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {RECORD_NAME, LOCK_NAME}:
            path.unlink()


def read_records(gallery: Path) -> list[ShardRecord]:
    """What is noted of all shards that were begun, in order; no lock is needed."""
    return sorted(_records(gallery), key=lambda one: (one.plan.of, one.number))


def read_record(gallery: Path, shard: Shard) -> ShardRecord | None:
    """What is noted of one shard; None where it was not begun."""
    path = place_of(gallery, shard) / RECORD_NAME
    return _read(path) if path.exists() else None


def _records(gallery: Path) -> Iterator[ShardRecord]:
    for path in sorted((gallery / SHARDS_NAME).glob(f"*/{RECORD_NAME}")):
        record = _read(path)
        if path.parent.name != record.shard.folder_name:
            raise GalleryError(f"{path.parent} says that it is {record.shard}; name it as it was")
        yield record


def _read(path: Path) -> ShardRecord:
    kind = "a shard's record; delete its folder and run the shard again"
    return read_own(path, ShardRecord, GalleryError, kind)


def check_agreement(
    gallery: Path, shard: Shard, plan: ShardPlan, others: Iterable[ShardRecord]
) -> None:
    """Refuse a shard that follows another plan than those that wait to be merged."""
    for other in others:
        told = plan.differences(other.plan) if other.state != "merged" else []
        if told:
            raise GalleryError(
                f"{shard} does not go with {other.shard}, which waits in "
                f"{gallery / SHARDS_NAME}: it has {'; and '.join(told)}. Run it as that one was "
                "run; or merge what waits first (composir merge); or delete that folder to begin "
                "again, and what its shards have encoded is lost"
            )
