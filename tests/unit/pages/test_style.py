"""The stylesheet: legible in light, in dark and on paper (WCAG 2.2 AA)."""

from __future__ import annotations

import colorsys
import re
from importlib.resources import files

import pytest

from composir.pages.series import series_style

STYLE = files("composir.pages").joinpath("style.css").read_text(encoding="utf-8")
TOKENS = files("composir.pages").joinpath("tokens.css").read_text(encoding="utf-8")
Colour = tuple[float, float, float]


def tokens(theme: int) -> dict[str, Colour]:
    pairs = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)", TOKENS)
    pairs += [(n, v, v) for n, v in re.findall(r"--([\w-]+): #(\w{6});", TOKENS)]
    return {
        name: tuple(byte / 255 for byte in bytes.fromhex(values[theme]))  # type: ignore[misc]
        for name, *values in pairs
    }


THEMES = {"light": tokens(0), "dark": tokens(1)}


def contrast(one: Colour, other: Colour) -> float:
    def luminance(colour: Colour) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["paper", "card", "well", "tint"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent", "good", "unsure", "poor"])
def test_text_can_be_read_on_every_ground(theme: str, ground: str, text: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_badges_can_be_read(theme: str) -> None:
    colours = THEMES[theme]
    assert contrast(colours["on-accent"], colours["accent"]) >= 4.5
    *veil, opacity = map(
        float, re.findall(r"[\d.]+", re.findall(r"--veil: rgb\((.*?)\)", TOKENS)[0])
    )
    red, green, blue = (opacity * channel / 255 + 1 - opacity for channel in veil)  # over white
    assert contrast(colours["on-veil"], (red, green, blue)) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_the_lines_of_charts_stand_out(theme: str) -> None:
    colour = r"hsl\((\d+) (\d+)% (\d+)%\)"
    drawn = re.findall(rf"--c\d+:light-dark\({colour}, {colour}\)", series_style(30))
    assert len(drawn) == 30
    for numbers in drawn:
        chosen = numbers[:3] if theme == "light" else numbers[3:]
        hue, saturation, lightness = map(int, chosen)
        rgb = colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
        for ground in ("paper", "card"):
            assert contrast(rgb, THEMES[theme][ground]) >= 3


def test_colours_are_tokens_and_paper_is_light() -> None:
    assert not re.findall(r"#[0-9a-f]{3,8}\b", STYLE)
    assert re.search(r"@media print \{ :root \{ color-scheme: light; \} \}", TOKENS)


def test_every_class_of_the_templates_has_a_rule() -> None:
    named: set[str] = set()
    for template in files("composir.pages").joinpath("templates").iterdir():
        for value in re.findall(r'class="([^"{}]+)"', template.read_text(encoding="utf-8")):
            named |= set(value.split())
    unstyled = {name for name in named if not re.search(rf"\.{name}\b", STYLE)}
    assert unstyled <= {"verdict", "heat"}
