"""A colour of its own for every method of a page, in light and in dark."""

from __future__ import annotations

# Steps of the golden angle keep the hues of neighbours apart, however many there are.
GOLDEN_ANGLE, FIRST_HUE = 137.508, 211.0
# Hues come close to earlier ones after eight steps; another lightness tells them apart.
PERIOD = 8
LIGHT, DARK = ((68, 38), (60, 55), (75, 26)), ((85, 71), (60, 55), (90, 85))


def series_style(count: int) -> str:
    """Style rules of the classes `s` (lines), `f` (bars) and `b` (swatches), numbered from 0.

    Args:
        count: How many methods the page shows at most.

    Returns:
        CSS: custom properties by the reader's own setting, and the classes that use them.
    """
    numbers = range(count)
    classes = (("s", "stroke"), ("f", "fill"), ("b", "background"))
    rules = (f".{c}{n}{{{what}:var(--c{n})}}" for n in numbers for c, what in classes)
    light = ";".join(f"--c{n}:{_colour(n, LIGHT)}" for n in numbers)
    dark = ";".join(f"--c{n}:{_colour(n, DARK)}" for n in numbers)
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}{''.join(rules)}"


def _colour(number: int, shades: tuple[tuple[int, int], ...]) -> str:
    hue = (FIRST_HUE + GOLDEN_ANGLE * number) % 360
    saturation, lightness = shades[number // PERIOD % len(shades)]
    return f"hsl({hue:.0f} {saturation}% {lightness}%)"
