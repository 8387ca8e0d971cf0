"""The backend `endpoint`: an OpenAI-style `/embeddings` that takes pictures, over HTTP.

Redirects are not followed, so that pictures and key go to no other host; proxies of the environment
are used for other machines alone. What passes is tried again: lost connections, 408, 425, 429, 5xx.
"""

from __future__ import annotations

import base64
import binascii
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from composir.data.files import read_regular_text
from composir.data.untrusted_json import decode_json
from composir.errors import MissingExtraError, ModelError
from composir.model.base import Parts
from composir.model.joint.joint_bundle import Endpoint, JointBundle
from composir.model.joint.shapes import SHAPES
from composir.model.once import once_property
from composir.types import FloatArray

if TYPE_CHECKING:
    import httpx2

ATTEMPTS = 4
FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
_AT_ONCE = 4
_CONNECT_SECONDS = 10.0
_MOST_BYTES = 1 << 26
_MOST_KEY = 1 << 14
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
_KEPT = "what was encoded before is kept, and the same command resumes"


class RefusedInputError(ModelError):
    """The endpoint refused what it was given: another shape may suit it."""

    code = "endpoint-refuses"


def open_backend(bundle: JointBundle, _threads: int | None = None) -> EndpointBackend:
    """The endpoint that a bundle names."""
    endpoint = bundle.manifest.endpoint
    assert endpoint is not None  # the bundle was checked
    return EndpointBackend(endpoint)


