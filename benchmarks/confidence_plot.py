"""The reliability plot of `benchmarks/confidence.py`: plain SVG, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SIDE, GAP, LEFT, TOP = 190, 34, 44, 40
COLOURS = {"before": "#b0b0b0", "now": "#1f6feb"}
NAMES = {"words": "words", "image": "picture", "both": "picture and words", "product": "product"}
Points = Sequence[tuple[float, float, int]]


def reliability_plot(curves: Mapping[str, Mapping[str, Points]]) -> str:
    """One square a kind of query: share of good answers over the confidence.

    Args:
        curves: By kind of query, by `before` and `now`: mean confidence, share of good answers and
            number of queries for each bin.
    """
    width = LEFT + len(curves) * (SIDE + GAP)
    squares = [
        _square(LEFT + number * (SIDE + GAP), NAMES[kind], lines)
        for number, (kind, lines) in enumerate(curves.items())
    ]
    body = "\n".join(squares)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {TOP + SIDE + 60}" \
font-family="sans-serif" font-size="12" fill="#555">
<rect width="100%" height="100%" fill="#fff"/>
{body}
<text x="12" y="{TOP + SIDE / 2}" transform="rotate(-90 12 {TOP + SIDE / 2})" \
text-anchor="middle">good answers</text>
{_legend(TOP + SIDE + 48)}
</svg>
"""


def _square(left: float, name: str, lines: Mapping[str, Points]) -> str:
    drawn = "\n".join(_line(left, points, COLOURS[label]) for label, points in lines.items())
    bottom = TOP + SIDE
    return f"""<g>
<text x="{left + SIDE / 2}" y="{TOP - 12}" text-anchor="middle" font-weight="bold">{name}</text>
<rect x="{left}" y="{TOP}" width="{SIDE}" height="{SIDE}" fill="none" stroke="#ccc"/>
<line x1="{left}" y1="{bottom}" x2="{left + SIDE}" y2="{TOP}" stroke="#ccc" stroke-dasharray="4"/>
{drawn}
<text x="{left}" y="{bottom + 14}" text-anchor="middle">0</text>
<text x="{left + SIDE / 2}" y="{bottom + 18}" text-anchor="middle">confidence</text>
<text x="{left + SIDE}" y="{bottom + 14}" text-anchor="middle">1</text>
</g>"""


def _line(left: float, points: Points, colour: str) -> str:
    places = [(left + x * SIDE, TOP + (1 - y) * SIDE) for x, y, _ in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'


def _legend(y: float) -> str:
    parts = [
        f'<circle cx="{LEFT + 8 + number * 90}" cy="{y - 4}" r="4" fill="{colour}"/>'
        f'<text x="{LEFT + 18 + number * 90}" y="{y}">{label}</text>'
        for number, (label, colour) in enumerate(COLOURS.items())
    ]
    return "".join(parts)
