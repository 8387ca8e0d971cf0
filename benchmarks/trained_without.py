"""Which composers a domain is reported with, and what their cards say they were trained on.

A file (`quality.py --trained FILE`) names what was trained without a domain, folders by composer, a
run (seed) each, and a bundle where the model too was made without it:

    {"pacs-domains": {"model": "runs/mini-without-pacs",
                      "composers": {"compose": ["runs/s0/composer", "runs/s1/composer"]}}}

A domain or composer that the file leaves out is reported with what ships in the bundle; a name that
nothing there has ("compose, trained without") is a row of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from composir.compose.trained import ComposerFolder
from composir.errors import BenchError
from composir.model import Model

CHOSEN_ON = frozenset({"dev", "dev_sets"})
"""Parts of a configuration that name what a run was judged on, not what it was trained on."""
TRAINED_ON = frozenset({"data", "images", "captions", "triplets", "texts", "sources", "start"})


@dataclass(frozen=True, slots=True)
class Trained:
    """What a domain is reported with.

    Attributes:
        model: Name or folder of the bundle.
        model_without: Whether that bundle was made without the domain, as the file says.
        composers: Folders of runs trained without the domain, by composer.
    """

    model: str
    model_without: bool = False
    composers: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def runs(self, model: Model) -> dict[str, tuple[Path, ...]]:
        """Folders of all composers: those that ship, and in place of some what the file names."""
        shipped = {name: (folder,) for name, folder in model.composer_folders().items()}
        return shipped | dict(self.composers)


def read_trained(path: Path | None, model: str, known: set[str]) -> dict[str, Trained]:
    """Read the file; every composer's own record must not name the domain.

    Args:
        path: The file; None for what ships alone.
        model: The bundle of domains that the file gives none.
        known: Names of the domains.

    Raises:
        BenchError: If a domain is unknown, or a composer was trained with what it is said to lack.
    """
    said: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8")) if path else {}
    if not set(said) <= known:
        raise BenchError(f"{path}: unknown {sorted(set(said) - known)}; known are {sorted(known)}")
    found = {name: Trained(model) for name in known}
    for domain, one in said.items():
        runs = {name: tuple(map(Path, folders)) for name, folders in one["composers"].items()}
        for folder in (folder for folders in runs.values() for folder in folders):
            if any(source.startswith(domain) for source in trained_on(folder)):
                raise BenchError(f"{path}: {folder} was trained with {domain}, as its card says")
        found[domain] = Trained(str(one.get("model", model)), "model" in one, runs)
    return found


def trained_on(folder: Path) -> list[str]:
    """Names of data sets, captions and triplets in the record of a composer's training."""
    config = ComposerFolder.load(folder).manifest.training.get("config")
    return sorted(set(_named(config))) if isinstance(config, dict) else []


def _named(config: Mapping[str, Any]) -> Iterator[str]:
    for key, value in config.items():
        if key in CHOSEN_ON:
            continue
        if isinstance(value, dict):
            yield from _named(value)
        elif key in TRAINED_ON:
            values = value if isinstance(value, list) else [value]
            yield from (Path(one).name for one in values if isinstance(one, str) and Path(one).name)
