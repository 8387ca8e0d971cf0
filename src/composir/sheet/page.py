"""Searches as HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from pathlib import Path

from composir.sheet.facts import telling_facts
from composir.types import Confidence, Hit, Query, SearchResult

_TONES = {"good match": "good", "uncertain": "unsure", "nothing matches well": "poor"}


@dataclass(frozen=True, slots=True)
class SheetSearch:
    """One search with the pictures that its part of the page shows.

    Attributes:
        result: The answer.
        where: The filter that was used, if any.
        reference: JPEG of the reference image, if the query has one.
        reference_name: Its file name.
        thumbnails: JPEG of each hit, by the gallery's id.
        note: A line on why one would ask this, for pages that explain.
    """

    result: SearchResult
    where: str | None = None
    reference: bytes | None = None
    reference_name: str = ""
    thumbnails: Mapping[str, bytes] = field(default_factory=dict)
    note: str = ""


def contact_sheet(searches: Sequence[SheetSearch], *, title: str, intro: str = "") -> str:
    """Lay out a page.

    Args:
        searches: Shown one below the other.
        title: Heading of the page.
        intro: A sentence below it.

    Returns:
        A complete HTML document.
    """
    style = files("composir.sheet").joinpath("style.css").read_text(encoding="utf-8")
    lead = f'<p class="intro">{_text(intro)}</p>' if intro else ""
    sections = "\n".join(_section(number, search) for number, search in enumerate(searches, 1))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{_text(title)}</title>
<style>
{style}</style>
</head>
<body>
<header class="top">
<p class="mark">composir</p>
<h1>{_text(title)}</h1>
{lead}
</header>
<main>
{sections}
</main>
<footer>Made by composir on this machine; nothing left it.</footer>
</body>
</html>
"""


def _section(number: int, search: SheetSearch) -> str:
    result = search.result
    label = _text(_spoken(result.query))
    return f"""<section class="search" aria-label="Search {number}: {label}">
<aside class="query">
{_asked(search)}
{_confidence(result.confidence)}
{_facts(search)}
</aside>
{_hits(search)}
</section>"""


def _asked(search: SheetSearch) -> str:
    query = search.result.query
    parts = [f'<p class="note">{_text(search.note)}</p>' if search.note else ""]
    if search.reference is not None:
        parts.append(
            f'<figure class="reference">{_image(search.reference, "reference image")}'
            f"<figcaption>{_text(search.reference_name)}</figcaption></figure>"
        )
    if query.text.strip():
        sign = '<span class="sign" aria-hidden="true">+</span>' if query.image is not None else ""
        parts.append(f'<p class="words">{sign}<q>{_text(query.text)}</q></p>')
    parts += [
        f'<p class="words negative"><span class="sign" aria-hidden="true">−</span>'
        f'<span class="unseen">not </span><q>{_text(negative)}</q></p>'
        for negative in query.negatives
    ]
    if search.where:
        parts.append(f'<p class="filter"><span>where</span> <code>{_text(search.where)}</code></p>')
    return "\n".join(filter(None, parts))


def _confidence(confidence: Confidence) -> str:
    share = f"{100 * min(max(confidence.value, 0.0), 1.0):.0f}"
    return f"""<div class="confidence {_TONES[confidence.verdict]}">
<span class="verdict">{_text(confidence.verdict)}</span>
<span class="meter" role="img" aria-label="confidence {share} %">
<i style="width:{share}%"></i></span>
</div>"""


def _facts(search: SheetSearch) -> str:
    result = search.result
    searched = f"{result.searched:,} of {result.gallery_size:,} pictures"
    if result.searched == result.gallery_size:
        searched = f"{result.gallery_size:,} pictures"
    milliseconds = f"{1000 * result.seconds:,.0f}&nbsp;ms"
    return f'<p class="facts">{searched} · {_text(result.composer)} · {milliseconds}</p>'


def _hits(search: SheetSearch) -> str:
    hits = search.result.hits
    if not hits:
        return '<p class="empty">No picture is left to show.</p>'
    cards = "\n".join(_card(hit, search.thumbnails.get(hit.id)) for hit in hits)
    return f'<ol class="hits">\n{cards}\n</ol>'


def _card(hit: Hit, thumbnail: bytes | None) -> str:
    name = _text(hit.path.name)
    picture = _image(thumbnail, name) if thumbnail else '<span class="lost">no thumbnail</span>'
    alike = len(hit.duplicates)
    badge = f'<span class="alike" title="duplicates">+{alike} alike</span>' if alike else ""
    return f"""<li><a class="card" href="{escape(_uri(hit.path))}">
<span class="frame">{picture}<span class="rank">{hit.rank}</span>{badge}
{_details(hit)}</span>
<span class="line"><span class="name">{name}</span><span class="score">{hit.score:.3f}</span></span>
</a></li>"""


def _details(hit: Hit) -> str:
    facts = {**telling_facts(hit), "size": f"{hit.width} × {hit.height}"}
    rows = "".join(
        f"<span><b>{_text(name)}</b> {_text(fact)}</span>" for name, fact in facts.items()
    )
    return f'<span class="details">{rows}</span>'


def _image(jpeg: bytes, description: str) -> str:
    data = base64.b64encode(jpeg).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{_text(description)}" loading="lazy">'


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _spoken(query: Query) -> str:
    parts = ["an image"] if query.image is not None else []
    parts += [query.text] if query.text.strip() else []
    return " and ".join(parts)


def _text(value: object) -> str:
    """Escape for HTML; characters that no page may carry become a replacement character."""
    shown = "".join(c if c.isprintable() or c == " " else "�" for c in str(value))
    return escape(shown, quote=True)
