"""Where an embeddings endpoint is: `http://127.0.0.1:8000/v1#NAME`, checked and never trusted."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from composir.errors import ModelError

_EXAMPLE = "http://127.0.0.1:8000/v1#NAME, NAME as the endpoint calls its model"


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """An OpenAI-style endpoint and one of its models.

    Attributes:
        url: Its base, e.g. `http://127.0.0.1:8000/v1`.
        model: What the endpoint calls the model.
    """

    url: str
    model: str

    @property
    def host(self) -> str:
        """The machine that is spoken to, with the port where one is named."""
        return urlsplit(self.url).netloc

    @property
    def is_here(self) -> bool:
        """Whether it is this machine: nothing leaves that."""
        name = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return name == "localhost"

    @property
    def is_open(self) -> bool:
        """Whether what is sent can be read on its way."""
        return not self.is_here and urlsplit(self.url).scheme == "http"


def is_address(text: str) -> bool:
    """Whether a text means an endpoint, rightly written or not."""
    return re.match("https?://", text, re.IGNORECASE) is not None


def parse_address(text: str) -> EndpointAddress:
    """Read what `composir models add` is given."""
    url, _, model = text.partition("#")
    if "@" in url or "?" in url:
        raise ModelError(
            "an endpoint's address holds no user, password or query: the key comes from a variable "
            "or file (--key-variable, --key-file)"
        )
    if not model.strip():
        raise ModelError(
            f"{text}: which of the endpoint's models? Write {_EXAMPLE}; for a model of the "
            "hub give ORG/NAME"
        )
    if not all("!" <= letter <= "~" for letter in url) or not _has_host(url):
        raise ModelError(f"{text} is no address of an endpoint; write {_EXAMPLE}")
    return EndpointAddress(url.rstrip("/").removesuffix("/embeddings"), model.strip())


def _has_host(url: str) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
