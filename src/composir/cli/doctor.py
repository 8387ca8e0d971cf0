"""`composir doctor`: is everything needed there, and does it work?

Each check looks at one thing and says how to mend it.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from composir.cli import models
from composir.cli.extras import EXTRAS
from composir.cli.mirrored import gallery_folder
from composir.cli.options import GalleryOption, JsonOption, ModelOption, ThreadsOption
from composir.cli.terminal import echo, file_size, print_json, printable, quiet_native_code
from composir.errors import ComposirError, GalleryError, ModelNotFoundError
from composir.model.device import KINDS, devices_here, try_device
from composir.model.sessions import default_threads

if TYPE_CHECKING:
    from composir.model.base import EmbeddingModel

_CORE = (
    *("numpy", "pillow", "onnxruntime", "tokenizers", "pylance", "numkong"),
    *("typer", "rich", "pydantic"),
)
_NEEDED_MEMORY = 1 << 30
_NEEDED_DISK = 500 << 20
_OLDEST, _TOO_NEW = (3, 11), (3, 14)
_MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "broken": ("BROKEN", "red")}


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    name: str  # what was looked at
    # `broken` means that something needed does not work; `note` that it may matter.
    state: Literal["ok", "note", "broken"]
    detail: str  # what was found
    remedy: str = ""  # what to do about it, where there is something to do


def all_checks(
    gallery: Path, model: str | None, threads: int | None, *, deep: bool = False
) -> Iterator[Check]:
    """Run every check, the quick ones first; `deep` reads every row of the gallery."""
    yield check_python()
    yield check_packages()
    yield check_machine()
    yield check_memory()
    yield check_disk(gallery)
    yield check_picture_formats()
    yield from check_runtime()
    yield from check_extras()
    yield from check_model_and_gallery(gallery, model, threads, deep=deep)


def check_python() -> Check:
    """Python's version."""
    detail = f"{platform.python_version()} ({sys.executable})"
    if _OLDEST <= sys.version_info[:2] < _TOO_NEW:
        return Check("python", "ok", detail)
    return Check("python", "note", detail, "composir is tested with Python 3.11 to 3.13")


def check_packages() -> Check:
    """Versions of composir and of what it needs."""
    found, missing = [f"composir {_version('composir')}"], []
    for package in _CORE:
        installed = _version(package)
        if installed is None:
            missing.append(package)
        else:
            found.append(f"{package} {installed}")
    if not missing:
        return Check("packages", "ok", ", ".join(found))
    remedy = "pip install --force-reinstall composir"
    return Check("packages", "broken", f"not installed: {', '.join(missing)}", remedy)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def check_machine() -> Check:
    """Platform and cores."""
    return Check("machine", "ok", f"{platform.platform()}, {default_threads()} cores")


def check_memory() -> Check:
    """Physical memory, where the platform tells."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return Check("memory", "note", "unknown on this platform")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if memory >= _NEEDED_MEMORY:
        return Check("memory", "ok", file_size(memory))
    return Check(
        "memory", "note", file_size(memory), "indexing may need up to 1 GB; --batch-size 8"
    )


def check_disk(gallery: Path) -> Check:
    """Space where the gallery is, or would be made."""
    place = next(folder for folder in (gallery, *gallery.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    detail = f"{file_size(free)} free at {place}"
    if not os.access(place, os.W_OK):
        remedy = "indexing needs a folder that you may write to: --gallery FOLDER"
        return Check("disk", "note", f"{place} is read-only", remedy)
    if free < _NEEDED_DISK:
        return Check("disk", "note", detail, "a gallery takes about 15 kB a picture; make room")
    return Check("disk", "ok", detail)


def check_picture_formats() -> Check:
    """What this build of Pillow decodes."""
    from PIL import features

    formats = {"JPEG": "jpg", "PNG": "zlib", "WebP": "webp", "AVIF": "avif", "TIFF": "libtiff"}
    lacking = [name for name, feature in formats.items() if not features.check(feature)]
    present = [name for name in formats if name not in lacking]
    if "JPEG" in lacking or "PNG" in lacking:
        remedy = "pip install --force-reinstall --no-cache-dir pillow"
        return Check("pictures", "broken", f"Pillow cannot read {', '.join(lacking)}", remedy)
    if lacking:
        return Check(
            "pictures", "note", f"Pillow cannot read {', '.join(lacking)}", "update Pillow"
        )
    return Check("pictures", "ok", ", ".join([*present, "GIF", "BMP"]))


def check_runtime() -> Iterator[Check]:
    """What ONNX Runtime can run on, as `--device` names it."""
    try:
        import onnxruntime

        here = devices_here()
    except ImportError as error:
        remedy = "pip install --force-reinstall onnxruntime"
        yield Check("onnxruntime", "broken", str(error), remedy)
        return
    yield Check("onnxruntime", "ok", f"{onnxruntime.__version__}; --device auto, {', '.join(here)}")
    for device in here[:-1]:  # the last one is the CPU
        fault = try_device(device)
        if fault is None:
            yield Check(f"device {device}", "ok", "it starts")
        else:
            remedy = f"--device cpu does without; {KINDS[device].package} brings it"
            yield Check(f"device {device}", "note", f"it does not start: {fault}", remedy)


def check_extras() -> Iterator[Check]:
    """Optional dependencies: a missing one is no fault, only worth knowing."""
    for extra in EXTRAS:
        name = f"extra {extra.name}"
        if not extra.missing:
            yield Check(name, "ok", f"installed ({extra.purpose})")
        else:
            remedy = f"for {extra.purpose}: pip install 'composir[{extra.name}]'"
            yield Check(name, "note", f"not installed: {', '.join(extra.missing)}", remedy)


def check_model_and_gallery(
    gallery: Path, model: str | None, threads: int | None, *, deep: bool = False
) -> Iterator[Check]:
    """That the model loads and encodes, that the gallery is whole, and that they fit."""
    loaded = None
    try:
        loaded = _model_of(gallery, model, threads)
        yield _encodes(loaded)
    except ModelNotFoundError as error:
        yield Check("model", "broken", str(error))
    except ComposirError as error:
        runs_here = loaded is None or loaded.joint is None
        remedy = "pip install --force-reinstall composir" if runs_here else ""
        yield Check("model", "broken", str(error), remedy)
    yield check_gallery(gallery, loaded, deep=deep)


def _model_of(gallery: Path, model: str | None, threads: int | None) -> EmbeddingModel:
    """The gallery's model; the default one where the gallery cannot tell, which is told later."""
    try:
        return models.gallery_model(gallery, model, models.Compute(threads))
    except GalleryError:
        return models.resolve_model(model, models.Compute(threads))


