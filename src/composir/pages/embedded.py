"""Pictures as style rules: each is in the page once, however often it is shown."""

from __future__ import annotations

from composir.pages.rendering import data_uri


class Pictures:
    """The pictures of one page by key, e.g. an image id."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._rules: list[str] = []

    def add(self, key: str, image: bytes, *, size: tuple[int, int] | None = None) -> str:
        """Embed a picture."""
        name = self._names[key] = f"p{len(self._names)}"
        shape = f";aspect-ratio:{size[0]}/{size[1]}" if size else ""
        self._rules.append(f".{name}{{background-image:url({data_uri(image)}){shape}}}")
        return name

    def of(self, key: str) -> str:
        """The class that shows a picture; empty if it was not added."""
        return self._names.get(key, "")

    def rules(self) -> str:
        """The style rules of all of them."""
        return "\n".join(self._rules)
