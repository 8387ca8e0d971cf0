"""The frozen dataclasses that everything returns, and the types that everything takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from composir.crop import Crop
from composir.errors import QueryError
from composir.references import ReferenceImage, ReferenceInput, reference_images

if TYPE_CHECKING:
    from PIL import Image

FloatArray: TypeAlias = NDArray[np.float32]
PixelArray: TypeAlias = NDArray[np.uint8]
ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | Image.Image"
SortOrder: TypeAlias = Literal["score", "date", "date:oldest"]
Missing: TypeAlias = Literal["hide", "keep"]
_ONE_TEXT = "write text='a red shoe'"


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One picture, decoded safely.

    Attributes:
        rgb: The picture as a Pillow image of mode `RGB`, upright; it may have been decoded at a
            smaller scale than the file's.
        width: Width of the file's picture in pixels, upright, before any downscaling.
        height: Height likewise.
        format: Pillow's name of the format, e.g. `JPEG`.
        taken_at: When it was taken, from EXIF, without time zone.
        camera: Maker and model, from EXIF.
    """

    rgb: Image.Image
    width: int
    height: int
    format: str
    taken_at: datetime | None = None
    camera: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What a user asks: an image, words, or both, and what must not be there.

    Attributes:
        image: The reference image: a path, the bytes of a file, a file opened with `rb` (read here
            and now), a Pillow image, or a uint8 array of shape (h, w), (h, w, 3) or (h, w, 4). A
            list of several asks for what lies in the middle of them. None for words alone.
        text: The modification text (with an image) or a description (without).
        negatives: Texts for what the hits should not show, e.g. `("people",)`.
        from_device: Whether the reference stayed on a device, whose pseudo-words stand for it
            (docs/device.md); its composer holds them.
        crop: The part of the (only) reference that is meant; None for all of it.
        literal: Whether the words are taken as they are; else "without a shade" in them counts
            as a negative (docs/cli.md).
    """

    image: ReferenceInput | Sequence[ReferenceInput] | None = None
    text: str = ""
    negatives: tuple[str, ...] = ()
    from_device: bool = False
    crop: Crop | None = None
    literal: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty query, and take blanks around the words away.

        Raises:
            QueryError: If neither an image nor words are given, a negative is empty, or a part is
                of another type than it says.
        """
        images = reference_images(self.image)
        object.__setattr__(self, "image", images[0] if len(images) == 1 else images or None)
        self._check_crop(len(images))
        if not isinstance(self.text, str):
            raise QueryError(f"text is one text, not {type(self.text).__name__}: {_ONE_TEXT}")
        object.__setattr__(self, "text", self.text.strip())
        # A `*` stands for the reference: without one it says nothing.
        words = self.text.replace("*", " ").split()
        if self.image is None and not words and not self.from_device:
            what = "only what must not be there" if self.negatives else "an empty query"
            raise QueryError(f"{what}: give an image, words, or both")
        if isinstance(self.negatives, str):
            raise QueryError("negatives are several texts: write negatives=('people',)")
        object.__setattr__(self, "negatives", _texts(self.negatives))
        if any(not negative.strip() for negative in self.negatives):
            raise QueryError("an empty negative text: say what must not be there, or leave it out")

    @property
    def images(self) -> tuple[ReferenceImage, ...]:
        """The references, none to several; each can be read again."""
        if isinstance(self.image, tuple):
            return self.image
        return () if self.image is None else (self.image,)  # type: ignore[return-value]

    def _check_crop(self, references: int) -> None:
        if self.crop is None:
            return
        if not isinstance(self.crop, Crop):
            raise QueryError(
                f"crop is a composir.Crop, not {type(self.crop).__name__}: write "
                "crop=Crop(x, y, width, height), or Crop.parse('10%,0%,50%,50%')"
            )
        if references != 1:
            problem = "no reference image to crop" if not references else "a crop of several images"
            raise QueryError(f"{problem}: a crop is a part of one reference image")


def check_query(query: object) -> None:
    """Refuse what is asked in another form than a query."""
    if not isinstance(query, Query):
        raise QueryError(
            f"a search takes a Query, not {type(query).__name__}: write "
            "gallery.search(Query(text='a shoe')) for words, Query(image='shoe.jpg') for a picture"
        )


def _texts(given: object) -> tuple[str, ...]:
    try:
        texts: tuple[object, ...] = tuple(given)  # type: ignore[arg-type]
    except TypeError as error:
        raise QueryError(
            f"negatives are several texts, not {type(given).__name__}: write negatives=('people',)"
        ) from error
    for text in texts:
        if not isinstance(text, str):
            raise QueryError(f"a negative is a text, not {type(text).__name__}")
    return texts  # type: ignore[return-value]  # each was looked at


class HitOptions(TypedDict, total=False):
    """Which hits are wanted: arguments of `Gallery.search`, which explains them."""

    k: int
    where: str | None
    include_reference: bool
    collapse_duplicates: bool
    sort: SortOrder
    min_confidence: float | None


