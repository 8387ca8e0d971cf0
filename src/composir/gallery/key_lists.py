"""Lists of the 64-bit keys of rows and contents, 8 bytes each: there may be millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np


class KeyList:
    """A growing list."""

    def __init__(self) -> None:
        """Begin with none."""
        self._keys = array("Q")

    def append(self, key: int) -> None:
        """Add a key, again if it is there already."""
        self._keys.append(key)

    def append_id(self, image_id: str) -> None:
        """Add the id of a row, all of which is a key."""
        self._keys.append(int(image_id, 16))

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._keys)

    def as_ids(self) -> Iterator[str]:
        """The ids of the rows in it."""
        return (f"{key:016x}" for key in self._keys)

    def count_shared(self, other: KeyList) -> int:
        """How many keys are in both, each as often as in the list that has it less often."""
        (mine, my_counts), (theirs, their_counts) = (
            np.unique(np.array(one, dtype=np.uint64), return_counts=True)
            for one in (self._keys, other._keys)
        )
        _, here, there = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
        return int(np.minimum(my_counts[here], their_counts[there]).sum())
