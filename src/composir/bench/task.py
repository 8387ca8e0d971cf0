"""What a benchmark is made of: queries with their truths over a gallery, and how to score them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from composir.encode.image_files import ImageFile
from composir.errors import BenchError, DatasetError


@dataclass(frozen=True, slots=True)
class BenchQuery:
    """One query and what it should find.

    Attributes:
        id: Unique within its task; the key of paired comparisons and of submissions.
        texts: The modification text. Several stand for variants of one text (FashionIQ's two
            orders): each is composed, the composed vectors are averaged and normalised.
        reference: Id of the reference image, or None for words alone.
        targets: Ids of all right answers; empty where the server keeps them.
        primary: The one target that `recall@k` looks at (CIRCO); None: any target counts.
        subset: The candidates of `recall_subset@k`; the reference is not one of them. GeneCIS lists
            one target among its own distractors, so that an id may come twice; every place counts.
        aspects: What kinds of change the text asks for; each is reported by itself.
        source: File and line or entry, for messages.
        group: Queries that answer alike, e.g. of one product: drawn and tested together. Empty
            where the data set names none.
    """

    id: str
    texts: tuple[str, ...]
    reference: str | None
    targets: tuple[str, ...]
    primary: str | None = None
    subset: tuple[str, ...] = ()
    aspects: tuple[str, ...] = ()
    source: str = ""
    group: str = ""

    @property
    def unit(self) -> str:
        """What it is resampled with: its group, else its reference, else its targets."""
        return self.group or self.reference or " ".join(self.targets)


@dataclass(frozen=True, slots=True)
class BenchTask:
    """Queries over one gallery, with everything that decides the score.

    Attributes:
        name: Name of the data set, with the part of it if there are several, e.g.
            `fashioniq-dress`.
        split: Which split, e.g. `val`.
        variant: The protocol in words, as it has to stand beside the score.
        gallery: Image ids in the order that breaks ties among wrong answers.
        queries: The queries.
        pictures: Where the images are; ids of the gallery and of all references.
        exclude_reference: Whether a query's reference is taken out of its gallery.
        metrics: What is computed, e.g. `recall@5`, `set_recall@10`, `recall_subset@1`, `map@10`.
        headline: The metric that stands for the task in rankings and per-aspect figures.
        checksum: SHA-256 over the annotation files.
        images_from: Where the images are to be had, for messages.
        captions: Texts that stand in for images (a text proxy), by image id.
        notices: What has to be said wherever the score is shown.
        hidden_truth: Whether only a server can score it.
    """

    name: str
    split: str
    variant: str
    gallery: tuple[str, ...]
    queries: tuple[BenchQuery, ...]
    pictures: Mapping[str, ImageFile]
    exclude_reference: bool
    metrics: tuple[str, ...]
    headline: str
    checksum: str
    images_from: str
    captions: Mapping[str, tuple[str, ...]] | None = None
    notices: tuple[str, ...] = ()
    hidden_truth: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be scored."""
        if not self.queries:
            raise DatasetError(f"{self.name}: the split {self.split!r} has no queries")
        if not self.gallery:
            raise DatasetError(f"{self.name}: the split {self.split!r} has an empty gallery")
        refuse_duplicates(self.gallery, f"{self.name}: gallery id")
        refuse_duplicates((query.id for query in self.queries), f"{self.name}: query id")
        _refuse_unwritable(self.gallery, f"{self.name}, gallery")
        known = set(self.gallery)
        for query in self.queries:
            self._check(query, known)

    def _check(self, query: BenchQuery, known: set[str]) -> None:
        where = query.source or f"{self.name}, query {query.id}"
        refuse_duplicates(query.targets, f"{where}: target")
        named = [query.id, query.reference or "", query.group, *query.texts, *query.aspects]
        _refuse_unwritable(named, where)
        for role, ids in (("target", query.targets), ("subset member", query.subset)):
            for image in ids:
                if image not in known:
                    raise DatasetError(f"{where}: the {role} {image!r} is not in the gallery")
        if self.exclude_reference and query.reference in query.targets:
            raise DatasetError(
                f"{where}: the reference {query.reference!r} is also a target, but this data set "
                f"takes references out of the gallery"
            )

    @property
    def needed(self) -> tuple[str, ...]:
        """Ids of all images whose vectors are needed, gallery first."""
        references = (q.reference for q in self.queries if q.reference is not None)
        return tuple(dict.fromkeys([*self.gallery, *references]))

    @property
    def aspects(self) -> tuple[str, ...]:
        """All aspects that occur, in order of first use."""
        return tuple(dict.fromkeys(aspect for query in self.queries for aspect in query.aspects))


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """What of a data set is wanted.

    Attributes:
        split: Name of the split; None for the data set's usual one.
        variant: Name of a protocol variant; None for the data set's usual one.
        text_proxy: Put captions in place of images.
        available: Ids for which precomputed vectors are at hand; None when images are used.
    """

    split: str | None = None
    variant: str | None = None
    text_proxy: bool = False
    available: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A benchmark as the table of data sets knows it.

    Attributes:
        name: As typed on the command line.
        title: For people.
        reference: Paper.
        licence: Of annotations and images.
        protocol: One sentence.
        images_from: Where the images are to be had.
        splits: The usual one first.
        variants: The usual one first.
        load: Reads the annotations below a folder into one task or several, which are averaged.
        submission: Name of the server's format in `composir.bench.submission`, if there is one.
        text_proxy: Whether captions can stand in for its images.
    """

    name: str
    title: str
    reference: str
    licence: str
    protocol: str
    images_from: str
    splits: tuple[str, ...]
    load: Callable[[Path, LoadOptions], tuple[BenchTask, ...]]
    variants: tuple[str, ...] = ("standard",)
    submission: str | None = None
    text_proxy: bool = False

    def choose(self, options: LoadOptions) -> tuple[str, str]:
        """Split and variant that the options mean."""
        split = options.split or self.splits[0]
        variant = options.variant or self.variants[0]
        if split not in self.splits:
            raise DatasetError(f"{self.name} has no split {split!r}; it has {listed(self.splits)}")
        if variant not in self.variants:
            raise DatasetError(
                f"{self.name} has no variant {variant!r}; it has {listed(self.variants)}"
            )
        if options.text_proxy and not self.text_proxy:
            raise DatasetError(f"{self.name} has no captions to put in place of its images")
        return split, variant


def without_images(task: BenchTask, absent: frozenset[str]) -> BenchTask:
    """Leave out images, and the queries that need them."""
    queries = tuple(
        query
        for query in task.queries
        if absent.isdisjoint((*query.targets, *query.subset, query.reference or ""))
    )
    if not queries:
        raise DatasetError(
            f"{task.name}: {len(absent):,} images are missing or damaged, and every query needs "
            f"one of them. Where to get them: {task.images_from}"
        )
    gallery = tuple(name for name in task.gallery if name not in absent)
    return replace(task, queries=queries, gallery=gallery)


def listed(names: Iterable[str]) -> str:
    """Names as people write them: `'a', 'b'`."""
    return ", ".join(repr(name) for name in names)


def refuse_duplicates(ids: Iterable[str], what: str) -> None:
    """Check that ids are unique."""
    seen: set[str] = set()
    for name in ids:
        if name in seen:
            raise DatasetError(f"{what} {name!r} comes twice; ids must be unique")
        seen.add(name)


def writable(text: str) -> bool:
    """Whether a UTF-8 file can hold a text; Python reads bytes of other encodings as surrogates."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def check_name(what: str, text: str | None) -> None:
    """Check that a name or path can be written into a result file.

    Args:
        what: Whose it is, for the message, e.g. an option.
        text: The name or path; None where there is none.
    """
    if text is not None and not writable(text):
        raise BenchError(
            f"{what} {text}: not valid UTF-8, so result files cannot name it; rename it, or move "
            f"it to where every folder's name is valid"
        )


def _refuse_unwritable(texts: Iterable[str], where: str) -> None:
    """Before anything is computed: result files and pages hold these texts."""
    for text in texts:
        if not writable(text):
            raise DatasetError(
                f"{where}: {text!r} is not valid UTF-8, so result files cannot hold it; rename it"
            )


def checksum(files: Iterable[Path]) -> str:
    """SHA-256 over the names and contents of files, as hexadecimal digits."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0")
        digest.update(bytes.fromhex(ImageFile(path).digest()))
    return digest.hexdigest()