class EndpointBackend:
    """Asks an endpoint; safe among threads."""

    def __init__(self, endpoint: Endpoint, sleep: Callable[[float], None] = time.sleep) -> None:
        """Set up; nothing is sent, and the key is not read yet."""
        self._endpoint, self._sleep = endpoint, sleep
        self._url = f"{endpoint.url}/embeddings"

    def prepare(self) -> None:
        """Import the client, and read the key."""
        _ = self._client

    def encode(self, items: Sequence[Parts], instruction: str) -> list[FloatArray]:
        """Encode inputs, several requests at a time."""
        shape = SHAPES.get(self._endpoint.shape)
        if shape is None:
            raise ModelError(f"no shape of request is called {self._endpoint.shape!r}")
        starts = range(0, len(items), shape.most)
        chunks = [items[start : start + shape.most] for start in starts]
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            answers = pool.map(
                lambda some: self._ask(shape.body(some, instruction), len(some)), chunks
            )
            return [vector for vectors in answers for vector in vectors]
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, body: dict[str, Any], count: int) -> list[FloatArray]:
        """One request, tried again where that may help."""
        asked = {"model": self._endpoint.model, "encoding_format": "float", **body}
        for attempt in range(ATTEMPTS):
            status, wait, content = self._once(asked)
            if status == 200:
                return self._vectors(content, count)
            if status not in {*_PASSING, 0}:
                raise self._judged(status, content)
            if attempt + 1 < ATTEMPTS:
                self._sleep(min(wait or FIRST_WAIT * 2**attempt, LONGEST_WAIT))
        told = f"answers {status} ({self._said(content)})" if status else self._said(content)
        raise ModelError(
            f"{self._url} {told}, {ATTEMPTS} times: is it running, and is it overrun? {_KEPT}"
        )

    def _once(self, body: dict[str, Any]) -> tuple[int, float | None, bytes]:
        """Status, seconds that the endpoint asks to wait, and content; status 0 for no answer."""
        import httpx2

        deadline = time.monotonic() + self._endpoint.timeout
        try:
            with self._client.stream("POST", self._url, json=body) as response:
                content = bytearray()
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > _MOST_BYTES or time.monotonic() > deadline:
                        return 0, None, b"gives an answer that does not end"
                return response.status_code, _wait_asked(response), bytes(content)
        except httpx2.TimeoutException:
            seconds = f"{self._endpoint.timeout:g}"
            told = f"gives no answer within {seconds} s (--timeout of composir models add)"
            return 0, None, told.encode()
        except httpx2.HTTPError as error:
            return 0, None, f"cannot be reached ({str(error) or type(error).__name__})".encode()

    def _judged(self, status: int, content: bytes) -> ModelError:
        """What an answer means that will not change."""
        said = self._said(content)
        told = f"{self._url} answers {status}: {said}"
        if 300 <= status < 400:
            return ModelError(f"{self._url} leads to another address, which is not followed")
        if status in {401, 403}:
            return ModelError(f"{told}; {self._key_words}; {_KEPT}")
        if status == 404:
            return RefusedInputError(
                f"{told}; is the address right, and is its model {self._endpoint.model!r}?"
            )
        return RefusedInputError(f"{told}; {_KEPT}")

    @property
    def _key_words(self) -> str:
        source = self._endpoint.key_source
        if source:
            return f"is the key in {source} right?"
        return "no key was sent: composir models add takes --key-variable and --key-file"

    def _said(self, content: bytes) -> str:
        """The endpoint's own words, cut short, and without the key where it repeats that."""
        text = content[:4_000].decode("utf-8", "replace")
        try:
            found = decode_json(text, lenient=True)
            inner = found.get("error", found.get("detail", found.get("message", text)))
            text = str(inner.get("message", inner)) if isinstance(inner, dict) else str(inner)
        except (ValueError, AttributeError):
            pass
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:200] or "nothing"

    def _vectors(self, content: bytes, count: int) -> list[FloatArray]:
        try:
            data = decode_json(content.decode("utf-8-sig"), lenient=True)["data"]
            placed = {int(one.get("index", place)): one for place, one in enumerate(data)}
            return [_vector(placed[place]["embedding"]) for place in range(count)]
        except (ValueError, LookupError, TypeError, AttributeError, binascii.Error):
            raise ModelError(
                f"{self._url} answers something else than {count} vectors: {self._said(content)}; "
                f"is that an OpenAI-style endpoint for embeddings? {_KEPT}"
            ) from None

    @once_property
    def _key(self) -> str:
        return read_key(self._endpoint)

    @once_property
    def _client(self) -> httpx2.Client:
        try:
            import httpx2
        except ModuleNotFoundError as error:
            raise MissingExtraError("httpx2", "joint") from error
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            return httpx2.Client(
                headers=headers,
                timeout=httpx2.Timeout(self._endpoint.timeout, connect=_CONNECT_SECONDS),
                trust_env=not self._endpoint.address.is_here,
                verify=self._url.startswith("https"),  # certificates take a while to load
                follow_redirects=False,
            )
        except (httpx2.InvalidURL, ValueError):  # its words would show a proxy's password
            raise ModelError(
                f"{self._url}: the variables of proxies, such as https_proxy, hold no addresses"
            ) from None


def read_key(endpoint: Endpoint) -> str:
    """The key, from where the bundle says; empty where it needs none."""
    where = endpoint.key_source
    if not where:
        return ""
    try:
        key = _kept_key(endpoint).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ModelError(f"{where} with the key of {endpoint.url}: {reason}") from None
    if not key:
        raise ModelError(f"{where} should hold the key of {endpoint.url}, and is not set or empty")
    if not all("!" <= letter <= "~" for letter in key):
        raise ModelError(f"{where} holds no key: those are one word of printable ASCII")
    return key


def _kept_key(endpoint: Endpoint) -> str:
    if endpoint.key_variable:
        return os.environ.get(endpoint.key_variable, "")
    return read_regular_text(Path(str(endpoint.key_file)), limit=_MOST_KEY)


def _wait_asked(response: httpx2.Response) -> float | None:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "")))
    except ValueError:  # none, or a date
        return None


def _vector(value: object) -> FloatArray:
    """One vector, as a list of numbers or as base64 of little-endian float32."""
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    with np.errstate(over="ignore"):  # it is told of as infinite
        vector = np.asarray(value, dtype=np.float64).astype(np.float32)
    if vector.ndim != 1 or not len(vector):
        raise ValueError("no vector")
    return vector
