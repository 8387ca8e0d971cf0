"""Reference client of composir's query messages: numpy and onnxruntime are all it needs.

`composir export query-side` copies this package as it is, so nothing here imports composir.

Example:
    >>> side = QuerySide("device")
    >>> message = side.message(rgb, "but at night")  # rgb: (h, w, 3) uint8, upright
"""

from .query_side import Look, QuerySide
from .wire import QueryMessage, WireError, pack, unpack

__all__ = ["Look", "QueryMessage", "QuerySide", "WireError", "pack", "unpack"]
