"""Small pictures embedded once each, and the tiles that show them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape

from PIL import Image

from composir.bench.pictures import open_picture
from composir.bench.task import Picture, Task
from composir.errors import ImageReadError

_SIDE = 108
_QUALITY = 72


class Tiles:
    """Makes tiles of one task's images; embeds each picture once, as a style rule."""

    def __init__(self, task: Task, prefix: str) -> None:
        """Prepare for a task.

        Args:
            task: Whose pictures or captions are shown.
            prefix: Tells this task's style classes from another's.
        """
        self._pictures: Mapping[str, Picture] = task.pictures
        self._captions = task.captions
        self._prefix = prefix
        self._classes: dict[str, str | None] = {}
        self._rules: list[str] = []

    def tile(self, name: str, *extra: str) -> str:
        """One image as HTML: its picture, else its caption, else its id."""
        if self._captions is not None:
            said = self._captions.get(name, ("",))[0]
            return self._box(name, said, "said", *extra)
        known = self._class(name)
        return self._box(name, "" if known else name, *filter(None, [known]), *extra)

    def rules(self) -> str:
        """Style rules of all pictures used so far."""
        return "".join(self._rules)

    def _box(self, name: str, text: str, *classes: str) -> str:
        return (
            f'<div class="tile {" ".join(classes)}" role="img" aria-label="{escape(name)}" '
            f'title="{escape(name)}">{escape(text)}</div>'
        )

    def _class(self, name: str) -> str | None:
        if name not in self._classes:
            data = self._jpeg(name)
            known = f"{self._prefix}{len(self._rules)}" if data else None
            if data:
                self._rules.append(f".{known}{{background-image:url({data})}}")
            self._classes[name] = known
        return self._classes[name]

    def _jpeg(self, name: str) -> str | None:
        """A data URI; None where the picture is not at hand, so that its id is shown instead."""
        picture = self._pictures.get(name)
        if picture is None or not picture.path.is_file():
            return None
        try:
            rgb = open_picture(picture, min_side=2 * _SIDE)
        except ImageReadError:
            return None
        rgb.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        rgb.save(buffer, "JPEG", quality=_QUALITY)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
