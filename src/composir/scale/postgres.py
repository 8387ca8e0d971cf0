"""PostgreSQL with pgvector: `postgresql://USER@HOST:PORT/DATABASE?table=NAME`.

All else in the address goes to libpq, such as `?host=/run/postgresql`; the password comes from
`PGPASSWORD` or `~/.pgpass`. Vectors are `halfvec`, payloads `jsonb`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlunsplit

import psycopg
from psycopg import sql

from composir.errors import StoreError
from composir.gallery import expressions as tree
from composir.gallery.expressions import Expression, Kind
from composir.scale.served_ranker import row_vectors
from composir.scale.served_store import Inventory, StoredRow
from composir.types import FloatArray

_TABLE = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_MOST_INDEXED = 4000  # numbers of a halfvec that pgvector indexes
_CASTS = {Kind.NUMBER: "::numeric", Kind.DATE: "::timestamp", Kind.TRUTH: "::boolean"}
_LISTS = {Kind.NUMBER: "numeric[]", Kind.DATE: "timestamp[]", Kind.TEXT: "text[]"}
_FUNCTIONS = {"lower": "lower({})", "upper": "upper({})", "trim": "btrim({}, ' ')"}
_FUNCTIONS |= {"length": "char_length({})", "abs": "abs({})"}


class PostgresStore:
    """A table of a PostgreSQL database."""

    faults: tuple[type[Exception], ...] = (psycopg.Error, OSError)

    def __init__(self, address: SplitResult) -> None:
        """Connect; no table is made yet."""
        given = dict(parse_qsl(address.query))
        self._table = given.pop("table", "composir")
        if not _TABLE.fullmatch(self._table):
            raise StoreError(f"{self._table!r} is no name of a table: letters a to z, digits and _")
        self._address = urlunsplit((*address[:3], urlencode(given), ""))
        host = address.hostname or given.get("host", "")
        self.shown = f"postgresql://{host}{address.path}?table={self._table}"
        self._kept: psycopg.Connection[Any] | None = None

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Cursor[Any]]:
        if self._kept is None or self._kept.closed:
            self._kept = psycopg.connect(self._address, connect_timeout=30, autocommit=True)
        with self._kept.transaction(), self._kept.cursor() as cursor:
            yield cursor

    def _sql(self, text: str) -> sql.Composed:
        """A command of this file, with the table's name; values are always parameters."""
        return sql.SQL(text).format(table=sql.Identifier(self._table))

    def inventory(self) -> Inventory | None:
        """What it holds; None where there is nothing yet."""
        with self._transaction() as cursor:
            cursor.execute("SELECT to_regclass(%s)::oid", [self._table])
            place = (cursor.fetchone() or [None])[0]
            if place is None:
                return None
            cursor.execute("SELECT obj_description(%s::oid, 'pg_class')", [place])
            note = (cursor.fetchone() or [None])[0]
        return Inventory.read(note or "", self.shown)

    def prepare(self, inventory: Inventory) -> None:
        """Make the table where there is none, and note the inventory."""
        with self._transaction() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")
            make = (
                "CREATE TABLE IF NOT EXISTS {table} (id text PRIMARY KEY, digest text NOT NULL, "
                f"payload jsonb NOT NULL, vector halfvec({inventory.dimension}) NOT NULL)"
            )
            cursor.execute(self._sql(make))
            note = sql.SQL("COMMENT ON TABLE {} IS {}")
            cursor.execute(note.format(sql.Identifier(self._table), sql.Literal(inventory.text())))

    def digests(self) -> Iterator[tuple[str, str]]:
        """Ids and digests of all rows."""
        with self._transaction() as cursor:
            cursor.execute(self._sql("SELECT id, digest FROM {table}"))
            yield from cursor.fetchall()

    def upsert(self, some: Sequence[StoredRow]) -> None:
        """Write rows, in place of those of the same ids; all of one call or none."""
        write = (
            "INSERT INTO {table} (id, digest, payload, vector) "
            "VALUES (%s, %s, %s::jsonb, %s::halfvec) ON CONFLICT (id) DO UPDATE SET "
            "digest = excluded.digest, payload = excluded.payload, vector = excluded.vector"
        )
        values = [
            # jsonb takes no NUL
            (row.id, row.digest, _json(row.payload), _vector(row.vector))
            for row in some
        ]
        with self._transaction() as cursor:
            cursor.executemany(self._sql(write), values)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows."""
        with self._transaction() as cursor:
            cursor.execute(self._sql("DELETE FROM {table} WHERE id = ANY(%s)"), [list(ids)])

    def finish(self) -> None:
        """Build the graph over the vectors, where pgvector can."""
        held = self.inventory()
        if held is None or held.dimension > _MOST_INDEXED:
            return
        build = "CREATE INDEX IF NOT EXISTS {index} ON {table} USING hnsw (vector {kind})"
        with self._transaction() as cursor:
            cursor.execute(
                sql.SQL(build).format(
                    index=sql.Identifier(f"{self._table[:50]}_nearest"),
                    table=sql.Identifier(self._table),
                    kind=sql.SQL("halfvec_cosine_ops"),
                )
            )
            cursor.execute(self._sql("ANALYZE {table}"))

    def count(self, where: Expression | None) -> int:
        """How many rows pass a filter."""
        condition, values = _condition(where)
        with self._transaction() as cursor:
            cursor.execute(self._sql(f"SELECT count(*) FROM {{table}} {condition}"), values)
            return int((cursor.fetchone() or [0])[0])

    def sample(self, count: int, where: Expression | None) -> FloatArray:
        """The first by id: ids are hashes, so these are a fair sample."""
        condition, values = _condition(where)
        ask = f"SELECT vector::real[] FROM {{table}} {condition} ORDER BY id LIMIT %s"
        with self._transaction() as cursor:
            cursor.execute(self._sql(ask), [*values, count])
            found = [row[0] for row in cursor.fetchall()]
        held = None if found else self.inventory()
        return row_vectors(found, len(found[0]) if found else getattr(held, "dimension", 1))

    def nearest(
        self, query: FloatArray, count: int, where: Expression | None, *, exact: bool
    ) -> list[StoredRow]:
        """The rows nearest to a vector; the graph goes on until so many have passed the filter."""
        condition, values = _condition(where)
        ask = (
            f"SELECT id, digest, payload, vector::real[] FROM {{table}} {condition} "
            "ORDER BY vector <=> %s::halfvec LIMIT %s"
        )
        settings = {"hnsw.iterative_scan": "strict_order", "hnsw.max_scan_tuples": "200000"}
        settings |= {"hnsw.ef_search": str(min(1000, max(100, 2 * count)))}
        settings |= {"enable_indexscan": "off"} if exact else {}
        with self._transaction() as cursor:
            for name, value in settings.items():
                cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
            cursor.execute(self._sql(ask), [*values, _vector(query), count])
            found = cursor.fetchall()
        if not found:
            return []
        vectors = row_vectors([row[3] for row in found], len(query))
        return [
            StoredRow(one, digest, payload, vector)
            for (one, digest, payload, _), vector in zip(found, vectors, strict=True)
        ]

    def close(self) -> None:
        """End the connection."""
        if self._kept is not None:
            self._kept.close()


def _vector(vector: FloatArray) -> str:
    return "[" + ",".join(f"{number:.6g}" for number in vector.tolist()) + "]"


def _json(payload: Any) -> str:
    """JSON without NUL, which jsonb does not take."""
    return json.dumps(payload, ensure_ascii=True).replace("\\u0000", "\\ufffd")


def _condition(where: Expression | None) -> tuple[str, list[Any]]:
    if where is None:
        return "", []
    visitor = PostgresSql()
    text = visitor.visit(where)
    return f"WHERE {text}", visitor.values


class PostgresSql(tree.ExpressionVisitor[str]):
    """Writes a tree as SQL over payloads; names and values are parameters, in order.

    Numbers of columns are compared as they were written, calculations are in double precision.
    """

    def __init__(self) -> None:
        """Begin without parameters."""
        self.values: list[Any] = []

    def _parameter(self, value: Any) -> str:
        self.values.append(value)
        return "%s"

    def visit_column(self, node: tree.Column) -> str:
        """A field of the payload, as its kind."""
        return f"(payload->>{self._parameter(node.name)}){_CASTS.get(node.kind, '')}"

    def visit_literal(self, node: tree.Literal) -> str:
        """A value."""
        if isinstance(node.value, bool | datetime):
            return f"{self._parameter(node.value)}{_CASTS[node.kind]}"
        return f"{self._parameter(str(node.value))}{_CASTS.get(node.kind, '::text')}"

    def visit_call(self, node: tree.Call) -> str:
        """A function."""
        argument = self.visit(node.argument)
        if node.argument.kind is Kind.DATE:
            return f"extract({node.function} from {argument})"
        return _FUNCTIONS[node.function].format(argument)

    def visit_arithmetic(self, node: tree.Arithmetic) -> str:
        """In double precision; what is divided by zero has no value."""
        left, right = self.visit(node.left), f"{self.visit(node.right)}::float8"
        right = f"nullif({right}, 0)" if node.operator == "/" else right
        return f"({left}::float8 {node.operator} {right})"

    def visit_negative(self, node: tree.Negative) -> str:
        """The other sign."""
        return f"(-{self.visit(node.operand)})"

    def visit_comparison(self, node: tree.Comparison) -> str:
        """Two values; texts by code point."""
        order = ' COLLATE "C"' if node.left.kind is Kind.TEXT else ""
        left = self.visit(node.left)
        return f"({left} {node.operator} {self.visit(node.right)}{order})"

    def visit_in(self, node: tree.In) -> str:
        """A list."""
        operand, kind = self.visit(node.operand), node.operand.kind
        plain = kind is Kind.DATE
        values = [value if plain else str(value) for value in node.values]
        return f"({operand} = ANY({self._parameter(values)}::{_LISTS[kind]}))"

    def visit_like(self, node: tree.Like) -> str:
        """A pattern, with a backslash as the sign of escape."""
        parts = [
            part.value if isinstance(part, tree.Wildcard) else re.sub(r"([%_\\])", r"\\\1", part)
            for part in node.pattern
        ]
        verb = "ILIKE" if node.any_case else "LIKE"
        operand = self.visit(node.operand)
        return f"({operand} {verb} {self._parameter(''.join(parts))})"

    def visit_isnull(self, node: tree.IsNull) -> str:
        """Whether there is no value."""
        return f"({self.visit(node.operand)} IS NULL)"

    def visit_and(self, node: tree.And) -> str:
        """All terms."""
        return f"({' AND '.join(self.visit(term) for term in node.terms)})"

    def visit_or(self, node: tree.Or) -> str:
        """Any term."""
        return f"({' OR '.join(self.visit(term) for term in node.terms)})"

    def visit_not(self, node: tree.Not) -> str:
        """The opposite; SQL leaves what has no value as it is."""
        return f"(NOT {self.visit(node.operand)})"
