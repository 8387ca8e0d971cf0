"""An explanation as one self-contained HTML page, in the style of contact sheets."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib.resources import files

from composir.explain.effects import FIRST, WINDOW, Move, PhraseEffect
from composir.explain.explanation import Explanation
from composir.explain.heat import heat_overlay, spread, strongest_place
from composir.explain.looks import Looks, TokenLook
from composir.sheet.document import document, escaped
from composir.types import Hit

_ALL_POSITIONS = 0.98  # spread from which a map says "everywhere"


def explanation_page(explanation: Explanation) -> str:
    """Lay out a page.

    Args:
        explanation: Of one search.

    Returns:
        A complete HTML document: no script, no request, light and dark.
    """
    title = explanation.result.query.text.strip() or "Pictures like this one"
    own = files("composir.explain").joinpath("style.css").read_text(encoding="utf-8")
    parts = (_hits_section, _phrases_section, _tokens_section)
    body = "\n".join(filter(None, (part(explanation) for part in parts)))
    style = own + _picture_rules(explanation)
    return document(f"Why: {title}", body, intro=_intro(explanation), style=style)


def _picture_rules(explanation: Explanation) -> str:
    """Pictures as style rules: each is in the page once, however often it is shown."""
    rules = [
        f".p{number}{{background-image:url({_data(jpeg, 'jpeg')})}}"
        for number, jpeg in enumerate(explanation.thumbnails.values())
    ]
    for number, reference in enumerate(explanation.references):
        width, height = reference.size
        rules.append(
            f".ref{number}{{background-image:url({_data(reference.jpeg, 'jpeg')});"
            f"aspect-ratio:{width}/{height}}}"
        )
    return "\n".join(rules)


def _intro(explanation: Explanation) -> str:
    result = explanation.result
    weights = ", ".join(f"{name} {value}" for name, value in explanation.settings.items())
    composer = f"{result.composer} ({weights})" if weights else result.composer
    verdict = f"{result.confidence.verdict} ({result.confidence.value:.2f})"
    return f"Composer {composer} · {result.searched:,} pictures searched · {verdict}"


def _hits_section(explanation: Explanation) -> str:
    crop = explanation.result.query.crop
    part = "" if crop is None else f", cropped to {crop}"
    references = "".join(
        f'<figure class="asked"><div class="ref{number} picture" role="img" '
        f'aria-label="reference image"></div>'
        f"<figcaption>{escaped((shown.name or 'the reference') + part)}</figcaption></figure>"
        for number, shown in enumerate(explanation.references)
    )
    hits = "".join(
        _thumb(explanation, hit, f"{hit.rank}", f"{hit.score:.3f}")
        for hit in explanation.result.hits[:FIRST]
    )
    strip = f'<ol class="strip">{hits}</ol>' if hits else '<p class="empty">No picture is left.</p>'
    answer = f'<div class="answer"><div>{references}</div>{strip}</div>' if references else strip
    return f"""<section class="part" aria-label="The first hits">
<h2>The first hits</h2>
{answer}
</section>"""


def _phrases_section(explanation: Explanation) -> str:
    if not explanation.effects:
        return ""
    rows = "\n".join(_effect(explanation, effect) for effect in explanation.effects)
    return f"""<section class="part" aria-label="What each phrase changed">
<h2>What each phrase changed</h2>
<p class="intro">Each phrase was left out once and the gallery asked again. The bar shows how far
that turned the query; below it, where the first {FIRST} hits go without the phrase, and which
pictures would come instead.</p>
{rows}
</section>"""


def _effect(explanation: Explanation, effect: PhraseEffect) -> str:
    sign = "−" if effect.negative else "+"
    kind = ' class="phrase negative"' if effect.negative else ' class="phrase"'
    head = f'<h3{kind}><span class="sign" aria-hidden="true">{sign}</span>' + (
        f"<q>{escaped(effect.phrase)}</q></h3>"
    )
    if effect.skipped:
        return f'<article class="effect">{head}<p class="note">Not left out: ' + (
            f"{escaped(effect.skipped)}.</p></article>"
        )
    moves = "".join(_move(explanation, move) for move in effect.moves)
    arrivals = "".join(
        _thumb(explanation, hit, "new", f"would be {hit.rank}") for hit in effect.arrivals
    )
    instead = f'<ol class="strip small">{arrivals}</ol>' if arrivals else ""
    lead = '<p class="note">Would come instead:</p>' if arrivals else ""
    return f"""<article class="effect">
{head}
{_turn(effect)}
<ol class="strip small">{moves}</ol>
{lead}{instead}
</article>"""


def _turn(effect: PhraseEffect) -> str:
    count = len(effect.moves)
    kept = f"{effect.kept} of the first {count} stay among them, {effect.moved} move"
    if effect.cosine is None:
        return f'<p class="facts">{kept}</p>'
    share = 100 * min(max(1.0 - effect.cosine, 0.0), 1.0)
    left = f"leaving “{escaped(effect.rest)}”" if effect.rest else "leaving the picture alone"
    return f"""<div class="turn"><span class="meter" role="img"
 aria-label="turned by {share:.0f} %"><i style="width:{share:.1f}%"></i></span>
