"""A run folder belongs to one configuration, so that a resumed run is the run that was started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from composir.errors import TrainingError
from composir.train.config import as_dict

CONFIG = "config.json"


def claim(folder: Path, config: Any) -> None:
    """Make a run folder, or go on in one of the same configuration.

    Args:
        folder: The run folder; `config.json` is written into it.
        config: A frozen dataclass.

    Raises:
        TrainingError: If the folder holds a run of another configuration or cannot be written.
    """
    path = folder / CONFIG
    text = json.dumps(as_dict(config), indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = path.read_text(encoding="utf-8") if path.exists() else text
        path.write_text(known, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{folder} cannot be used as a run folder: {error.strerror}") from error
    if known != text:
        raise TrainingError(
            f"{folder} holds a run of another configuration (see {path}): choose another --out, "
            "or repeat that run's settings to go on with it"
        )
