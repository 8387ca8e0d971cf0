"""Qdrant: `qdrant://HOST:PORT/COLLECTION`, or `qdrant:///FOLDER/COLLECTION` without a server.

The key of a server comes from `QDRANT_API_KEY`; `?tls=1` asks for an encrypted connection.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs

import httpx
import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from composir.errors import FilterError, StoreError
from composir.gallery import expressions as tree
from composir.gallery.expressions import Expression, Kind
from composir.scale.served_ranker import row_vectors
from composir.scale.served_store import Inventory, StoredRow
from composir.types import FloatArray

_PORT = 6333
_PAGE = 4096
_SEARCHED = 256  # candidates that Qdrant's graph keeps, at least
_NOTE = "composir"
_DIGEST = "composir_digest"
_INDEXES = {
    Kind.TEXT: models.PayloadSchemaType.KEYWORD,
    Kind.NUMBER: models.PayloadSchemaType.FLOAT,
    Kind.DATE: models.PayloadSchemaType.DATETIME,
    Kind.TRUTH: models.PayloadSchemaType.BOOL,
}
_BOUNDS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}


class QdrantStore:
    """A collection of a Qdrant server, or of a folder for a few thousand images."""

    faults: tuple[type[Exception], ...] = (ApiException, httpx.HTTPError, OSError, ValueError)

    def __init__(self, address: SplitResult) -> None:
        """Open; no collection is made yet."""
        place = Path(address.path)
        self._name = place.name
        if not self._name:
            raise StoreError("an address of Qdrant ends in a collection: qdrant://localhost/photos")
        self._local = not address.hostname
        if self._local:
            self._client = QdrantClient(path=str(place.parent))
            self.shown = f"qdrant://{place}"
            return
        port, tls = address.port or _PORT, parse_qs(address.query).get("tls") == ["1"]
        key = os.environ.get("QDRANT_API_KEY")
        self._client = QdrantClient(
            host=address.hostname,
            port=port,
            https=tls,
            api_key=key,
            timeout=60,
            check_compatibility=False,
        )
        self.shown = f"qdrant://{address.hostname}:{port}/{self._name}"

    def inventory(self) -> Inventory | None:
        """What it holds; None where there is nothing yet."""
        if not self._client.collection_exists(self._name):
            return None
        note = (self._client.get_collection(self._name).config.metadata or {}).get(_NOTE)
        return Inventory.read(note if isinstance(note, str) else "", self.shown)

    def prepare(self, inventory: Inventory) -> None:
        """Make the collection where there is none, and note the inventory."""
        note = {_NOTE: inventory.text()}
        if self._client.collection_exists(self._name):
            self._client.update_collection(self._name, metadata=note)
        else:
            vectors = models.VectorParams(
                size=inventory.dimension,
                distance=models.Distance.COSINE,
                datatype=models.Datatype.FLOAT16,
            )
            self._client.create_collection(self._name, vectors_config=vectors, metadata=note)
        if not self._local:
            for name, kind in inventory.kinds.items():
                self._client.create_payload_index(self._name, name, field_schema=_INDEXES[kind])

    def digests(self) -> Iterator[tuple[str, str]]:
        """Ids and digests of all rows."""
        for point in self._scrolled(None, with_payload=[_DIGEST]):
            yield f"{int(point.id):016x}", str((point.payload or {}).get(_DIGEST))

    def upsert(self, some: Sequence[StoredRow]) -> None:
        """Write rows, in place of those of the same ids."""
        points = [
            models.PointStruct(
                id=int(row.id, 16),
                vector=row.vector.tolist(),
                payload=row.payload | {_DIGEST: row.digest},
            )
            for row in some
        ]
        self._client.upsert(self._name, points)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        points = models.PointIdsList(points=[int(one, 16) for one in ids])
        self._client.delete(self._name, points)

    def finish(self) -> None:
        """Qdrant builds its graph by itself, while it is written."""

    def count(self, where: Expression | None) -> int:
        """How many rows pass a filter."""
        return int(self._client.count(self._name, count_filter=_filter(where), exact=True).count)

    def sample(self, count: int, where: Expression | None) -> FloatArray:
        """The first by id: ids are hashes, so these are a fair sample."""
        found: list[Any] = []
        for point in self._scrolled(_filter(where), with_vectors=True, with_payload=False):
            found.append(point.vector)
            if len(found) == count:
                break
        return row_vectors(found, self._width())

    def nearest(
        self, query: FloatArray, count: int, where: Expression | None, *, exact: bool
    ) -> list[StoredRow]:
        """The rows nearest to a vector."""
        how = models.SearchParams(exact=exact, hnsw_ef=max(_SEARCHED, 2 * count))
        found = self._client.query_points(
            self._name,
            query=query.tolist(),
            query_filter=_filter(where),
            search_params=None if self._local else how,  # a folder is always searched whole
            limit=max(count, 1),
            with_vectors=True,
        ).points
        rows = []
        for point in found:
            payload = dict(point.payload or {})
            digest = str(payload.pop(_DIGEST, ""))
            vector = row_vectors([point.vector], len(query))[0]
            rows.append(StoredRow(f"{int(point.id):016x}", digest, payload, vector))
        return rows

    def close(self) -> None:
        """Let go of the server, or of the folder's lock."""
        self._client.close()

    def _width(self) -> int:
        held = self.inventory()
        return 0 if held is None else held.dimension

    def _scrolled(self, where: models.Filter | None, **what: Any) -> Iterator[Any]:
        offset: Any = None
        while True:
            page, offset = self._client.scroll(self._name, where, _PAGE, offset=offset, **what)
            yield from page
            if offset is None:
                return


