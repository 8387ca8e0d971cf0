"""LanceDB: `lancedb://FOLDER/TABLE`, a table in a database's folder.

A table of LanceDB is a Lance dataset `FOLDER/TABLE.lance`, so Lance, which galleries are made of,
writes and searches it. Payloads are one column of JSON beside columns to filter by.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote

import numpy as np

from composir.errors import StoreError
from composir.gallery.expressions import Expression, Kind
from composir.gallery.filters import LanceSql
from composir.gallery.rows import vector_column, vectors_of
from composir.scale.served_ranker import row_vectors
from composir.scale.served_store import Inventory, StoredRow
from composir.types import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

_NOTE = b"composir"
_OWN = ("composir_digest", "composir_payload", "vector")
_INDEXED_FROM = 10_000
_CODED_TOGETHER = 8


class LanceFolder:
    """A table in a folder."""

    faults: tuple[type[Exception], ...] = (OSError, ValueError, RuntimeError)

    def __init__(self, address: SplitResult) -> None:
        """Know the place; no table is made yet."""
        place = Path(unquote(address.netloc + address.path))
        if not place.name or place.name == str(place):
            raise StoreError("an address of LanceDB is lancedb://FOLDER/TABLE")
        self._uri = str(place.with_name(f"{place.name}.lance"))
        self.shown = f"lancedb://{place}"

    def _dataset(self) -> Any:
        import lance

        return lance.dataset(self._uri)

    def inventory(self) -> Inventory | None:
        """What it holds; None where there is nothing yet."""
        if not Path(self._uri).exists():
            return None
        note = (self._dataset().schema.metadata or {}).get(_NOTE, b"")
        return Inventory.read(note.decode("utf-8", "replace"), self.shown)

    def prepare(self, inventory: Inventory) -> None:
        """Make the table where there is none; give one that is there the columns of by now."""
        import lance
        import pyarrow as pa

        wanted = _schema(inventory)
        if not Path(self._uri).exists():
            lance.write_dataset(wanted.empty_table(), self._uri, mode="create")
            return
        dataset = self._dataset()
        held = list(dataset.schema)
        if gone := [field.name for field in held if field not in list(wanted)]:
            dataset.drop_columns(gone)
        if new := [field for field in wanted if field not in held]:
            dataset.add_columns(pa.schema(new))
        dataset.update_schema_metadata({_NOTE.decode(): inventory.text()})

    def digests(self) -> Iterator[tuple[str, str]]:
        """Ids and digests of all rows."""
        for batch in self._dataset().to_batches(columns=["id", "composir_digest"]):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def upsert(self, some: Sequence[StoredRow]) -> None:
        """Write rows, in place of those of the same ids; one commit."""
        import pyarrow as pa

        dataset = self._dataset()
        columns: dict[str, Any] = {
            "composir_digest": [row.digest for row in some],
            "composir_payload": [json.dumps(row.payload) for row in some],
            "vector": vector_column(np.stack([row.vector for row in some])),
        }
        for field in dataset.schema:
            if field.name not in columns:
                columns[field.name] = pa.array(
                    [_value(row.payload.get(field.name), field.type) for row in some], field.type
                )
        table = pa.table({name: columns[name] for name in dataset.schema.names})
        merge = dataset.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(table.cast(dataset.schema))

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows; ids are hexadecimal."""
        listed = ", ".join(f"'{int(one, 16):016x}'" for one in ids)
        self._dataset().delete(f"id IN ({listed})")

    def finish(self) -> None:
        """Merge the pieces of many batches, and index the vectors of a large table."""
        dataset = self._dataset()
        dataset.optimize.compact_files()
        if dataset.count_rows() >= _INDEXED_FROM and not self._width() % _CODED_TOGETHER:
            if dataset.describe_indices():
                dataset.optimize.optimize_indices()
            else:
                dataset.create_index("vector", index_type="IVF_RQ", metric="cosine")

    def count(self, where: Expression | None) -> int:
        """How many rows pass a filter."""
        return int(self._dataset().count_rows(filter=self._condition(where)))

    def sample(self, count: int, where: Expression | None) -> FloatArray:
        """Vectors of rows drawn from all that pass."""
        dataset = self._dataset()
        batches = dataset.to_batches(columns=["_rowoffset"], filter=self._condition(where))
        places = np.concatenate([np.empty(0, np.int64), *(b.column(0).to_numpy() for b in batches)])
        if len(places) > count:
            places = np.sort(np.random.default_rng(0).choice(places, count, replace=False))
        table = dataset.take(places.astype(np.int64).tolist(), columns=["vector"])
        return row_vectors(list(vectors_of(table["vector"], self._width())), self._width())

    def nearest(
        self, query: FloatArray, count: int, where: Expression | None, *, exact: bool
    ) -> list[StoredRow]:
        """The rows nearest to a vector."""
        nearest: dict[str, Any] = {"column": "vector", "q": query, "k": max(count, 1)}
        nearest |= {"metric": "cosine", "use_index": not exact, "refine_factor": 5, "nprobes": 64}
        table = self._dataset().to_table(
            columns=["id", *_OWN],
            nearest=nearest,
            filter=self._condition(where),
            prefilter=True,
        )
        held = vectors_of(table["vector"], len(query))
        parts = zip(
            *(table[name].to_pylist() for name in ("id", *_OWN[:2])),
            row_vectors(list(held), len(query)),
            strict=True,
        )
        return [
            StoredRow(one, digest, json.loads(payload), vector)
            for one, digest, payload, vector in parts
        ]

    def close(self) -> None:
        """There is nothing open."""

    def _width(self) -> int:
        return int(self._dataset().schema.field("vector").type.list_size)

    def _condition(self, where: Expression | None) -> str | None:
        return None if where is None else LanceSql(self._dataset().schema).visit(where)


def _schema(inventory: Inventory) -> pa.Schema:
    import pyarrow as pa

    types = {
        Kind.TEXT: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.DATE: pa.timestamp("us"),
        Kind.TRUTH: pa.bool_(),
    }
    fields = {"id": pa.string()} | {name: types[kind] for name, kind in inventory.kinds.items()}
    fields |= dict.fromkeys(_OWN[:2], pa.string())
    fields["vector"] = pa.list_(pa.float16(), inventory.dimension)
    return pa.schema(list(fields.items()), metadata={_NOTE: inventory.text().encode()})


def _value(value: Any, kind: pa.DataType) -> Any:
    """A payload's value as a column has it."""
    if value is None:
        return None
    name = str(kind)
    if name.startswith("timestamp"):
        return datetime.fromisoformat(value)
    if name == "double":
        return float(value) if math.isfinite(value) else None
    return value
