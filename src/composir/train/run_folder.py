"""A run folder belongs to one configuration, so that a resumed run is the run that was started."""

from __future__ import annotations

import json
import os
from pathlib import Path

from composir.data.files import read_regular
from composir.data.outputs import check_own_folder, open_inside, write_inside
from composir.data.untrusted_json import MANIFEST_LIMIT, decode_json
from composir.errors import TrainingError
from composir.train.config import Settings, as_dict

CONFIG = "config.json"
MODEL = "model.txt"
LEFT_OUT = "left_out.txt"
BEFORE_TRAINING = frozenset({CONFIG, MODEL, LEFT_OUT})
"""What a run writes before anything is trained; no more is lost with it than a failed try."""

_claimed: dict[Path, bytes] = {}
"""What stands in `config.json` of the run folders of this process."""


def claim(folder: Path, config: Settings) -> None:
    """Make a run folder, or go on in one of the same configuration.

    A folder in which the same recipe began and trained nothing yet, e.g. since the data were not
    found, is taken over; should that run still go on, `refuse_taken_over` ends it.
    """
    check_own_folder(folder, {CONFIG}, "--out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if _is_failed_try(folder, config):
            for name in BEFORE_TRAINING:
                (folder / name).unlink(missing_ok=True)
        if (folder / CONFIG).exists():
            _check_same(folder / CONFIG, config)
            os.close(open_inside(folder, CONFIG, os.O_WRONLY))  # tells early of a read-only folder
        else:
            write_inside(folder, CONFIG, json.dumps(as_dict(config), indent=2) + "\n")
        _claimed[folder.resolve()] = _said(folder / CONFIG)
    except OSError as error:
        raise TrainingError(f"{folder} cannot be used as a run folder: {error.strerror}") from error


def refuse_taken_over(folder: Path) -> None:
    """Check that nobody else has taken over this process's run folder, before writing into it."""
    for place in (folder.resolve(), *folder.resolve().parents):
        path = place / CONFIG
        claimed = _claimed.get(place)
        if claimed is not None and path.exists() and not _says(path, claimed):
            raise TrainingError(
                f"{place} was taken over by a run of another configuration (see {path}) before "
                "this one had anything to keep: start this one again with another --out"
            )


def _is_failed_try(folder: Path, config: Settings) -> bool:
    """Whether the recipe began here and trained nothing; other things' files are not replaced."""
    names = {path.name for path in folder.iterdir()}
    if CONFIG not in names or not names <= BEFORE_TRAINING:
        return False
    known = _said(folder / CONFIG)
    return _parsed(known, config) is not None or _is_cut_off(known, config)


def _parsed(known: bytes, config: Settings) -> Settings | None:
    """Settings of the same recipe, whichever version wrote them; None where they are none."""
    try:
        values = decode_json(known.decode("utf-8"))
        return type(config).model_validate(values) if values else None
    except ValueError:  # a pydantic.ValidationError is one too
        return None


def _is_cut_off(known: bytes, config: Settings) -> bool:
    """Whether it is the begin of such settings, as earlier versions left it when they were killed.

    What is no JSON for another reason may be somebody's own file, and is nothing to take over.
    """
    begin = f'{{\n  "{next(iter(type(config).model_fields), "")}": '
    text = known.decode("utf-8", "replace")
    return begin.startswith(text) or text.startswith(begin)


def _says(path: Path, claimed: bytes) -> bool:
    try:
        return _said(path) == claimed
    except OSError:  # grown, or exchanged for something else
        return False


def _said(path: Path) -> bytes:
    return read_regular(path, limit=MANIFEST_LIMIT)


def _check_same(path: Path, config: Settings) -> None:
    known = _said(path)
    try:
        known.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TrainingError(
            f"{path} is damaged (not UTF-8 text), so nobody can tell whose run this is: "
            "choose another --out"
        ) from error
    kept = _parsed(known, config)
    if kept is None or as_dict(kept) != as_dict(config):
        raise TrainingError(
            f"{path.parent} holds a run of another configuration (see {path}): choose another "
            "--out, or repeat that run's settings to go on with it"
        )
