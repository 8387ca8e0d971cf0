"""What the packaged foundation model is trained on: pictures, each with texts that describe it.

Reads data set folders (docs/gallery.md describes the format) and turns their metadata into texts.
Splits are by hash, so that they are the same on every machine: fashion by title group (a title
without its colour), everything else by picture. Only `train` is trained on, `dev` chooses
hyper-parameters, `test` is for reports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from composir.data.datasets import GALLERY, DatasetFolder, DatasetImage
from composir.errors import DatasetError

Split: TypeAlias = Literal["train", "dev", "test"]
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TrainingPicture:
    """One picture with the texts that describe it.

    Attributes:
        source: Name of the data set.
        file: The picture.
        texts: At least one description; one is drawn each time the picture is seen.
        split: What it may be used for.
        attributes: Value by name of what its metadata say, e.g. `colour` to `black`; each is also
            a phrase to be told apart (`foundation.attributes`).
        shared: A text that it shares with its variants (a title without its colour), or None.
        kin: What it is a variant of, and which one (a title without its colour, and the colour), or
            None (`foundation.appearance_task`).
    """

    source: str
    file: Path
    texts: tuple[str, ...]
    split: Split
    attributes: Mapping[str, str] = field(default_factory=dict)
    shared: str | None = None
    kin: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """How one data set becomes training pictures.

    Attributes:
        texts: A gallery row to its texts; none leaves the picture out.
        group: A gallery row to the key that is split as a whole.
        dev: Share of groups for choosing hyper-parameters.
        test: Share of groups kept for reports.
        attributes: Names of the metadata columns that become attributes.
        shared: A gallery row to the text that its variants share; None where there is none.
        kin: A gallery row to what its variants have in common.
        varies: Name of the attribute that tells those variants apart.
        split_by: Name that is hashed with the group instead of the source's: sources that show the
            same pictures share their splits.
        licence: Of its pictures, as far as it is known.
    """

    texts: Callable[[Row], list[str]]
    group: Callable[[Row], str]
    dev: float
    test: float
    attributes: tuple[str, ...] = ()
    shared: Callable[[Row], str] | None = None
    kin: Callable[[Row], str] | None = None
    varies: str = ""
    split_by: str = ""
    licence: str = "not stated"

    def split(self, name: str, row: Row) -> Split:
        """Which split a gallery row of the source of that name belongs to."""
        return split_of(f"{self.split_by or name}/{self.group(row)}", self.dev, self.test)


def read_corpus(root: Path, sources: tuple[str, ...]) -> list[TrainingPicture]:
    """Read training pictures from data set folders.

    Args:
        root: Folder that holds the data set folders.
        sources: Which of `SOURCES`, in order.

    Returns:
        All pictures of all splits, in the order of the sources and their rows.

    Raises:
        DatasetError: If a source is unknown, missing or empty.
    """
    pictures = [picture for name in sources for picture in _read_source(root, name)]
    if not pictures:
        raise DatasetError(f"no training pictures below {root}: unpack the data sets there first")
    return pictures


def split_of(group: str, dev: float, test: float) -> Split:
    """Assign a group to a split by its hash; the shares are those of groups, not of pictures."""
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:6], "big") / 2**48
    if position < test:
        return "test"
    return "dev" if position < test + dev else "train"


_COLOUR_WORDS = (
    "beige black blue bronze brown burgundy charcoal coffee copper cream gold golden green "
    "grey gray khaki lavender magenta maroon mauve melange metallic multi mushroom mustard "
    "navy nude off olive orange peach pink purple red rose rust silver skin steel tan taupe "
    "teal turquoise white yellow lime fluorescent sea "
)
COLOURS = frozenset(_COLOUR_WORDS.split())


def fashion_group(row: Row) -> str:
    """A fashion title without its colour words: what queries of that set have in common."""
    words = re.findall(r"[a-z0-9']+", str(row["title"]).lower())
    return " ".join(word for word in words if word not in COLOURS)


def _read_source(root: Path, name: str) -> Iterator[TrainingPicture]:
    spec = SOURCES.get(name)
    if spec is None:
        raise DatasetError(f"no training source named {name}; known: {', '.join(SOURCES)}")
    if not (root / name / GALLERY).is_file():
        raise DatasetError(f"{root / name / GALLERY} is missing: unpack the data set {name} first")
    for image in DatasetFolder(root / name).images().values():
        try:
            picture = _picture(name, spec, image.file, _row(image))
        except KeyError as error:
            told = f"no {error}, or nothing that {name} knows"
            raise DatasetError(f"{image.where}: {told}") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise DatasetError(f"{image.where}: no row of {name} ({error})") from error
        if picture.texts:
            yield picture


def _row(image: DatasetImage) -> Row:
    """A whole gallery row, its id and file among the rest."""
    return image.metadata | {"id": image.id, "file": image.name}


def _picture(name: str, spec: SourceSpec, file: Path, row: Row) -> TrainingPicture:
    values = {column: attribute_value(row.get(column)) for column in spec.attributes}
    named = {column: value for column, value in values.items() if value}
    group = spec.kin(row) if spec.kin else ""
    return TrainingPicture(
        name,
        file,
        tuple(spec.texts(row)),
        spec.split(name, row),
        named,
        (spec.shared(row) or None) if spec.shared else None,
        (group, named[spec.varies]) if group and spec.varies in named else None,
    )


def attribute_value(raw: object) -> str:
    """A metadata value as words: lower case, no underscores; empty where it says nothing."""
    value = re.sub(r"[-_]+", " ", str(raw or "")).lower().strip()
    return "" if value in {"not sure", "other", "skip", "na", "none"} else value


def _flickr_texts(row: Row) -> list[str]:
    return [re.sub(r"\s+([.,])", r"\1", caption).strip(" .") for caption in row["captions"]]


def _fashion_texts(row: Row) -> list[str]:
    title, kind, colour = (str(row.get(key) or "") for key in ("title", "type", "colour"))
    texts = [title]
    if colour and kind:
        kind = kind.lower()
        texts += [f"{colour.lower()} {kind}", f"a photo of {kind} in {colour.lower()}"]
        gender = str(row.get("gender") or "").lower()
        texts += [f"{colour.lower()} {kind} for {gender}"] if gender else []
    return [text for text in texts if text]


_DOMAINS = {
    "photo": ("a photo of a {}", "a photograph of a {}"),
    "art_painting": ("a painting of a {}", "an art painting of a {}"),
    "cartoon": ("a cartoon of a {}", "a {} drawn as a cartoon"),
    "sketch": ("a sketch of a {}", "a pencil sketch of a {}"),
}


def _pacs_texts(row: Row) -> list[str]:
    return [template.format(row["class"]) for template in _DOMAINS[row["domain"]]]


def _grocery_texts(row: Row) -> list[str]:
    kind = re.sub(r"[-_]+", " ", str(row["class"])).lower()
    coarse = re.sub(r"[-_]+", " ", str(row["coarse"])).lower()
    return [f"a photo of {kind}", f"{kind} in a shop", f"a photo of {kind}, {coarse}"]


def _clothing_texts(row: Row) -> list[str]:
    kind = str(row["class"]).lower()
    if kind in {"not sure", "other", "skip"}:
        return []
    wearer = "a child's" if str(row.get("kids")).lower() == "true" else "a"
    return [f"a photo of {wearer} {kind}", kind]


def _scene_texts(row: Row) -> list[str]:
    """What is in a picture, larger things first, with their colours where they are plain."""
    shares = {name: about["share"] for name, about in row["regions"].items()}
    things = sorted(shares, key=lambda name: -shares[name])
    colours = row.get("colours", {})
    named = [f"{colours[name]} {name}" if name in colours else name for name in things]
    texts = [f"a photo of {_listed(things[:3])}", f"a place with {_listed(things[:5])}"]
    texts += [f"a picture with a {one}" for one in named if one not in things][:3]
    return [*texts, f"a photo of {_listed(named[:4])}"]


def _garment_texts(row: Row) -> list[str]:
    colours, worn = row.get("colours", {}), list(row["tags"])
    named = [f"{colours[name]} {name}" if name in colours else name for name in worn]
    texts = [f"someone wearing {_listed(worn)}", f"street fashion with {_listed(named)}"]
    texts += [f"a person in a {one}" for one in named if one not in worn][:3]
    return texts if worn else []


def _region_texts(row: Row) -> list[str]:
    kind, colour = str(row["class"]), str(row["colour"])
    if not colour:
        return [f"a photo of a {kind}", kind]
    return [f"a {colour} {kind}", f"{colour} {kind}", f"a photo of a {kind} in {colour}"]


def _imagenet_texts(row: Row) -> list[str]:
    return [f"a photo of a {row['class']}", str(row["class"])]


def _listed(names: list[str]) -> str:
    """Names as a text lists them."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)


