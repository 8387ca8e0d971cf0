"""How a joint encoder is to be added, as far as its user says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class JointWishes:
    """How a joint encoder is to be added.

    Attributes:
        instruction: What it is told with a query; None for what is known to suit it.
        allow_remote: Whether pictures and words may be sent to another machine.
        key_variable: Environment variable with the endpoint's key.
        key_file: File with it.
        timeout: Seconds for one answer of the endpoint.
    """

    instruction: str | None = None
    allow_remote: bool = False
    key_variable: str | None = None
    key_file: Path | None = None
    timeout: float = 120.0
