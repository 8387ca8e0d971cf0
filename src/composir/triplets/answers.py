"""Answers of language models on disk, by the hash of what was asked: nothing is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from composir.errors import DatasetError
from composir.triplets.chat import Answer


def request_key(base_url: str, body: Mapping[str, Any]) -> str:
    """What identifies a request: endpoint and JSON. The key of the endpoint is no part of it."""
    asked = json.dumps([base_url.rstrip("/"), body], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


class AnswerCache:
    """Answers by request key, safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
        """Open the cache, or start it."""
        self._path = path
        with self._connected() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (request TEXT PRIMARY KEY, text TEXT,"
                " tokens_in INTEGER, tokens_out INTEGER) WITHOUT ROWID"
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; what goes wrong with it is told."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=60)) as connection, connection:
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise DatasetError(
                f"{self._path}: the cache of answers cannot be used ({error}); make room on its "
                f"disk, or move it away"
            ) from error

    def get(self, request: str) -> Answer | None:
        """The answer to a request, if it is known.

        Returns:
            What the endpoint said; None if it was never asked.
        """
        with self._connected() as connection:
            row = connection.execute(
                "SELECT text, tokens_in, tokens_out FROM answers WHERE request = ?", (request,)
            ).fetchone()
        return None if row is None else self._answer(row)

    @staticmethod
    def _answer(row: tuple[Any, ...]) -> Answer | None:
        """What a row says; None, so that it is asked again, where something else wrote it."""
        kinds = tuple(map(type, row))
        return Answer(*row) if kinds == (str, int, int) else None

    def put(self, request: str, answer: Answer) -> None:
        """Keep an answer."""
        row = (request, answer.text, answer.tokens_in, answer.tokens_out)
        with self._connected() as connection:
            connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
