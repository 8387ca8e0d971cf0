"""A gallery as tools for an assistant: the Model Context Protocol on stdin and stdout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp_types import ToolAnnotations
except ModuleNotFoundError as missing:
    from composir.errors import MissingExtraError

    raise MissingExtraError("mcp", "mcp") from missing
from pydantic import Field

from composir.documents import result_document
from composir.errors import ComposirError, QueryError
from composir.gallery import Gallery
from composir.gallery.rerank import check_joint
from composir.images.containers import is_there
from composir.model.base import EmbeddingModel
from composir.references import NamedImage, ReferenceInput
from composir.serve.settings import MOST_HITS
from composir.types import Query, SortOrder

_INSTRUCTIONS = (
    "Search the user's own pictures. Give an image (a path on this machine, or the id of a hit) "
    "and text that says how the result differs from it, or text alone. Hits come with paths; "
    "`confidence` says how far to trust them. Narrow down with `where`, e.g. `width > 1000`."
)
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(destructive_hint=False, idempotent_hint=True, open_world_hint=False)

Text = Annotated[str, Field(description="What to look for, or how hits differ from the image.")]
Image = Annotated[
    str | None, Field(description="Path of a picture on this machine, or the id of a hit.")
]
Negatives = Annotated[list[str], Field(description="What hits should not show.")]
Count = Annotated[int, Field(ge=1, le=MOST_HITS, description="How many hits.")]
Filter = Annotated[str | None, Field(description="SQL-like filter over the gallery's columns.")]
Sort = Annotated[
    SortOrder,
    Field(description="Best first, or of what is relevant the newest or oldest first."),
]
Rerank = Annotated[
    bool,
    Field(
        description="Let a joint encoder, which reads image and words as one, order the first 50 "
        "hits: better, but minutes for pictures that it has not seen yet."
    ),
]
Paths = Annotated[
    list[str], Field(description="Folders or files on this machine; none for all known ones.")
]


def make_assistant_server(
    gallery: Gallery, reranker: EmbeddingModel | None = None
) -> MCPServer[Any]:
    """The tools over one gallery; `search` may ask for a joint encoder where there is one."""
    server: MCPServer[Any] = MCPServer(
        "composir", instructions=_INSTRUCTIONS, version=_version(), log_level="WARNING"
    )

    @server.tool(annotations=_READS)
    def search(
        text: Text = "",
        image: Image = None,
        negatives: Negatives = [],  # noqa: B006 - never changed
        k: Count = 10,
        where: Filter = None,
        sort: Sort = "score",
        rerank: Rerank = False,
    ) -> dict[str, Any]:
        """Search pictures by an image, words, or both."""
        with _told():
            query = _query(gallery, text, image, negatives)
            joint = _there(reranker) if rerank else None
            found = gallery.search(query, k=k, where=where, sort=sort, rerank=joint)
            return dict(result_document(found))

    @server.tool(annotations=_READS)
    def explain(
        text: Text = "",
        image: Image = None,
        negatives: Negatives = [],  # noqa: B006 - never changed
        k: Count = 10,
        where: Filter = None,
    ) -> dict[str, Any]:
        """Tell why the hits of a search are what they are: what each phrase changed."""
        from composir.explain import ExplainSettings, explain_search
        from composir.explain.document import as_document

        with _told():
            query = _query(gallery, text, image, negatives)
            result = gallery.search(query, k=k, where=where)
            return as_document(explain_search(result, gallery, None, ExplainSettings(where)))

    @server.tool(annotations=_WRITES)
    def index(paths: Paths = []) -> dict[str, Any]:  # noqa: B006 - never changed
        """Read folders of pictures into the gallery, or bring it up to date."""
        with _told():
            roots = [Path(path).expanduser() for path in paths] or list(gallery.info().roots)
            report = gallery.index(roots)
            return {
                "added": report.added,
                "dropped": report.dropped,
                "total": report.total,
                "failures": [f"{one.path}: {one.reason}" for one in report.failures],
            }

    return server


def serve_assistant(gallery: Gallery, reranker: EmbeddingModel | None = None) -> None:
    """Speak with an assistant until it closes stdin.

    Raises:
        ModelError: If `reranker` is no joint encoder.
    """
    if reranker is not None:
        check_joint(reranker)
    make_assistant_server(gallery, reranker).run("stdio")


@contextmanager
def _told() -> Iterator[None]:
    """Expected errors become errors of the tool: the assistant reads what to do."""
    try:
        yield
    except ComposirError as error:
        raise ToolError(f"{error.code}: {error}") from error


def _there(reranker: EmbeddingModel | None) -> EmbeddingModel:
    if reranker is None:
        raise QueryError("no joint encoder is here: it was started without --rerank")
    return reranker


def _query(gallery: Gallery, text: str, image: str | None, negatives: Sequence[str]) -> Query:
    return Query(
        image=None if image is None else _reference(gallery, image),
        text=text,
        negatives=tuple(negatives),
    )


def _reference(gallery: Gallery, image: str) -> ReferenceInput:
    """A hit by its id, or a file."""
    found = gallery.images([image]).get(image)
    if found is None:
        return Path(image).expanduser()
    if is_there(found.path):
        return found.path
    return NamedImage(found.path.name, gallery.thumbnail(image))


def _version() -> str:
    import composir

    return composir.__version__
