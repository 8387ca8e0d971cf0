"""The frame of every page: head, style, title; and the texts and pictures within."""

from __future__ import annotations

import base64
from html import escape
from importlib.resources import files

from composir.data.outputs import GENERATOR

_FOOTER = "Made by composir on this machine; nothing left it."


def document(
    title: str, body: str, *, intro: str = "", style: str = "", footer: str = _FOOTER
) -> str:
    """Frame a page.

    Args:
        title: Heading, plain text.
        body: HTML of the main part.
        intro: A sentence below the heading, plain text.
        style: CSS beyond the shared sheet.
        footer: The last line, plain text.

    Returns:
        A complete HTML document that loads nothing from anywhere.
    """
    shared = files("composir.sheet").joinpath("style.css").read_text(encoding="utf-8")
    lead = f'<p class="intro">{escaped(intro)}</p>' if intro else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{GENERATOR}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{escaped(title)}</title>
<style>
{shared}{style}</style>
</head>
<body>
<header class="top">
<p class="mark">composir</p>
<h1>{escaped(title)}</h1>
{lead}
</header>
<main>
{body}
</main>
<footer>{escaped(footer)}</footer>
</body>
</html>
"""


def picture(jpeg: bytes, description: str) -> str:
    """A JPEG inside the page."""
    data = base64.b64encode(jpeg).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escaped(description)}" loading="lazy">'


def escaped(value: object) -> str:
    """Escape for HTML; characters that no page may carry become a replacement character."""
    shown = "".join(c if c.isprintable() or c == " " else "�" for c in str(value))
    return escape(shown, quote=True)
