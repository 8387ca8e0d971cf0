"""What a served store does, and what it keeps of each image.

Every store keeps the same **payload** of an image: the columns of the gallery that people see, and
what duplicates are found by, as values that JSON knows. The **inventory** says whose vectors they
are and what the columns hold; it lies in the store, so an address is all that a search needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import blake2b
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import numpy as np
from pydantic import Field

from composir.data.fields import FileRow, Text
from composir.data.schema import as_row
from composir.data.untrusted_json import JsonFaultError, decode_json
from composir.errors import StoreError
from composir.gallery import rows
from composir.gallery.duplicates import Appearance, Signature
from composir.gallery.expressions import Expression, Kind
from composir.gallery.manifest import MOST_DIMENSION
from composir.gallery.ranking import NOT_METADATA, Candidate
from composir.types import FloatArray

Payload: TypeAlias = dict[str, Any]
_FORMAT = 1
_SHOWN = 300  # characters of what a store says


@dataclass(frozen=True, slots=True)
class StoredRow:
    """One image in a store.

    Attributes:
        id: The gallery's.
        digest: Of vector and payload, so that what has not changed is not sent again.
        payload: Values that JSON knows, by column; columns without a value are missing.
        vector: (D,) float32.
    """

    id: str
    digest: str
    payload: Payload
    vector: FloatArray

    @classmethod
    def of(cls, row: Mapping[str, Any], vector: FloatArray) -> StoredRow:
        """From a row of a gallery, as Python values, and its vector of unit norm."""
        payload = {
            name: _as_json(name, value)
            for name, value in row.items()
            if value is not None and not (isinstance(value, float) and not math.isfinite(value))
        }
        text = json.dumps(payload, sort_keys=True, ensure_ascii=False)
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8)
        digest.update(vector.astype(np.float16).tobytes())
        return cls(row["id"], digest.hexdigest(), payload, vector)

    def candidate(self, score: float, kinds: Mapping[str, Kind]) -> Candidate:
        """What a search goes on with."""
        held = self.payload
        signature = Signature(
            int(held["perceptual_hash"], 16), _bytes(held, "colour_layout") or b""
        )
        size = int(held["width"]), int(held["height"])
        return Candidate(
            self.id,
            rows.decode_place(held["path"], _bytes(held, "path_bytes")),
            score,
            Appearance(held.get("content_hash", ""), signature, self.vector, *size),
            {
                name: _from_json(held.get(name), kind)
                for name, kind in kinds.items()
                if name not in NOT_METADATA
            },
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """Whose vectors a store holds, and what its columns hold.

    Attributes:
        bundle: Name of the bundle.
        fingerprint: Of its vector space.
        dimension: Width D.
        kinds: What filters may ask for.
    """

    bundle: str
    fingerprint: str
    dimension: int
    kinds: Mapping[str, Kind]

    def text(self) -> str:
        """As it is kept in a store."""
        kinds = {name: kind.name for name, kind in self.kinds.items()}
        fields: dict[str, Any] = {"format": _FORMAT, "bundle": self.bundle, "kinds": kinds}
        fields |= {"fingerprint": self.fingerprint, "dimension": self.dimension}
        return json.dumps({"composir": fields})

    @classmethod
    def read(cls, text: str, shown: str) -> Inventory:
        """From what a store keeps.

        Raises:
            StoreError: If that is no inventory, or one of a newer composir.
        """
        try:
            held = decode_json(text)["composir"]
        except (JsonFaultError, LookupError, TypeError) as error:
            raise StoreError(f"{shown} holds something else than composir's vectors") from error
        note = as_row(shown, held, _Note, StoreError)
        if note.format > _FORMAT:
            raise StoreError(f"{shown} was filled by a newer composir; upgrade")
        kinds = {name: Kind[kind] for name, kind in note.kinds.items()}
        return cls(note.bundle, note.fingerprint, note.dimension, kinds)


class _Note(FileRow):
    """An inventory as JSON."""

    format: Annotated[int, Field(strict=True, ge=1)]
    bundle: Text
    fingerprint: Text
    dimension: Annotated[int, Field(strict=True, ge=1, le=MOST_DIMENSION)]
    kinds: dict[str, Literal["TEXT", "NUMBER", "DATE", "TRUTH"]]


class ServedStore(Protocol):
    """A collection of vectors and payloads; what a driver raises is among its `faults`."""

    @property
    def shown(self) -> str:
        """Its address for people, without any secret."""

    @property
    def faults(self) -> tuple[type[Exception], ...]:
        """What it raises where the store does not answer or refuses."""

    def inventory(self) -> Inventory | None:
        """What it holds; None where there is nothing yet.

        Raises:
            StoreError: If there is something else than composir's.
        """

    def prepare(self, inventory: Inventory) -> None:
        """Make the collection where there is none, and note the inventory."""

    def digests(self) -> Iterable[tuple[str, str]]:
        """Ids and digests of all rows."""

    def upsert(self, some: Sequence[StoredRow]) -> None:
        """Write rows, in place of those of the same ids; all of one call or none."""

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""

    def finish(self) -> None:
        """Build what searches are fast by."""

    def count(self, where: Expression | None) -> int:
        """How many rows pass a filter.

        Raises:
            FilterError: If the store cannot express it.
        """

    def sample(self, count: int, where: Expression | None) -> FloatArray:
        """(s, D) float32: the vectors of a fair sample of what passes; all where they are few."""

    def nearest(
        self, query: FloatArray, count: int, where: Expression | None, *, exact: bool
    ) -> list[StoredRow]:
        """The rows nearest to a (D,) vector by cosine; `exact` looks at all that pass."""

    def close(self) -> None:
        """Let go of connections and locks."""


@contextmanager
def answering(store: ServedStore) -> Iterator[None]:
    """Turn what a store raises into a `StoreError` that says which store it was."""
    try:
        yield
    except store.faults as error:
        said = " ".join(str(error).split())[:_SHOWN] or type(error).__name__
        raise StoreError(f"the store {store.shown} does not do what is asked: {said}") from error


def _as_json(name: str, value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date):
        return value.isoformat()
    return f"{value:016x}" if name == "perceptual_hash" else value


def _from_json(value: Any, kind: Kind) -> Any:
    if kind is not Kind.DATE or value is None:
        return value
    return datetime.fromisoformat(value) if "T" in value else date.fromisoformat(value)


def _bytes(held: Payload, name: str) -> bytes | None:
    return bytes.fromhex(held[name]) if name in held else None
