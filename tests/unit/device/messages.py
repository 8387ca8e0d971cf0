"""Query messages to test with."""

from __future__ import annotations

from typing import Any

import numpy as np

from composir.device.client.wire import QueryMessage


def make_message(tokens: int = 4, width: int = 6, **fields: Any) -> QueryMessage:
    values = np.random.default_rng(0).normal(size=(tokens, width)).astype(np.float32)
    made: dict[str, Any] = {
        "tokens": values,
        "text": "but at night",
        "negatives": ("people", "日本"),
        "composer": "isa",
        "composer_fingerprint": "00112233445566ff",
        "gallery_fingerprint": "ffeeddccbbaa9988",
        "text_checksum": "0123456789abcdef",
    }
    return QueryMessage(**(made | fields))
