"""What the reference client makes of made-up pictures: python web/tests/golden.py > golden.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from composir.device.client.query_side import preprocess
from composir.device.client.wire import QueryMessage, pack

SPEC: dict[str, Any] = {
    **{"size": 24, "fit": "squash", "pad_ratio": 1.25, "pad_colour": [1, 2, 3]},
    "interpolation": "bicubic",
}
CASES: list[tuple[int, int, dict[str, Any]]] = [
    (40, 31, {}),
    (333, 97, {}),
    (97, 500, {"fit": "targetpad"}),
    (300, 120, {"fit": "pad", "interpolation": "bilinear"}),
    (61, 200, {"fit": "centre-crop", "interpolation": "lanczos"}),
    (10, 7, {}),
    (300, 497, {"exact": "transformers", "fit": "centre-crop"}),
    (497, 300, {"exact": "open_clip", "fit": "centre-crop", "short_side": 27}),
    (50, 20, {"exact": "open_clip", "fit": "pad"}),
    (1, 33, {"exact": "transformers", "fit": "squash"}),
]
TOKENS = np.sin(np.arange(24, dtype=np.float32)).reshape(3, 8)
MESSAGE = QueryMessage(
    tokens=TOKENS,
    text="at night, café",
    composer="isa",
    composer_fingerprint="0123456789abcdef",
    gallery_fingerprint="fedcba9876543210",
    text_checksum="00112233445566ff",
    negatives=("people", "a dog"),
    vector=np.array([0.6, 0, -0.8, 0], np.float32),
)


def picture(width: int, height: int) -> np.ndarray:
    """(height, width, 3) uint8 that a client in any language can make."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 7 + y * 13, x * x + y * 3, x * y + y * y]
    return np.stack([plane % 256 for plane in planes], -1).astype(np.uint8)


def golden() -> dict[str, Any]:
    """The document."""
    made = [(w, h, spec, preprocess(picture(w, h), spec)) for w, h, spec in _cases()]
    pictures = [
        {"width": w, "height": h, "spec": spec, "pixels": pixels.reshape(-1).tolist()}
        for w, h, spec, pixels in made
    ]
    return {"pictures": pictures, "message": pack(MESSAGE, "int8").hex()}


def _cases() -> list[tuple[int, int, dict[str, Any]]]:
    return [(width, height, SPEC | change) for width, height, change in CASES]


if __name__ == "__main__":
    print(json.dumps(golden()))
