"""Searches as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from composir.sheet.document import document, escaped, picture
from composir.sheet.facts import in_order_of_date, telling_facts
from composir.types import Confidence, Hit, Query, SearchResult

_TONES = {"good match": "good", "uncertain": "unsure", "nothing matches well": "poor"}


@dataclass(frozen=True, slots=True)
class SheetSearch:
    """One search with the pictures that its part of the page shows.

    Attributes:
        result: The answer.
        where: The filter that was used, if any.
        references: JPEG and name of each reference image of the query.
        thumbnails: JPEG of each hit, by the gallery's id.
        note: A line on why one would ask this, for pages that explain.
    """

    result: SearchResult
    where: str | None = None
    references: tuple[tuple[bytes, str], ...] = ()
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
    body = "\n".join(_section(number, search) for number, search in enumerate(searches, 1))
    return document(title, body, intro=intro)


def _section(number: int, search: SheetSearch) -> str:
    result = search.result
    label = escaped(_spoken(result.query))
    return f"""<section class="search" aria-label="Search {number}: {label}">
<aside class="query">
{_asked(search)}
{_confidence(result.confidence)}
{_facts(search)}
</aside>
{_hits(search)}
</section>"""


def _asked(search: SheetSearch) -> str:
    query = search.result.asked
    notes = [search.note, *search.result.notices]
    parts = [f'<p class="note">{escaped(note)}</p>' for note in notes if note]
    parts += [
        f'<figure class="reference">{picture(jpeg, "reference image")}'
        f"<figcaption>{escaped(name)}</figcaption></figure>"
        for jpeg, name in search.references
    ]
    if query.crop is not None:
        parts.append(f'<p class="filter"><span>crop</span> <code>{escaped(query.crop)}</code></p>')
    if query.text.strip():
        sign = '<span class="sign" aria-hidden="true">+</span>' if query.image is not None else ""
        parts.append(f'<p class="words">{sign}<q>{escaped(query.text)}</q></p>')
    parts += [
        f'<p class="words negative"><span class="sign" aria-hidden="true">−</span>'
        f'<span class="unseen">without </span><q>{escaped(negative)}</q></p>'
        for negative in query.negatives
    ]
    if search.where:
        parts.append(
            f'<p class="filter"><span>where</span> <code>{escaped(search.where)}</code></p>'
        )
    return "\n".join(filter(None, parts))


def _confidence(confidence: Confidence) -> str:
    share = f"{100 * min(max(confidence.value, 0.0), 1.0):.0f}"
    return f"""<div class="confidence {_TONES[confidence.verdict]}">
<span class="verdict">{escaped(confidence.verdict)}</span>
<span class="meter" role="img" aria-label="confidence {share} %">
<i style="width:{share}%"></i></span>
</div>"""


def _facts(search: SheetSearch) -> str:
    result = search.result
    searched = f"{result.searched:,} of {result.gallery_size:,} pictures"
    if result.searched == result.gallery_size:
        searched = f"{result.gallery_size:,} pictures"
    milliseconds = f"{1000 * result.seconds:,.0f}&nbsp;ms"
    facts = [searched, in_order_of_date(result), escaped(result.composer), milliseconds]
    return f'<p class="facts">{" · ".join(filter(None, facts))}</p>'


def _hits(search: SheetSearch) -> str:
    hits = search.result.hits
    if not hits:
        return '<p class="empty">No picture is left to show.</p>'
    cards = "\n".join(_card(hit, search.thumbnails.get(hit.id)) for hit in hits)
    return f'<ol class="hits">\n{cards}\n</ol>'


def _card(hit: Hit, thumbnail: bytes | None) -> str:
    name = escaped(hit.path.name)
    shown = picture(thumbnail, name) if thumbnail else '<span class="lost">no thumbnail</span>'
    alike = len(hit.duplicates)
    badge = f'<span class="alike" title="duplicates">+{alike} alike</span>' if alike else ""
    if hit.unreachable:
        badge += '<span class="away" title="its disk or folder is not there">away</span>'
    return f"""<li><a class="card" href="{escape(_uri(hit.path))}">
<span class="frame">{shown}<span class="rank">{hit.rank}</span>{badge}
{_details(hit)}</span>
<span class="line"><span class="name">{name}</span><span class="score">{hit.score:.3f}</span></span>
</a></li>"""


def _details(hit: Hit) -> str:
    facts = {**telling_facts(hit), "size": f"{hit.width} × {hit.height}"}
    rows = "".join(
        f"<span><b>{escaped(name)}</b> {escaped(fact)}</span>" for name, fact in facts.items()
    )
    return f'<span class="details">{rows}</span>'


def _uri(path: Path) -> str:
    return path.absolute().as_uri()


def _spoken(query: Query) -> str:
    count = len(query.images)
    parts = ["an image" if count == 1 else f"{count} images"] if count else []
    parts += [query.text] if query.text.strip() else []
    return " and ".join(parts)
