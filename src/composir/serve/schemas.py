"""What requests and answers look like; the OpenAPI document is made of this."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated, Any, Literal, NotRequired

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from typing_extensions import TypedDict

from composir.documents import ResultDocument
from composir.references import MOST_REFERENCES
from composir.serve.http_problems import ProblemDocument
from composir.serve.settings import MOST_HITS, MOST_QUERIES
from composir.types import Missing, SortOrder


def _decoded(given: object) -> object:
    try:
        return b64decode(given, validate=True) if isinstance(given, str) else given
    except ValueError as error:
        raise ValueError("no base64") from error


MOST_TEXT = 2000
MOST_FILTER = 4000
MOST_NEGATIVES = 16
MOST_FEEDBACK = 32
ImageId = Annotated[str, Field(pattern=r"^[0-9a-f]{1,32}$", examples=["3f2a9c0d11e4b756"])]
Encoded = Annotated[
    bytes,
    BeforeValidator(_decoded),
    WithJsonSchema({"type": "string", "format": "byte", "contentEncoding": "base64"}),
]
"""Bytes: in JSON as base64, in forms as they are."""
Text = Annotated[str, Field(max_length=MOST_TEXT)]
# A query that a search answers as well as one from the command line.
EXAMPLE_TEXT: dict[str, JsonValue] = {"text": "a purple vase on the grass", "k": 5}
EXAMPLE_COMPOSED: dict[str, JsonValue] = {
    "images": [{"id": "3f2a9c0d11e4b756"}],
    "text": "in red",
    "negatives": ["people"],
    "where": "width > 200",
    "k": 20,
}


class Strict(BaseModel):
    """A request that says nothing unknown."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ImageInput(Strict):
    """A reference image, given in one of three ways."""

    id: ImageId | None = None
    """An image of the gallery."""
    data: Encoded | None = None
    """The bytes of a picture file, base64."""
    url: Annotated[str, Field(max_length=2000)] | None = None
    """An https address; only hosts that the server was started with are asked."""

    @model_validator(mode="after")
    def _one_way(self) -> ImageInput:
        if sum(part is not None for part in (self.id, self.data, self.url)) != 1:
            raise ValueError("give one of id, data and url")
        return self


class CropInput(Strict):
    """The part of the reference that is meant."""

    x: float
    """Its left edge."""
    y: float
    """Its upper edge."""
    width: float
    """Its width."""
    height: float
    """Its height."""
    unit: Literal["px", "%"] = "px"
    """Pixels of the upright picture, or percent of its sides."""


class QueryRequest(Strict):
    """A query: an image, words, or both, and what must not be there."""

    images: Annotated[list[ImageInput], Field(max_length=MOST_REFERENCES)] = []
    """The reference; of several, the middle of them."""
    message: Encoded | None = None
    """A device's query message instead of an image, base64 (docs/device.md)."""
    text: Text = ""
    """The modification text (with an image), or a description (without)."""
    negatives: Annotated[list[Text], Field(max_length=MOST_NEGATIVES)] = []
    """What the hits should not show."""
    crop: CropInput | None = None
    """The part of the (only) reference that is meant."""
    literal: bool = False
    """Take the words as they are: no negation is read in them."""
    composer: Annotated[str, Field(max_length=100)] | None = None
    """Name of a composer of `/v1/model`; the model's default where there is none."""
    settings: Annotated[dict[str, int | float | str], Field(max_length=16)] = {}
    """Settings of the composer."""
    balance: Annotated[float, Field(ge=0, le=1)] | None = None
    """0 for the picture alone, 1 for the words alone; 0.5 is what the composer makes of both."""
    more: Annotated[list[ImageId], Field(max_length=MOST_FEEDBACK)] = []
    """Images of the gallery that hits should be more like."""
    less: Annotated[list[ImageId], Field(max_length=MOST_FEEDBACK)] = []
    """Images of the gallery that hits should be less like."""


class SearchRequest(QueryRequest):
    """A query and which hits are wanted."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_TEXT, EXAMPLE_COMPOSED]})

    k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 10
    """How many hits."""
    cursor: Annotated[str, Field(max_length=100)] | None = None
    """Go on where an answer ended; of the other fields only `k` counts then."""
    where: Annotated[str, Field(max_length=MOST_FILTER)] | None = None
    """SQL-like filter over the columns of `/v1/gallery`."""
    sort: SortOrder = "score"
    """Best first; or of what is relevant the newest, or oldest, first."""
    min_confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Where the confidence is below, `matches` is false."""
    include_reference: bool = False
    """Let the reference and its duplicates be among the hits."""
    collapse_duplicates: bool = True
    """Show one of several duplicates."""
    missing: Missing = "hide"
    """Leave out hits whose files have been deleted, or show them."""
    rerank: Annotated[str, Field(max_length=100)] | None = None
    """Name of the joint encoder of `/v1/model`, which orders the first hits by its own scores."""
    rerank_top: Annotated[int, Field(ge=1, le=MOST_HITS)] = 50
    """How many of the first hits it looks at."""


