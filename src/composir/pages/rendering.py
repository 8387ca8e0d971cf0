"""Templates into pages; the only place that knows jinja2, which is loaded when a page is made."""

from __future__ import annotations

import base64
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from composir.data.outputs import GENERATOR

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_STYLES = ("tokens.css", "style.css")


def render(template: str, *, title: str, intro: str = "", rules: str = "", **values: object) -> str:
    """Fill in a template."""
    from markupsafe import Markup

    style = "".join(
        files(__package__).joinpath(name).read_text(encoding="utf-8") for name in _STYLES
    )
    frame = {"title": title, "intro": intro, "generator": Markup(GENERATOR)}
    page = _environment().get_template(template)
    return page.render(frame, style=Markup(style + rules), **values)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"count": _count, "embed": data_uri}
    return made


def data_uri(image: bytes, kind: str = "jpeg") -> Markup:
    """An encoded picture as a URI that holds it."""
    from markupsafe import Markup

    return Markup(f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}")


def _count(number: int) -> str:
    return f"{number:,}"


def _printable(value: object) -> object:
    """What no page may carry (controls, directions, lone surrogates) becomes U+FFFD."""
    if hasattr(value, "__html__"):
        return value
    text = str(value)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
