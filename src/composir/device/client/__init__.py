"""Reference client of composir's query messages: numpy, Pillow and onnxruntime are all it needs.

`composir export query-side` copies this package, with composir's own `images/resampling.py` as its
`resize.py`, so nothing else here imports composir.

Example:
    >>> side = QuerySide("device")
    >>> message = side.message(rgb, "but at night")  # rgb: (h, w, 3) uint8, upright
"""

from .query_side import Look, QuerySide
from .wire import QueryMessage, WireError, pack, unpack

__all__ = ["Look", "QueryMessage", "QuerySide", "WireError", "pack", "unpack"]