class BatchRequest(Strict):
    """Several queries at once."""

    queries: Annotated[list[SearchRequest], Field(min_length=1, max_length=MOST_QUERIES)]
    """Each is answered, or fails, for itself."""


class IndexRequest(Strict):
    """What to index."""

    paths: Annotated[list[str], Field(max_length=64)] = []
    """Folders that the gallery knows, or folders in those; none for all of them."""
    retry_failures: bool = False
    """Read again what could not be read before."""


class SearchAnswer(ResultDocument):
    """The answer to one query."""

    cursor: str | None
    """Gives the next hits; null where there are no more."""
    version: int
    """Of the gallery: `?v=` of thumbnails."""


class BatchItem(TypedDict):
    """What became of one query: an answer or a problem."""

    answer: NotRequired[SearchAnswer]
    problem: NotRequired[ProblemDocument]


class BatchAnswer(TypedDict):
    """Answers in the order of the queries."""

    results: list[BatchItem]


class EmbeddedQuery(TypedDict):
    """A query's vector, for other stores of the same vectors."""

    vectors: list[list[float]]
    """(m, D), unit norm; m is 1 but for composers that multiply."""
    rule: str
    """`dot`: the similarity is the score; `product`: of the m similarities, rectified at zero."""
    rules_out: bool
    """Whether negatives also take something from the scores, which the vectors do not tell."""
    composer: str
    """Name of the composer."""
    model: str
    """Name of the model."""
    fingerprint: str
    """Of the vector space."""
    dimension: int
    """D."""


class ImageDocument(TypedDict):
    """One image of the gallery."""

    id: str
    path: str
    width: int
    height: int
    metadata: dict[str, Any]
    original: str | None
    """Where its file can be had; null where the server gives none out."""
    thumbnail: str
    """Where its thumbnail can be had."""


class ImageList(TypedDict):
    """Some images of the gallery."""

    images: list[ImageDocument]


class AddAnswer(TypedDict):
    """What became of pictures that were sent."""

    added: list[str]
    """Ids of those that are in the gallery now."""
    failures: list[dict[str, str]]
    """Names of those that are not, and why."""


class DeleteAnswer(TypedDict):
    """What was taken out of the gallery; its file is still there."""

    id: str
    path: str
    total: int
    """Images left."""


class Progress(TypedDict):
    """Where an index run stands."""

    stage: str
    done: int
    total: int | None
    failures: int
    images_per_second: float
    seconds_left: float | None


class JobDocument(TypedDict):
    """An index run."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    progress: Progress | None
    report: dict[str, Any] | None
    """Numbers of the run that is done."""
    problem: dict[str, str] | None
    """Code and detail of what failed."""


class JobList(TypedDict):
    """The last index runs, newest first."""

    jobs: list[JobDocument]


class QuerySideDocument(TypedDict):
    """The part of a composer that runs where the picture is."""

    composer: str
    card: dict[str, Any]
    """As `query_side.json` of `composir export query-side`."""
    graph: str
    """Where its ONNX graph can be had."""
    bytes: int
    sha256: str


class ModelDocument(TypedDict):
    """The model that answers."""

    name: str
    fingerprint: str
    dimension: int
    default_composer: str
    composers: list[str]
    reranker: str | None
    """Name of the joint encoder that searches may ask to `rerank`; null where there is none."""
    query_sides: list[QuerySideDocument]


class FacetValue(TypedDict):
    """How many images have a value."""

    value: str
    count: int


class ColumnDocument(TypedDict):
    """A column that can be filtered by."""

    name: str
    kind: str
    """`text`, `numbers`, `dates` or `true or false`."""
    values: list[FacetValue] | None
    """Of a text column with few values, the most frequent first."""


class GalleryDocument(TypedDict):
    """What the gallery holds, and what the server allows."""

    images: int
    version: int
    updated: str
    failures: int
    roots: list[str]
    columns: list[ColumnDocument]
    allows: dict[str, bool]
    """`originals`, `add` and `url`."""


class Health(TypedDict):
    """Whether the server lives, or is ready."""

    status: str
    version: str