def _filter(where: Expression | None) -> models.Filter | None:
    if where is None:
        return None
    return models.Filter(must=[QdrantConditions().visit(where)])


def _beyond(what: str) -> FilterError:
    return FilterError(
        f"Qdrant cannot filter by {what}; it compares columns with values, lists and ranges"
    )


class QdrantConditions(tree.ExpressionVisitor[Any]):
    """Turns a tree into Qdrant's conditions: a column against values, joined; and nothing else.

    Qdrant knows true and false alone. So `NOT` is said of the smallest parts, and only of those
    that have a value.
    """

    def visit_column(self, node: tree.Column) -> Any:
        """A column of truth, as a condition."""
        return models.FieldCondition(key=_key(node), match=models.MatchValue(value=True))

    def visit_literal(self, node: tree.Literal) -> Any:
        """True is what no condition forbids, false what an empty list of ids holds."""
        nothing = models.HasIdCondition(has_id=[])
        return models.Filter(must_not=[nothing]) if node.value else nothing

    def visit_call(self, node: tree.Call) -> Any:
        """Not to be had."""
        raise _beyond(f"{node.function}()")

    def visit_arithmetic(self, node: tree.Arithmetic) -> Any:
        """Not to be had."""
        raise _beyond(f"calculations with {node.operator}")

    def visit_negative(self, node: tree.Negative) -> Any:
        """Not to be had."""
        raise _beyond(f"the negative of {node.operand.kind.value}")

    def visit_comparison(self, node: tree.Comparison) -> Any:
        """A column against a value."""
        column, value = self._column(node.left), node.right
        if not isinstance(value, tree.Literal):
            raise _beyond("one column against another")
        if node.operator == "<>":
            return self._denied(tree.Comparison("=", column, value))
        if column.kind is Kind.TEXT and node.operator != "=":
            raise _beyond("the order of texts")
        return _against(column, node.operator, value.value)

    def visit_in(self, node: tree.In) -> Any:
        """A column against several values."""
        column = self._column(node.operand)
        if column.kind is Kind.TEXT:
            texts = [str(value) for value in node.values]
            return models.FieldCondition(key=_key(column), match=models.MatchAny(any=texts))
        return models.Filter(should=[_against(column, "=", value) for value in node.values])

    def visit_like(self, node: tree.Like) -> Any:
        """Only what is a whole text."""
        if node.any_case or any(isinstance(part, tree.Wildcard) for part in node.pattern):
            raise _beyond("LIKE")
        return _against(self._column(node.operand), "=", "".join(map(str, node.pattern)))

    def visit_isnull(self, node: tree.IsNull) -> Any:
        """Columns without a value are missing in payloads."""
        field = models.PayloadField(key=_key(self._column(node.operand)))
        return models.IsEmptyCondition(is_empty=field)

    def visit_and(self, node: tree.And) -> Any:
        """All terms."""
        return models.Filter(must=[self.visit(term) for term in node.terms])

    def visit_or(self, node: tree.Or) -> Any:
        """Any term."""
        return models.Filter(should=[self.visit(term) for term in node.terms])

    def visit_not(self, node: tree.Not) -> Any:
        """The opposite, said of the smallest parts."""
        inner = node.operand
        if isinstance(inner, tree.Not):
            return self.visit(inner.operand)
        if isinstance(inner, tree.And | tree.Or):
            other = tree.Or if isinstance(inner, tree.And) else tree.And
            return self.visit(other(tuple(map(tree.Not, inner.terms))))
        return self._denied(inner)

    def _denied(self, leaf: Expression) -> Any:
        if isinstance(leaf, tree.Comparison) and leaf.operator == "<>":
            return self.visit(tree.Comparison("=", leaf.left, leaf.right))
        denied = [self.visit(leaf)]
        if isinstance(leaf, tree.Comparison):
            denied.append(self.visit(tree.IsNull(leaf.left)))
        elif isinstance(leaf, tree.In | tree.Like):
            denied.append(self.visit(tree.IsNull(leaf.operand)))
        elif isinstance(leaf, tree.Column):
            denied.append(self.visit(tree.IsNull(leaf)))
        return models.Filter(must_not=denied)

    def _column(self, node: Expression) -> tree.Column:
        if isinstance(node, tree.Column):
            return node
        if isinstance(node, tree.Literal):
            raise _beyond("a value against a value")
        self.visit(node)  # says what of it cannot be had
        raise _beyond("what is no column")


def _key(column: tree.Column) -> str:
    """A payload's key; quoted, as a point in a name would mean something inside of it."""
    if '"' in column.name:
        raise _beyond(f"the column {column.name!r}, whose name has a quotation mark")
    return column.name if column.name.isidentifier() else f'"{column.name}"'


def _against(column: tree.Column, operator: str, value: tree.Value) -> Any:
    key = _key(column)
    if isinstance(value, str | bool):
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))
    ends = ("gte", "lte") if operator == "=" else (_BOUNDS[operator],)
    if isinstance(value, datetime):
        return models.FieldCondition(
            key=key, range=models.DatetimeRange(**dict.fromkeys(ends, value))
        )
    number = float(np.clip(float(value), -1e300, 1e300))
    return models.FieldCondition(key=key, range=models.Range(**dict.fromkeys(ends, number)))
