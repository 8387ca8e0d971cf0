"""Which files are whose: a stable hash of the path below the root, the same on every machine."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from hashlib import blake2b

from composir.errors import GalleryError
from composir.limits import MOST_SHARDS


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