def _id(row: Row) -> str:
    return str(row["id"])


def _file(row: Row) -> str:
    return str(row["file"])


REAL_EDITS = "real-edits"
"""The evaluation set that keeps its pictures apart (`benchmarks/real_edits.py`)."""

SOURCES: dict[str, SourceSpec] = {
    "flickr8k-train": SourceSpec(
        _flickr_texts,
        _file,
        dev=0.1,
        test=0.0,
        licence="research use; pictures owned by their photographers",
    ),
    "fashion-recolour": SourceSpec(
        _fashion_texts,
        fashion_group,
        dev=0.15,
        test=0.3,
        attributes=("colour", "type", "gender", "usage"),
        shared=fashion_group,
        kin=fashion_group,
        varies="colour",
        licence="unclear (a public catalogue data set)",
    ),
    "pacs-domains": SourceSpec(
        _pacs_texts,
        _file,
        dev=0.15,
        test=0.35,
        attributes=("domain", "class"),
        kin=lambda row: str(row["class"]),
        varies="domain",
        licence="unclear, research",
    ),
    "grocery-train": SourceSpec(
        _grocery_texts, _file, dev=0.05, test=0.0, attributes=("class",), licence="MIT"
    ),
    "clothing-train": SourceSpec(
        _clothing_texts, _file, dev=0.05, test=0.0, attributes=("class",), licence="CC0"
    ),
    "imagenet-samples": SourceSpec(
        _imagenet_texts, _file, dev=0.5, test=0.0, licence="research (ImageNet)"
    ),
    "scenes": SourceSpec(
        _scene_texts,
        _id,
        dev=0.05,
        test=0.35,
        split_by=REAL_EDITS,
        licence="research, non-commercial (ADE20K)",
    ),
    "garments": SourceSpec(
        _garment_texts,
        _id,
        dev=0.05,
        test=0.35,
        split_by=REAL_EDITS,
        licence="Apache-2.0; photographers' unclear",
    ),
    "regions": SourceSpec(
        _region_texts,
        lambda row: str(row["picture"]),
        dev=0.05,
        test=0.35,
        split_by=REAL_EDITS,
        attributes=("class", "colour"),
        licence="as scenes and garments, which they are cut from",
    ),
}
