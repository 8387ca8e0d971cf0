"""An explanation as a page for people or a document for programs."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from composir.data.outputs import PAGE, OutputKind, check_file, write_file
from composir.explain.effects import FIRST, WINDOW, Move
from composir.explain.explanation import Explanation, Looks, TokenLook, spread, strongest_place
from composir.images.preprocess import PreprocessSpec
from composir.pages.rendering import Pictures, render
from composir.types import FloatArray

_ALL_POSITIONS = 0.98  # spread from which a map says "everywhere"
_DOCUMENT = OutputKind(
    "an explanation",
    (".html", ".htm", ".json"),
    (
        rb'\{\s*"format": "composir-explanation"',
        rb'\{\s*"version": 1,\s*"query": \{\s*"image": ',  # before they named their format
    ),
)


def check_explanation(destination: Path, option: str = "") -> None:
    """Refuse a file that may not be written, before anything is computed for it."""
    check_file(destination, _kind(destination), option)


def write_explanation(destination: Path, explanation: Explanation, option: str = "") -> Path:
    """Write an explanation in one go: a reader sees the old file or the new one, never half."""
    kind = _kind(destination)
    check_file(destination, kind, option)
    return write_file(destination, _content(explanation, kind), kind, option)


def explanation_page(explanation: Explanation) -> str:
    """Lay out a page."""
    pictures = _pictures(explanation)
    return render(
        "explanation.html",
        title=f"Why: {explanation.result.query.text.strip() or 'Pictures like this one'}",
        rules=pictures.rules(),
        explanation=explanation,
        pictures=pictures,
        first=FIRST,
        move_text=_move_text,
        tokens=[_token(look, explanation) for look in explanation.looks.tokens],
    )


def _kind(destination: Path) -> OutputKind:
    return PAGE if destination.suffix.lower() in PAGE.endings else _DOCUMENT


def _content(explanation: Explanation, kind: OutputKind) -> str:
    if kind is PAGE:
        return explanation_page(explanation)
    from composir.explain.explanation import as_document

    return json.dumps(as_document(explanation), indent=2, allow_nan=False) + "\n"


def _pictures(explanation: Explanation) -> Pictures:
    pictures = Pictures()
    for image_id, jpeg in explanation.thumbnails.items():
        pictures.add(f"hit {image_id}", jpeg)
    for number, reference in enumerate(explanation.references):
        pictures.add(f"reference {number}", reference.jpeg, size=reference.size)
    return pictures


def _move_text(move: Move) -> tuple[str, str]:
    """Where a hit goes without a phrase, and the class that colours it."""
    if move.rank is None:
        return f"{move.hit.rank} → >{WINDOW}", "down"
    if move.rank == move.hit.rank:
        return f"stays {move.rank}", "same"
    return f"{move.hit.rank} → {move.rank}", "down" if move.rank > move.hit.rank else "up"


def _token(look: TokenLook, explanation: Explanation) -> tuple[TokenLook, bytes | None, str]:
    """A pseudo-word with its heat map (PNG) and where it looked, in words."""
    looks: Looks = explanation.looks
    if look.attention is None or looks.spec is None:
        return look, None, ""

    share = spread(look.attention)
    place = f"{strongest_place(look.attention)}, {share:.0%} of the picture"
    if share > _ALL_POSITIONS:
        place = "everywhere alike"
    return look, heat_overlay(look.attention, explanation.references[0].size, looks.spec), place


_LONG_SIDE = 192
# Red, green, blue and opacity (0 to 1) from where nothing was looked at to the strongest place.
_STOPS = np.array(
    [[20, 20, 30, 0.62], [70, 25, 110, 0.52], [225, 80, 40, 0.5], [255, 200, 70, 0.42]],
    dtype=np.float32,
)


def heat_overlay(attention: FloatArray, size: tuple[int, int], spec: PreprocessSpec) -> bytes:
    """Colour an attention map to lie over the whole reference.

    What the encoder never saw (cut off by the layout of its input) counts as not looked at.

    Args:
        attention: (h, w), not negative.
        size: Width and height of the reference in any unit; the overlay has its shape.
        spec: How the reference was laid out for the encoder.

    Returns:
        PNG of at most 192 pixels a side, with transparency.
    """
    scale = _LONG_SIDE / max(size)
    width, height = (max(1, round(side * scale)) for side in size)
    canvas = Image.new("F", (width, height), 0.0)
    seen = spec.window(Image.new("L", (width, height)))
    window = max(1, round(seen[0])), max(1, round(seen[1]))
    strongest = max(float(attention.max()), 1e-12)
    patch = Image.fromarray(np.asarray(attention / strongest, dtype=np.float32))
    smooth = patch.resize(window, Image.Resampling.BICUBIC)
    canvas.paste(smooth, ((width - window[0]) // 2, (height - window[1]) // 2))
    return _png(_coloured(np.clip(np.asarray(canvas), 0.0, 1.0)))


def _coloured(heat: FloatArray) -> Image.Image:
    places = np.linspace(0.0, 1.0, len(_STOPS))
    channels = [np.interp(heat, places, _STOPS[:, channel]) for channel in range(4)]
    rgba = np.stack([*channels[:3], 255 * channels[3]], axis=-1)
    return Image.fromarray(np.rint(rgba).astype(np.uint8))


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
