"""Small JPEGs of pictures, for contact sheets and the page."""

from __future__ import annotations

import io

from PIL import Image

_QUALITY = 82


def make_thumbnail(rgb: Image.Image, side: int = 256) -> bytes:
    """Make a thumbnail; a picture that is small already is not enlarged.

    Args:
        rgb: Of mode `RGB`; it is left as it is.
        side: The long side in pixels, at most.

    Returns:
        A JPEG without metadata, some 5 to 15 KB at 256 pixels.
    """
    scale = min(1.0, side / max(rgb.size))
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    if size != rgb.size:
        # Nearly as sharp as bicubic when shrinking, at half of its cost: there is one per picture.
        rgb = rgb.resize(size, Image.Resampling.HAMMING, reducing_gap=1.5)
    buffer = io.BytesIO()
    # Metadata of the source (profile, comment) would otherwise come along in each.
    rgb.save(buffer, "JPEG", quality=_QUALITY, icc_profile=None, comment=b"", exif=b"")
    return buffer.getvalue()
