"""What may be missing on a machine without which some pictures cannot be read.

An `ImageReadError` names it as `needs`. Whoever remembers failures asks `is_there` later on, and
reads those files again once it is.
"""

from __future__ import annotations

from importlib.util import find_spec

PILLOW_HEIF = "pillow-heif"
PILLOW_JXL = "pillow-jxl-plugin"
_MODULES = {PILLOW_HEIF: "pillow_heif", PILLOW_JXL: "pillow_jxl"}
_PILLOW_WITH = {
    "WEBP": ("Pillow with WebP", "webp"),
    "AVIF": ("Pillow with AVIF", "avif"),
    "JPEG2000": ("Pillow with JPEG 2000", "jpg_2000"),
}


def is_there(need: str) -> bool:
    """Whether what an `ImageReadError` needs can be used now.

    Args:
        need: Its `needs`; one that this version does not know is not there.

    Returns:
        Looked up anew at each call; nothing is imported but Pillow.
    """
    if need in _MODULES:
        return find_spec(_MODULES[need]) is not None
    return any(need == name and _pillow_has(feature) for name, feature in _PILLOW_WITH.values())


def lacking_in_pillow(format_name: str) -> str | None:
    """What a format needs that this Pillow was built without.

    Args:
        format_name: Pillow's name of the format, e.g. `AVIF`.

    Returns:
        A need as `is_there` takes it; None where nothing is lacking.
    """
    name, feature = _PILLOW_WITH.get(format_name, (None, ""))
    return None if name is None or _pillow_has(feature) else name


def _pillow_has(feature: str) -> bool:
    from PIL import features

    return bool(features.check(feature))
