"""Picture and words to a query message, on the device."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from .resize import model_input
from .wire import QueryMessage, pack

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

CARD = "query_side.json"
SCHEMA = 2  # 2: `preprocess` may be exact


@dataclass(frozen=True)
class Look:
    """What a query side makes of one picture.

    Attributes:
        tokens: (L, Dw) float32.
        attention: (L, h, w) float32, where each token looked, 1 in sum over positions; None where
            the graph does not tell.
        vector: (D,) float32, unit norm, the light side's estimate of the gallery's vector; None
            where the graph makes none.
    """

    tokens: np.ndarray
    attention: np.ndarray | None = None
    vector: np.ndarray | None = None


class QuerySide:
    """The query side of one composer: its graph, its preprocessing, its fingerprints.

    Attributes:
        card: What `query_side.json` says.
    """

    def __init__(self, folder: str | os.PathLike[str], threads: int = 1) -> None:
        """Open what `composir export query-side` wrote.

        Args:
            folder: Holds `query_side.json` and the graph.
            threads: Of the runtime.

        Raises:
            ValueError: If the folder is of a newer schema or the graph is damaged.
            OSError: If a file is missing.
        """
        self.card = _read_card(Path(folder) / CARD)
        if self.card["schema_version"] > SCHEMA:
            raise ValueError(f"{folder} is of a newer version: use the client that lies in it")
        graph = (Path(folder) / self.card["graph"]["file"]).read_bytes()
        if hashlib.sha256(graph).hexdigest() != self.card["graph"]["sha256"]:
            raise ValueError(f"{self.card['graph']['file']} in {folder} is damaged: copy it again")
        self._session = _open(graph, threads)

    def look(self, rgb: np.ndarray) -> Look:
        """Turn a picture into pseudo-words.

        Args:
            rgb: (height, width, 3) uint8, upright, sRGB.
        """
        pixels = preprocess(rgb, self.card["preprocess"])
        names = self.card["graph"]["outputs"]
        found = dict(zip(names, self._session.run(names, {"pixels": pixels[None]}), strict=True))
        first = {name: rows[0] for name, rows in found.items()}
        return Look(first["tokens"], first.get("attention"), first.get("vector"))

    def message(
        self,
        rgb: np.ndarray,
        text: str = "",
        negatives: Sequence[str] = (),
        encoding: str = "fp16",
    ) -> bytes:
        """Make the message to send.

        Args:
            rgb: (height, width, 3) uint8, upright, sRGB.
            text: How the hits differ from the picture; empty for pictures like it.
            negatives: What must not be there.
            encoding: `fp16`, or `int8` for half the bytes.

        Raises:
            WireError: If a text is too long, or the message would be.
        """
        look = self.look(rgb)
        query = QueryMessage(
            tokens=look.tokens,
            vector=look.vector,
            text=text,
            negatives=tuple(negatives),
            composer=self.card["composer"],
            composer_fingerprint=self.card["composer_fingerprint"],
            gallery_fingerprint=self.card["gallery_fingerprint"],
            text_checksum=self.card["text_checksum"],
        )
        return pack(query, encoding)


def preprocess(rgb: np.ndarray, spec: Mapping[str, Any]) -> np.ndarray:
    """Turn one picture into the graph's input.

    Args:
        rgb: (height, width, 3) uint8, upright (EXIF orientation applied), sRGB, without alpha.
        spec: `preprocess` of `query_side.json`: size, fit, pad_ratio, pad_colour, interpolation,
            and, where they are given, exact and short_side.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: If the picture is of another shape or type, or has no pixels, or the card asks
            for a rule that is unknown here, or the picture is too long to be shown whole.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
        raise ValueError(f"an array of shape {rgb.shape} and type {rgb.dtype} is no RGB picture")
    asked = SimpleNamespace(**{"exact": None, "short_side": None, **spec})
    pixels: np.ndarray = np.array(model_input(Image.fromarray(rgb), asked), dtype=np.uint8)
    return pixels


def _read_card(path: Path) -> dict[str, Any]:
    """The card as far as `QuerySide` itself looks at it; this file stands alone on devices."""
    try:
        card: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        whole = (type(card["schema_version"]), type(card["graph"]["file"]))
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise ValueError(f"{path} is damaged: copy it again") from error
    if whole != (int, str) or Path(card["graph"]["file"]).name != card["graph"]["file"]:
        raise ValueError(f"{path} is damaged: copy it again")
    return card


def _open(graph: bytes, threads: int) -> InferenceSession:
    # Unless told before it is loaded, the runtime reports to its vendor and keeps files of its own.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Weights are int8, arithmetic is float32: expand them once, at loading.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
