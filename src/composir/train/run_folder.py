"""A run folder belongs to one configuration, so that a resumed run is the run that was started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from composir.errors import TrainingError
from composir.train.config import as_dict

CONFIG = "config.json"
MODEL = "model.txt"
LEFT_OUT = "left_out.txt"
BEFORE_TRAINING = frozenset({CONFIG, MODEL, LEFT_OUT})
"""What a run writes before anything is trained; no more is lost with it than a failed try."""


def claim(folder: Path, config: Any) -> None:
    """Make a run folder, or go on in one of the same configuration.

    A folder in which nothing was trained yet, e.g. since the data were not found, is taken over.

    Args:
        folder: The run folder; `config.json` is written into it.
        config: A frozen dataclass.

    Raises:
        TrainingError: If the folder holds a run of another configuration, its `config.json` is
            damaged, or the folder cannot be written.
    """
    text = json.dumps(as_dict(config), indent=2) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if {path.name for path in folder.iterdir()} <= BEFORE_TRAINING:
            for name in BEFORE_TRAINING:
                (folder / name).unlink(missing_ok=True)
        path = folder / CONFIG
        if path.exists():
            _check_same(path, text)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"{folder} cannot be used as a run folder: {error.strerror}") from error


def _check_same(path: Path, text: str) -> None:
    try:
        known = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TrainingError(
            f"{path} is damaged (not UTF-8 text), so nobody can tell whose run this is: "
            "choose another --out"
        ) from error
    if known != text:
        raise TrainingError(
            f"{path.parent} holds a run of another configuration (see {path}): choose another "
            "--out, or repeat that run's settings to go on with it"
        )
