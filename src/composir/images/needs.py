"""What may be missing on a machine without which some pictures cannot be read.

An `ImageReadError` names it as `needs`. Whoever remembers failures asks `is_there` later on, and
reads those files again once it is.
"""

from __future__ import annotations

from importlib.util import find_spec

from composir.errors import ImageReadError, MissingExtraError

PILLOW_HEIF = "pillow-heif"
PILLOW_JXL = "pillow-jxl-plugin"
DECODER_PROCESS = "a process to decode in"
_MODULES = {PILLOW_HEIF: "pillow_heif", PILLOW_JXL: "pillow_jxl"}
_PLUGINS = {
    "HEIF": ("a HEIC picture", PILLOW_HEIF, "heif"),
    "JXL": ("a JPEG XL picture", PILLOW_JXL, "jxl"),
}
_PILLOW_WITH = {
    "WEBP": ("Pillow with WebP", "webp"),
    "AVIF": ("Pillow with AVIF", "avif"),
    "JPEG2000": ("Pillow with JPEG 2000", "jpg_2000"),
}


def is_there(need: str) -> bool:
    """Whether what an `ImageReadError` needs can be used now."""
    if need == DECODER_PROCESS:  # the system was short of something for a moment
        return True
    if need in _MODULES:
        return find_spec(_MODULES[need]) is not None
    return any(need == name and _pillow_has(feature) for name, feature in _PILLOW_WITH.values())


def check_format(format_name: str) -> None:
    """Refuse a format that this machine cannot read."""
    if format_name in _PLUGINS:
        what, package, extra = _PLUGINS[format_name]
        if not is_there(package):
            raise ImageReadError(f"{what}: {MissingExtraError(package, extra)}", needs=package)
    if format_name in _PILLOW_WITH:
        need = _PILLOW_WITH[format_name][0]
        if not is_there(need):
            raise ImageReadError(f"a picture that needs {need}; upgrade Pillow", needs=need)


def _pillow_has(feature: str) -> bool:
    from PIL import features

    return bool(features.check(feature))