def _encodes(model: EmbeddingModel) -> Check:
    import numpy as np
    from PIL import Image

    started = time.perf_counter()
    image = model.encode_images([Image.new("RGB", (64, 48), "teal")])
    text = model.encode_texts(["a teal picture"])
    milliseconds = 1000 * (time.perf_counter() - started)
    name = f"{model.name} {model.fingerprint[:12]}, {model.dimension} numbers a vector"
    lengths = np.linalg.norm(np.concatenate([image, text]), axis=1)
    if not np.allclose(lengths, 1.0, atol=1e-3):
        remedy = "the bundle or ONNX Runtime is damaged: pip install --force-reinstall composir"
        return Check("model", "broken", f"{name}: vectors of length {lengths}", remedy)
    return Check("model", "ok", f"{name}; first image and text in {milliseconds:.0f} ms")


def check_gallery(folder: Path, model: EmbeddingModel | None, *, deep: bool = False) -> Check:
    """That the gallery is whole and fits the model at hand; that there is none yet is no fault."""
    from composir.gallery import open_gallery
    from composir.gallery.verify import verify_gallery

    if not folder.exists():
        remedy = f"composir index FOLDER --gallery {shlex.quote(str(folder))}"
        return Check("gallery", "note", f"none yet at {folder}", remedy)
    try:
        with quiet_native_code():
            faults = verify_gallery(folder, deep=deep)
        if faults:
            told = "; ".join(fault.told for fault in faults)
            remedy = f"composir repair {shlex.quote(str(folder))}"
            return Check("gallery", "broken", f"{folder} is damaged: {told}", remedy)
        opened = open_gallery(folder, model=model)
        failures = len(opened.failures())
        detail = f"{len(opened):,} pictures, {failures:,} failures, at {folder}"
    except ComposirError as error:
        return Check("gallery", "broken", str(error))
    looked = "; every row was read" if deep else ""
    return Check("gallery", "ok", detail + looked)


app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command()
def doctor(
    gallery: GalleryOption = None,
    model: ModelOption = None,
    threads: ThreadsOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read and check every row of the gallery.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check versions, machine, model and gallery; exit with 1 if something needed is broken."""
    found: list[Check] = []
    for check in all_checks(gallery_folder(gallery, new=True), model, threads, deep=deep):
        found.append(check)
        if not as_json:
            _print(check)
    healthy = all(check.state != "broken" for check in found)
    if as_json:
        print_json({"healthy": healthy, "checks": found})
    else:
        echo("everything needed works" if healthy else "something needed is broken, see above")
    raise typer.Exit(0 if healthy else 1)


def _print(check: Check) -> None:
    word, colour = _MARKS[check.state]
    told = f"  {check.name:<13} {printable(check.detail)}"
    echo(told, lead=f"{word:<6}", colour=colour)
    if check.remedy:
        echo(f"{'':23}→ {printable(check.remedy)}")