<span class="facts">cosine {effect.cosine:.3f} · {kept} · {left}</span></div>"""


def _move(explanation: Explanation, move: Move) -> str:
    if move.rank is None:
        text, tone = f"{move.hit.rank} → &gt;{WINDOW}", "down"
    elif move.rank == move.hit.rank:
        text, tone = f"stays {move.rank}", "same"
    else:
        text, tone = (
            f"{move.hit.rank} → {move.rank}",
            "down" if move.rank > move.hit.rank else "up",
        )
    picture = _picture(explanation, move.hit)
    return f'<li title="{escaped(move.hit.path.name)}">{picture}' + (
        f'<span class="line"><span class="{tone}">{text}</span></span></li>'
    )


def _tokens_section(explanation: Explanation) -> str:
    looks = explanation.looks
    note = f'<p class="intro">{escaped(looks.note)}</p>' if looks.note else ""
    lead = ""
    if looks.tokens:
        count = len(looks.tokens)
        words = "one pseudo-word" if count == 1 else f"a sentence of {count} pseudo-words"
        lead = (
            f'<p class="intro">For the text encoder the reference is {words}. Bright: where each '
            "looked, as a share of its strongest place. Below: the real words nearest to it, which "
            "need not make sense to people, and its length.</p>"
        )
    cards = "".join(
        _token(number, look, looks, explanation) for number, look in enumerate(looks.tokens, 1)
    )
    return f"""<section class="part" aria-label="What was seen in the reference">
<h2>What was seen in the reference</h2>
{lead}{note}
{f'<ol class="looks">{cards}</ol>' if cards else ""}
</section>"""


def _token(number: int, look: TokenLook, looks: Looks, explanation: Explanation) -> str:
    words = " ".join(f"<code>{escaped(word)}</code>" for word in look.words)
    heat, where = "", ""
    if look.attention is not None and looks.spec is not None:
        png = heat_overlay(look.attention, explanation.references[0].size, looks.spec)
        place = _place(look)
        heat = f'<img src="{_data(png, "png")}" alt="heat map: looked at {place}">'
        where = f" · looked at {place}"
    seen = f'<div class="ref0 picture heat">{heat}</div>' if heat else ""
    return f"""<li class="look">{seen}
<p class="words"><span class="sign">{number}</span>{words}</p>
<p class="facts">length {look.norm:.2f}{where}</p></li>"""


def _place(look: TokenLook) -> str:
    assert look.attention is not None  # callers have looked
    share = spread(look.attention)
    if share > _ALL_POSITIONS:
        return "everywhere alike"
    return f"{strongest_place(look.attention)}, {share:.0%} of the picture"


def _thumb(explanation: Explanation, hit: Hit, badge: str, score: str) -> str:
    picture = _picture(explanation, hit)
    return f'<li title="{escaped(hit.path.name)}">{picture}<span class="rank">{badge}</span>' + (
        f'<span class="line"><span class="name">{escaped(hit.path.name)}</span>'
        f'<span class="score">{score}</span></span></li>'
    )


def _picture(explanation: Explanation, hit: Hit) -> str:
    ids: Sequence[str] = list(explanation.thumbnails)
    shown = f"p{ids.index(hit.id)}" if hit.id in explanation.thumbnails else "lost"
    return f'<div class="picture {shown}" role="img" aria-label="{escaped(hit.path.name)}"></div>'


def _data(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
