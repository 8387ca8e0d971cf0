"""How a model is to be added, as far as its user says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a model is to be added; what is behind `allow_pickle` is for joint encoders alone.

    Attributes:
        name: What to call it.
        quantise: `int8`, or None for the weights as they are.
        accepts: Asked with a licence that restricts the use; False ends the adding.
        say: Told what is being done.
        allow_pickle: Whether weights may be read from a pickle.
        instruction: What it is told with a query; None for what is known to suit it.
        allow_remote: Whether pictures and words may be sent to another machine.
        key_variable: Environment variable with the endpoint's key.
        key_file: File with it.
        timeout: Seconds for one answer of the endpoint.
    """

    name: str
    quantise: str | None
    accepts: Callable[[str], bool]
    say: Callable[[str], None]
    allow_pickle: bool = False
    instruction: str | None = None
    allow_remote: bool = False
    key_variable: str | None = None
    key_file: Path | None = None
    timeout: float = 120.0
