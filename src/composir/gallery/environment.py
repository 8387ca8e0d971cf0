"""What decides, beside a file itself, whether a picture can be read: decoders and limits.

A failure is kept with the signature of the environment that it happened in, so that it is tried
again when a decoder is installed or replaced, or when a limit moves with a new version of composir.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version

from composir.images import bounds
from composir.references import LARGEST_FILE

DECODER_PACKAGES = (
    "pillow",
    "pillow-heif",
    "pillow-jxl-plugin",
    "pillow-avif-plugin",
    "rawpy",
    "pyvips",
    "imagecodecs",
)
"""Distributions that read pictures, or teach Pillow to; those that are not installed count too."""

_CODECS = ("jpg", "jpg_2000", "libtiff", "zlib", "webp", "avif")
_MISSING_PACKAGE = "not installed"


def decoder_signature() -> str:
    """A short text that changes when what reads pictures changes."""
    facts = [f"{name} {_version(name)}" for name in ("composir", *DECODER_PACKAGES)]
    facts += [f"{name} {_codec(name)}" for name in _CODECS]
    facts += [f"pixels {bounds.MAX_PIXELS}", f"bytes {LARGEST_FILE}"]
    facts += [f"memory {bounds.MEMORY}", f"seconds {bounds.SECONDS}"]
    return blake2b("\n".join(facts).encode(), digest_size=8).hexdigest()


def may_be_readable_now(reason: str, recorded: str | None, current: str) -> bool:
    """Whether a file that failed is worth another try in this environment.

    Args:
        reason: Why it failed.
        recorded: The signature then; None where an earlier version of composir kept none.
        current: The signature now.
    """
    return _MISSING_PACKAGE in reason if recorded is None else recorded != current


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _codec(name: str) -> str:
    from PIL import features

    if name not in features.modules and name not in features.codecs:
        return "unknown"  # to this version of Pillow
    return str(features.version(name)) if features.check(name) else "missing"
