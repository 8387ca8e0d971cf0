"""Texts from a language model behind any OpenAI-compatible endpoint.

Captions and attributes are sent, never a picture. Answers are kept on disk by the hash of what was
asked, so that a stopped run goes on, and a longer one pays for what is new alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

from composir.errors import DatasetError
from composir.triplets.chat import Answer, ChatClient, EndpointError, NoAnswer, RefusedRequest
from composir.triplets.prompts import clean, estimated_tokens, messages, objection
from composir.triplets.records import Pair, Skipped, SourceImage, WrittenText, pair_rng

NO_BUDGET = "the budget is used up"
_TOKENS_OF_AN_ANSWER = 20
_MAY_FAIL = 12
_Body: TypeAlias = dict[str, Any]


def request_key(base_url: str, body: Mapping[str, Any]) -> str:
    """What identifies a request: endpoint and JSON. The key of the endpoint is no part of it."""
    asked = json.dumps([base_url.rstrip("/"), body], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


class AnswerCache:
    """Answers by request key, safe to share between threads and processes."""

    def __init__(self, path: Path) -> None:
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


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How the language model is used.

    Attributes:
        model: As the endpoint calls it.
        seed: Of styles and choices; also sent to the endpoint.
        max_requests: Most requests that are not answered from the cache.
        max_tokens: Of one answer.
        attempts: How often a pair is asked for after nonsense, each time with another seed.
        concurrency: Requests at a time.
        extra: Further fields of the request's JSON; a None takes a field out.
    """

    model: str
    seed: int = 0
    max_requests: int = 2000
    max_tokens: int = 120
    attempts: int = 3
    concurrency: int = 8
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Usage:
    """What a run has cost or may cost; tokens as the endpoint counts them, else estimated."""

    requests: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    nonsense: int = 0


class LanguageModelWriter:
    """Writes with a language model; keeps what it was told."""

    def __init__(
        self, client: ChatClient, base_url: str, settings: WriterSettings, cache: AnswerCache
    ) -> None:
        self._client = client
        self._base_url = base_url
        self._settings = settings
        self._cache = cache
        self._lock = threading.Lock()
        self._begun = 0
        self._failed_in_a_row = 0
        self.usage = Usage()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that changes what it writes; a larger budget only lets it write more."""
        chosen = self._settings
        return {
            "writer": "language model",
            "language_model": chosen.model,
            "base_url": self._base_url,
            "max_tokens": chosen.max_tokens,
            "attempts": chosen.attempts,
            "extra": dict(chosen.extra),
        }

    @property
    def is_spent(self) -> bool:
        """Whether the budget of requests is used up."""
        return self._begun >= self._settings.max_requests

    def budget(self, pairs: list[Pair], images: tuple[SourceImage, ...], wanted: int) -> Usage:
        """What making triplets may cost at most, estimated from the first pairs."""
        requests = min(self._settings.max_requests, -(-wanted * 4 // 3))
        sizes = [estimated_tokens(self._body(pair, images, 0)) for pair in pairs]
        mean = sum(sizes) / max(1, len(sizes))
        tokens_out = requests * _TOKENS_OF_AN_ANSWER
        return Usage(requests, tokens_in=round(requests * mean), tokens_out=tokens_out)

    def write(
        self, pairs: list[Pair], images: tuple[SourceImage, ...]
    ) -> list[WrittenText | Skipped]:
        """One text, or the reason for none, a pair, in order."""
        futures: list[Future[WrittenText | Skipped]] = [Future() for _ in pairs]
        jobs: SimpleQueue[int | None] = SimpleQueue()
        for place in (*range(len(pairs)), *[None] * self._settings.concurrency):
            jobs.put(place)

        def work() -> None:
            while (place := jobs.get()) is not None:
                try:
                    futures[place].set_result(self._one(pairs[place], images))
                except BaseException as error:
                    futures[place].set_exception(error)
                    return

        # Daemons: Ctrl-C must not wait for answers that are still on their way.
        for _ in range(min(self._settings.concurrency, len(pairs))):
            threading.Thread(target=work, daemon=True).start()
        try:
            return [future.result() for future in futures]
        except BaseException:
            self._client.stop()
            raise

    def _one(self, pair: Pair, images: tuple[SourceImage, ...]) -> WrittenText | Skipped:
        reason = ""
        for attempt in range(self._settings.attempts):
            body = self._body(pair, images, attempt)
            request = request_key(self._base_url, body)
            answer = self._answer(request, body)
            if isinstance(answer, Skipped):
                return answer
            text = clean(answer.text)
            reason = objection(text, images[pair.reference].captions)
            if not reason:
                return WrittenText(text, text, self._origin(request, attempt))
            with self._lock:
                self.usage.nonsense += 1
        return Skipped(f"nonsense {self._settings.attempts} times: {reason}")

    def _origin(self, request: str, attempt: int) -> dict[str, Any]:
        model = self._settings.model
        return {
            "writer": "language model",
            "language_model": model,
            "base_url": self._base_url,
            "request": request[:16],
            "attempt": attempt + 1,
        }

    def _body(self, pair: Pair, images: tuple[SourceImage, ...], attempt: int) -> _Body:
        names = (images[pair.reference].id, images[pair.target].id)
        rng = pair_rng(self._settings.seed, pair.label, *names, str(attempt))
        body: _Body = {
            "model": self._settings.model,
            "messages": messages(pair, images, rng),
            "temperature": 0.7,
            "max_tokens": self._settings.max_tokens,
            "seed": int(rng.integers(2**31)),
        }
        body |= self._settings.extra
        return {name: value for name, value in body.items() if value is not None}

    def _answer(self, request: str, body: _Body) -> Answer | Skipped:
        known = self._cache.get(request)
        if known is not None:
            with self._lock:
                self.usage.cached += 1
            return known
        if not self._may_ask():
            return Skipped(NO_BUDGET)
        try:
            answer = self._client.ask(body)
        except RefusedRequest as error:
            return Skipped(f"refused by the endpoint: {error}"[:120])
        except NoAnswer as error:
            return self._unanswered(error)
        self._cache.put(request, answer)
        self._count(answer, body)
        return answer

    def _may_ask(self) -> bool:
        with self._lock:
            if self.is_spent:
                return False
            self._begun += 1
            return True

    def _count(self, answer: Answer, body: _Body) -> None:
        with self._lock:
            self._failed_in_a_row = 0
            self.usage.requests += 1
            self.usage.tokens_in += answer.tokens_in or estimated_tokens(body)
            self.usage.tokens_out += answer.tokens_out or -(-len(answer.text) // 4)

    def _unanswered(self, error: NoAnswer) -> Skipped:
        """One request without an answer is skipped; many in a row end the run."""
        with self._lock:
            self._failed_in_a_row += 1
            is_down = self._failed_in_a_row >= max(_MAY_FAIL, self._settings.concurrency)
            kept = self.usage.requests + self.usage.cached
        if is_down:
            raise EndpointError(
                f"{error}; no answer to {_MAY_FAIL} requests in a row, so this run ends; {kept:,} "
                f"answers are kept, and the same command resumes when the endpoint works again"
            )
        return Skipped("no answer from the endpoint")
