"""A colour of its own for every method of a report, in light and in dark."""

from __future__ import annotations

# Steps of the golden angle keep the hues of neighbours apart, however many there are.
_GOLDEN_ANGLE, _FIRST_HUE = 137.508, 211.0
# Hues come close to earlier ones after eight steps; another lightness tells them apart.
_PERIOD = 8
_LIGHT, _DARK = ((75, 34), (38, 38), (85, 22)), ((85, 71), (60, 58), (90, 85))


def series_style(count: int) -> str:
    """Style rules of the classes `s` (lines), `f` (bars) and `b` (swatches), numbered from 0."""
    numbers = range(count)
    classes = (("s", "stroke"), ("f", "fill"), ("b", "background"))
    rules = (f".{c}{n}{{{what}:var(--c{n})}}" for n in numbers for c, what in classes)
    pairs = (f"light-dark({_colour(n, _LIGHT)}, {_colour(n, _DARK)})" for n in numbers)
    colours = ";".join(f"--c{n}:{pair}" for n, pair in enumerate(pairs))
    return f":root{{{colours}}}{''.join(rules)}\n"


def _colour(number: int, shades: tuple[tuple[int, int], ...]) -> str:
    hue = (_FIRST_HUE + _GOLDEN_ANGLE * number) % 360
    saturation, lightness = shades[number // _PERIOD % len(shades)]
    return f"hsl({hue:.0f} {saturation}% {lightness}%)"
