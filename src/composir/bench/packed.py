"""Tables of ranks and hits as a result file keeps them: packed, and unpacked within bounds."""

from __future__ import annotations

import base64
import zlib

import numpy as np
from pydantic import NonNegativeInt, field_validator

from composir.bench.estimates import Record
from composir.bench.metrics import ABSENT, Ranks
from composir.errors import BenchError

MOST_OUTCOMES = 20_000_000
"""Numbers of one array of a result file."""


class Packed(Record):
    """A table of non-negative whole numbers: int32, zlib, base64."""

    shape: tuple[NonNegativeInt, NonNegativeInt]
    data: str

    @field_validator("shape")
    @classmethod
    def _is_no_bomb(cls, shape: tuple[int, int]) -> tuple[int, int]:
        if shape[0] * shape[1] > MOST_OUTCOMES:
            raise ValueError(f"{shape[0]:,} x {shape[1]:,} outcomes are more than are ever made")
        return shape

    @classmethod
    def of(cls, array: Ranks) -> Packed:
        """Pack ranks; `ABSENT` becomes 0."""
        whole = np.where(array == ABSENT, 0, array).astype("<i4")
        packed = base64.b64encode(zlib.compress(whole.tobytes(), 9)).decode("ascii")
        return cls(shape=whole.shape, data=packed)

    def array(self, *, absent: int = ABSENT) -> Ranks:
        """Unpack; 0 becomes `absent`."""
        size = 4 * self.shape[0] * self.shape[1]
        try:
            packed = base64.b64decode(self.data, validate=True)
            # One byte more than promised tells that there are more, without unpacking them.
            raw = zlib.decompressobj().decompress(packed, size + 1)
        except (ValueError, zlib.error) as error:
            raise BenchError(f"the outcomes of a result file are damaged: {error}") from error
        whole = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<i4")
        if len(raw) != size or (whole < 0).any():
            raise BenchError(
                f"the outcomes of a result file are damaged: no {self.shape[0]:,} x "
                f"{self.shape[1]:,} whole numbers"
            )
        return np.where(whole == 0, absent, whole.astype(np.int64)).reshape(self.shape)