class SearchOptions(HitOptions, total=False):
    """The same, and what only a gallery can be asked, which knows the folders of its files."""

    missing: Missing


@dataclass(frozen=True, slots=True)
class Hit:
    """One gallery image in a result.

    Attributes:
        rank: 1 for the best.
        id: The gallery's id of the image.
        path: Where the file was when it was indexed.
        score: Similarity to the query vector (cosine, -1 to 1, unless the composer says otherwise).
        width: Pixels.
        height: Pixels.
        metadata: All other columns of the gallery's row.
        duplicates: Paths of exact or near duplicates that this hit stands for.
        unreachable: Whether its file lies where nothing can be reached now, e.g. on a disk that is
            not there.
    """

    rank: int
    id: str
    path: Path
    score: float
    width: int
    height: int
    metadata: Mapping[str, Any] = field(default_factory=dict)
    duplicates: tuple[Path, ...] = ()
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far to trust the best hits (docs/gallery.md says what it is made of).

    Attributes:
        value: How likely they are right, 0 to 1.
        verdict: The same in words for people.
    """

    value: float
    verdict: Literal["good match", "uncertain", "nothing matches well"]


@dataclass(frozen=True, slots=True)
class Absent:
    """Files that were not found on the way to the hits.

    Attributes:
        left_out: How many pictures are not shown because their files are gone.
        left_out_from: The indexed folders that these were in.
        unreachable: Indexed folders that cannot be reached now; their hits are shown and marked.
    """

    left_out: int = 0
    left_out_from: tuple[Path, ...] = ()
    unreachable: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a joint encoder did with the first hits.

    Attributes:
        model: Its name.
        images: How many hits it looked at; their scores are its own, those behind the gallery's.
        thumbnails: How many of them it saw as thumbnails, because their files are gone, have
            changed or cannot be read.
    """

    model: str
    images: int = 0
    thumbnails: int = 0


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        query: The query as asked.
        hits: Best first.
        confidence: How far to trust the best hit.
        composer: Name of the composer that made the query vector.
        gallery_size: Images in the gallery.
        searched: Images left after `where` and the exclusion of the reference.
        seconds: Time from query to hits, without loading the model.
        absent: Files that were not found.
        understood: The query as it was understood: what its words negate is among the negatives.
        notices: What else whoever asks should know, e.g. a negation that was not understood.
        sort: How the hits are ordered.
        relevant: How many images passed for relevant before they were sorted by date, of the 5,000
            best; None where the order is that of the score, which lets everything pass.
        min_confidence: What was asked for; None for nothing.
        reranked: How the first hits were ordered anew; None where they were not.
    """

    query: Query
    hits: tuple[Hit, ...]
    confidence: Confidence
    composer: str
    gallery_size: int
    searched: int
    seconds: float
    absent: Absent = field(default_factory=Absent)
    understood: Query | None = None
    notices: tuple[str, ...] = ()
    sort: SortOrder = "score"
    relevant: int | None = None
    min_confidence: float | None = None
    reranked: Reranked | None = None

    @property
    def asked(self) -> Query:
        """What was looked for: the query as understood."""
        return self.understood or self.query

    @property
    def matches(self) -> bool:
        """Whether the confidence reaches what was asked for."""
        return self.min_confidence is None or self.confidence.value >= self.min_confidence


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be indexed, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What one `index` run did, in numbers of images.

    Attributes:
        added: Encoded and stored.
        reused: Known content at a new path; its vector was taken over.
        unchanged: Left alone.
        dropped: Gone from disk, removed from the gallery; a moved file counts as reused alone.
        failures: Could not be read.
        total: In the gallery now.
        seconds: Wall time of the run.
        unmatched: Rows of the metadata file that are for none of the pictures, as it names them.
        other_kinds: Files that were not looked at, by ending in lower case, the most first.
        unmatched_excludes: Exclude patterns of this run that nothing matched, as they were typed.
        excludes: All patterns that were in force, by root, remembered ones among them.
        moved: Pictures of other roots that were found under these, by the root that they left;
            they count as reused, and nothing is left where they were.
        left_behind: Pictures that were not found again, by a root that has moved.
        emptied: Rows dropped because no picture is left in a root, by that root; they count as
            dropped.
        columns: How each column of the metadata file was read, in words.
    """

    added: int
    reused: int
    unchanged: int
    dropped: int
    failures: tuple[Failure, ...]
    total: int
    seconds: float
    unmatched: tuple[str, ...] = ()
    other_kinds: Mapping[str, int] = field(default_factory=dict)
    unmatched_excludes: tuple[str, ...] = ()
    excludes: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    moved: Mapping[Path, int] = field(default_factory=dict)
    left_behind: Mapping[Path, int] = field(default_factory=dict)
    emptied: Mapping[Path, int] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
