"""A gallery as plain files: the page, its vectors and thumbnails, and what encodes queries.

Any server of files can show them, with nothing of composir behind: pictures and words are encoded
and composed in the browser, as one composer with a light query side does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from composir.compose.description import CHANGE, DESCRIPTION, FUNCTION_WORDS
from composir.compose.spliced import SplicedComposer
from composir.data.outputs import check_own_folder, write_inside
from composir.device.query_export import card
from composir.errors import ComposirError, EmptyGalleryError, GalleryError, ModelError, QueryError
from composir.gallery import Gallery
from composir.gallery.confidence import Kind, calibration_of
from composir.gallery.lookup import IndexedImage
from composir.gallery.rows import OWN_COLUMNS
from composir.limits import MOST_PAGE_PICTURES
from composir.model.model import Model
from composir.model.vocabulary import read_word_table

STATIC = Path(__file__).parent / "static"
DOCUMENT = "composir-page.json"
NOT_IN_PAGE = ("exchange", "learned")
"""Weights of a blend that the page, in the browser, has nothing to weigh with."""
_HEAD = '<meta charset="utf-8" />'
_MARK = f'<meta name="composir-files" content="{DOCUMENT}" />'


@dataclass(frozen=True, slots=True)
class PageExport:
    """What was written.

    Attributes:
        folder: Where.
        images: How many pictures can be found.
        sizes: Bytes of each file, by name; thumbnails together as `thumbnails/`.
    """

    folder: Path
    images: int
    sizes: dict[str, int]


def export_page(
    gallery: Gallery, out: Path, *, composer: str | None = None, limit: int | None = None
) -> PageExport:
    """Write a page that searches a gallery without a server.

    Args:
        gallery: Up to `MOST_PAGE_PICTURES` pictures, unless `limit` says how many to take.
        out: A new or empty folder.
        composer: Name of the one that composes in the browser; None for one that can.
        limit: At most so many pictures, drawn evenly; None for all.

    Raises:
        GalleryError: If the gallery is empty or too large.
        QueryError: If the composer cannot run in a browser.
        ModelError: If the model's texts cannot be read in one.
        OutputError: If the folder is not empty, or cannot be written.
    """
    check_own_folder(out, (), "--out")
    model = gallery.model
    if not isinstance(model, Model) or model.texts.vocabulary.framing is not None:
        raise ModelError(
            f"the model {model.name}: only texts whose tokeniser frames them by itself, as those "
            "of the packaged model, are read in a browser so far; use composir serve"
        )
    chosen = _composer(gallery, model, composer)
    images = _images(gallery, limit)
    try:
        sizes = dict(_written(gallery, model, chosen, images, out))
    except OSError as error:
        raise ComposirError(
            f"cannot write to {out}: {error.strerror}; name another folder with --out"
        ) from error
    return PageExport(out, len(images), sizes)


def _composer(gallery: Gallery, model: Model, name: str | None) -> SplicedComposer:
    found = [gallery.composer(one) for one in ([name] if name else model.composer_folders())]
    able = [one for one in found if isinstance(one, SplicedComposer) and not _why_not(one)]
    if name and not able:
        why = _why_not(found[0])
        raise QueryError(f"the composer {name} {why}, so it cannot run in a browser")
    if not able:
        raise QueryError(f"the model {model.name} has no composer that can run in a browser")
    return max(able, key=lambda one: one.folder.manifest.text_graph is not None)


def _why_not(composer: object) -> str:
    if not isinstance(composer, SplicedComposer):
        return "is arithmetic on the gallery's encoder"
    made = composer.folder.manifest
    if composer.needs_vectors:
        return "needs the gallery's encoder"
    if made.text_graph is not None and not made.switchable:
        return "cannot switch the adapters of its text graph"
    uncomputed = [name for name in NOT_IN_PAGE if getattr(made.settings, name)]
    if uncomputed:
        return f"blends in what the page does not compute ({', '.join(uncomputed)})"
    return ""


def _images(gallery: Gallery, limit: int | None) -> list[IndexedImage]:
    count = len(gallery)
    if count == 0:
        raise EmptyGalleryError("the gallery is empty; fill it first: composir index FOLDER")
    if limit is None and count > MOST_PAGE_PICTURES:
        raise GalleryError(
            f"the gallery has {count:,} pictures, a page of plain files takes "
            f"{MOST_PAGE_PICTURES:,}: take some of them with --limit {MOST_PAGE_PICTURES}, or use "
            "composir serve"
        )
    return gallery.sample(limit or count)


def _written(
    gallery: Gallery,
    model: Model,
    composer: SplicedComposer,
    images: Sequence[IndexedImage],
    out: Path,
) -> Iterator[tuple[str, int]]:
    """Write file after file; the page comes last, so that a folder stopped half way shows none."""
    for name, content in _contents(gallery, model, composer, images):
        _write(out, name, content)
        yield name, len(content)
    stored = gallery.thumbnails([image.id for image in images])
    for image_id, thumbnail in stored.items():
        _write(out, f"thumbnails/{image_id}.jpg", thumbnail)
    yield "thumbnails/", sum(map(len, stored.values()))
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    page = index.replace(_HEAD, f"{_HEAD}\n    {_MARK}", 1)
    _write(out, "index.html", page.encode())
    yield "index.html", len(page)


def _write(out: Path, name: str, content: bytes) -> None:
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    write_inside(out, name, content)


def _contents(
    gallery: Gallery, model: Model, composer: SplicedComposer, images: Sequence[IndexedImage]
) -> Iterator[tuple[str, bytes]]:
    for path in sorted(STATIC.rglob("*")):
        name = path.relative_to(STATIC).as_posix()
        if path.is_file() and name not in {"index.html", "build.json"}:
            yield name, path.read_bytes()
    text, made = model.manifest.text, composer.folder.manifest
    values, scales = read_word_table(model.bundle)
    yield "model/words.bin", values.astype(_words_type(scales), copy=False).tobytes()
    if scales is not None:
        yield "model/word-scales.bin", scales.astype("<f4").tobytes()
    yield "model/tokenizer.json", model.bundle.file(text.tokenizer).read_bytes()
    yield f"model/{text.graph}", model.bundle.file(text.graph).read_bytes()
    if made.text_graph is not None:
        yield "model/adapted.onnx", composer.folder.file(made.text_graph).read_bytes()
    yield "model/query.onnx", composer.folder.file(made.graph).read_bytes()
    ids, vectors = gallery.vectors([image.id for image in images])
    rows = vectors[[ids.index(image.id) for image in images]]
    yield "vectors.bin", rows.astype("<f2").tobytes()
    if composer.weights.evened and model.spread is not None:
        yield "model/spread.bin", model.spread.astype("<f2").tobytes()
    document = _document(gallery, model, composer, images)
    yield DOCUMENT, (json.dumps(document, ensure_ascii=True) + "\n").encode()


def _words_type(scales: object) -> str:
    return "<f4" if scales is None else "i1"


def _document(
    gallery: Gallery,
    model: Model,
    composer: SplicedComposer,
    images: Sequence[IndexedImage],
) -> dict[str, Any]:
    """All that the page has to know beside the files; nothing of where pictures lie here."""
    made, text = composer.folder.manifest, model.manifest.text
    opening, closing = model.texts.vocabulary.frame
    mean = model.mean_image
    return {
        "schema_version": 1,
        "gallery": ", ".join(root.name for root in gallery.info().roots),
        "model": model.name,
        "composer": composer.name,
        "images": [_image(image) for image in images],
        "dimension": model.dimension,
        "mean_image": None if mean is None else [float(number) for number in mean],
        "sentence": model.sentence,
        "confidence": {kind: asdict(calibration_of(model, kind)) for kind in get_args(Kind)},
        "weights": composer.settings,
        "descriptions": {
            "change": CHANGE,
            "description": DESCRIPTION,
            "function_words": sorted(FUNCTION_WORDS),
        },
        "templates": made.templates.model_dump(),
        "card": card(composer.folder),
        "text": {
            "graph": "adapted.onnx" if made.text_graph else text.graph,
            "tensors": text.graph if made.text_graph else None,
            "scaled": text.words.scales is not None,
            "word_dimension": model.manifest.word_dimension,
            "max_tokens": text.max_tokens,
            "opening": list(opening),
            "closing": list(closing),
        },
        "licence": model.manifest.licence,
    }


def _image(image: IndexedImage) -> dict[str, Any]:
    own = {name: _shown(value) for name, value in image.metadata.items() if name not in OWN_COLUMNS}
    name = image.path.name.encode("utf-8", "replace").decode()
    return {
        "id": image.id,
        "content": image.metadata["content_hash"],
        "path": name,
        "width": image.width,
        "height": image.height,
        "metadata": own,
    }


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
