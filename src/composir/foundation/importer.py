"""`composir models add`: a checkpoint that people have becomes a bundle, or nothing at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from torch import nn

from composir.compose.phrase_files import write_phrases
from composir.data.files import TEMPORARY_PREFIX
from composir.errors import ModelError
from composir.foundation import export, families
from composir.foundation.checkpoint import Checkpoint
from composir.foundation.fitting import fit_settings, read_sample
from composir.foundation.parity import Parity, measure
from composir.foundation.parts import Parts
from composir.foundation.quantise import quantised_graphs
from composir.foundation.transformers_code import quiet
from composir.model import Model
from composir.model.bundle import Bundle, Manifest, save_manifest

Quantise: TypeAlias = Literal["int8"]
TEMPLATES = {"pseudo_word": "a photo of {}", "composed": "a photo of {} that {text}"}
MEAN_IMAGE, SPREAD = "mean_image.npy", "spread.npy"
_ABANDONED_SECONDS = 24 * 3600.0
UNKNOWN_LICENCE = "unknown"
"""What a bundle states where the checkpoint's card states no licence."""


def import_model(
    source: Path,
    destination: Path,
    *,
    name: str,
    quantise: Quantise | None = None,
    say: Callable[[str], None] = lambda _line: None,
    allow_pickle: bool = False,
) -> Manifest:
    """Turn a checkpoint's folder into a bundle.

    Everything is written beside the destination and gets its name at the end: whatever goes wrong,
    nothing half-added remains.
    """
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise ModelError(f"{destination} exists already: remove it first, or take another name")
    checkpoint = Checkpoint(source, allow_pickle=allow_pickle)
    with quiet():
        return _imported(checkpoint, destination, name, quantise, say)


def _imported(
    checkpoint: Checkpoint,
    destination: Path,
    name: str,
    quantise: Quantise | None,
    say: Callable[[str], None],
) -> Manifest:
    family = families.family_of(checkpoint)
    say(f"reading {checkpoint.name}: {family}")
    with _beside(destination) as folder:
        fields = _exported(checkpoint, family, name, folder, say)
        save_manifest(folder, fields)
        reference = families.family_named(family).reference(checkpoint)
        say(f"comparing with {reference.code}")
        parity = measure(Model(Bundle.load(folder)), reference)
        for line in parity.lines():
            say(line)
        parity.check()
        fields["training"]["parity"] = parity.model_dump()
        if quantise:
            fields["training"]["int8"] = quantised_graphs(Model(Bundle.load(folder)), say)
            save_manifest(folder, fields)
        say("fitting thresholds and confidence on the packaged sample")
        fields |= _fitted(folder, say)
        (folder / "README.md").write_text(_card(fields, parity), encoding="utf-8")
        return save_manifest(folder, fields)


def _exported(
    checkpoint: Checkpoint, family: str, name: str, folder: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Towers live in here alone: comparing needs their memory for the family's own model."""
    parts = families.family_named(family).read(checkpoint)
    checkpoint.release()
    _check_room(parts, folder)
    say("exporting the text and image towers")
    export.write_files(parts, folder)
    return _fields(parts, name, checkpoint.name)


def _fields(parts: Parts, name: str, source: str) -> dict[str, Any]:
    licence = parts.licence or UNKNOWN_LICENCE
    counted = [tensor for part in _modules(parts) for tensor in part.parameters()] + [parts.words]
    return {
        "name": name,
        "family": parts.family,
        "dimension": parts.text.spec.dimension,
        "word_dimension": parts.words.shape[1],
        "image": {"graph": export.IMAGE_GRAPH, "preprocess": parts.preprocess},
        "text": {
            "graph": export.TEXT_GRAPH,
            "tokenizer": export.TOKENIZER,
            "words": {"values": export.WORD_VALUES},
            "max_tokens": parts.text.spec.positions,
            "framing": parts.framing,
            "tower": export.TEXT_TOWER,
            "spec": parts.text.spec.to_fields(),
            "matching": export.MATCHING if parts.matching else None,
        },
        "templates": TEMPLATES,
        "default_composer": "sum",
        "licence": licence,
        "sources": [{"name": source, "licence": licence, "use": "all weights"}],
        "training": {"imported_from": source, "family": parts.family},
        "efficiency": {"parameters": float(sum(tensor.numel() for tensor in counted))},
    }


def _fitted(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """What of its space the product must know, as the manifest has it; writes arrays of it."""
    model = Model(Bundle.load(folder))
    made = fit_settings(model, read_sample(), say)
    np.save(folder / MEAN_IMAGE, made.mean)
    np.save(folder / SPREAD, made.spread.astype(np.float16))
    of_space = {"mean_image": MEAN_IMAGE, "spread": SPREAD, "known_texts": write_phrases(model)}
    fields = {**made.fields, **of_space}
    framing = model.manifest.text.framing
    if framing is not None and framing.temperature is not None:
        fields["composers"]["replace"] = {"temperature": framing.temperature}
    return fields


def _check_room(parts: Parts, folder: Path) -> None:
    """The text tower is written twice: as a graph, and for training."""
    written = [*_modules(parts), parts.text]
    weights = sum(tensor.numel() for part in written for tensor in part.parameters())
    needed = 4 * (weights + parts.words.numel())
    free = shutil.disk_usage(folder).free
    if free < 1.1 * needed:
        raise ModelError(
            f"the bundle needs {needed / 1e9:.1f} GB, and {folder.parent} has "
            f"{free / 1e9:.1f} GB left"
        )


def _modules(parts: Parts) -> list[nn.Module]:
    return [parts.text, parts.image, *([parts.matching] if parts.matching else [])]


@contextmanager
def _beside(destination: Path) -> Iterator[Path]:
    """A folder that becomes the destination if all goes well, and nothing otherwise."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    prefix = f"{TEMPORARY_PREFIX}{destination.name}-"
    for abandoned in destination.parent.glob(f"{prefix}*"):  # of a process that was killed
        if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(abandoned, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=destination.parent))
    try:
        yield folder
        folder.chmod(0o755)
        if destination.is_dir():
            destination.rmdir()  # empty, as was checked
        folder.rename(destination)
    except OSError as error:
        raise ModelError(f"{destination} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _card(fields: Mapping[str, Any], parity: Parity) -> str:
    rows = "\n".join(f"| {what} | {figure} | {bound} |" for what, figure, bound in parity.rows())
    return (
        f"# {fields['name']}\n\n"
        f"Made by `composir models add` from {fields['training']['imported_from']} "
        f"(family {fields['family']}). Licence of the weights: {fields['licence']}; it holds for "
        "whatever is trained on them.\n\n"
        f"| compared with {parity.against} | figure | bound |\n|---|---|---|\n"
        f"{rows}\n"
    )
