"""Clients against a live server: the names and results of the library."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import composir
from composir.errors import FilterError, ImageNotFoundError, UnreadableReferenceError
from composir.gallery import Gallery, open_gallery
from composir.serve.calls import RemoteError, in_gallery
from composir.serve.settings import ServeSettings
from composir.types import Confidence, Query, SearchResult
from tests.fakes import COLOURS, ColourModel
from tests.serve.live import colours, live


@pytest.fixture
def asking(client: httpx.Client) -> Iterator[composir.Client]:
    with composir.Client(str(client.base_url)) as opened:
        yield opened


@pytest.fixture
def library(gallery: Path) -> Gallery:
    return open_gallery(gallery, ColourModel())


def same(found: SearchResult, known: SearchResult) -> None:
    """All but the time, types of metadata, and the last digits of numbers."""

    def told(result: SearchResult) -> SearchResult:
        hits = tuple(replace(hit, score=0.0, metadata={}) for hit in result.hits)
        return replace(result, hits=hits, seconds=0.0, confidence=Confidence(0.0, "uncertain"))

    assert told(found) == told(known)
    scores = [hit.score for hit in known.hits]
    assert [hit.score for hit in found.hits] == pytest.approx(scores, abs=1e-5)
    assert found.confidence.value == pytest.approx(known.confidence.value, abs=1e-5)


def test_a_search_is_the_librarys(asking: composir.Client, library: Gallery, gallery: Path) -> None:
    query = Query(image=gallery.parent / "pictures" / "red.png", text="blue", negatives=("green",))
    options = {"k": 4, "where": "width > 10", "composer": "slerp", "min_confidence": 0.9}
    same(asking.search(query, **options), library.search(query, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["path", "bytes", "picture", "array", "id"])
def test_every_way_to_give_a_reference(
    asking: composir.Client, gallery: Path, red: str, form: str
) -> None:
    path = gallery.parent / "pictures" / "red.png"
    pixels = Image.new("RGB", (40, 30), COLOURS["red"])
    given: dict[str, Any] = {
        "path": str(path),
        "bytes": path.read_bytes(),
        "picture": pixels,
        "array": np.asarray(pixels),
        "id": in_gallery(red),
    }
    hits = asking.search(image=given[form], text="blue", k=1).hits
    assert hits[0].path.stem == "magenta"


def test_errors_are_of_the_librarys_kinds(asking: composir.Client) -> None:
    with pytest.raises(FilterError, match="no column 'colour'"):
        asking.search(text="red", where="colour = 1")
    with pytest.raises(ImageNotFoundError):
        asking.thumbnail("0123")
    with pytest.raises(UnreadableReferenceError, match="is no picture"):
        asking.search(image=b"this is no picture")
    with pytest.raises(UnreadableReferenceError, match="No such file"):
        asking.search(image="gone.jpg")


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    with (
        composir.Client("http://127.0.0.1:9") as nobody,
        pytest.raises(RemoteError, match=r"http://127\.0\.0\.1:9 cannot be asked"),
    ):
        nobody.search(text="red")


def test_everything_else_of_the_gallery(
    asking: composir.Client, library: Gallery, red: str
) -> None:
    assert len(asking) == len(library) == 8
    assert asking.thumbnail(red) == library.thumbnail(red)
    assert asking.image(red)["path"] == str(library.images([red])[red].path)
    assert asking.model()["default_composer"] == "sum"
    query = Query(text="red")
    made, known = asking.embed_query(query), library.embed_query(query)
    np.testing.assert_allclose(made.vectors, known.vectors, atol=1e-6)
    assert made.rule == known.rule
    assert asking.explain(query)["phrases"][0]["phrase"] == "red"


def test_the_same_without_blocking(client: httpx.Client, library: Gallery, red: str) -> None:
    async def ask() -> None:
        async with composir.AsyncClient(str(client.base_url)) as asking:
            words = [Query(text=colour) for colour in COLOURS]
            found = await asyncio.gather(*(asking.search(query, k=3) for query in words))
            for query, result in zip(words, found, strict=True):
                same(result, library.search(query, k=3))
            assert await asking.thumbnail(red) == library.thumbnail(red)
            assert (await asking.image(red))["id"] == red
            assert (await asking.model())["name"] == "colours"
            assert (await asking.embed_query(words[0])).rule == "dot"
            assert (await asking.explain(words[0]))["phrases"]
            assert (await asking.index())["total"] == (await asking.info())["images"]
            with pytest.raises(FilterError):
                await asking.search(text="red", where="colour = 1")

    asyncio.run(ask())


def test_adding_indexing_and_taking_out(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    settings = ServeSettings(uploads=tmp_path / "added")
    (tmp_path / "pictures" / "late.png").write_bytes(_png((200, 10, 10)))
    stages: list[str] = []
    with live(gallery, settings) as http, composir.Client(str(http.base_url)) as asking:
        report = asking.index(progress=lambda job: stages.append(job["state"]))
        assert (report["added"], report["total"]) == (1, 9)
        assert stages[-1] == "done"
        answer = asking.add([_png((10, 200, 10)), b"this is no picture"])
        assert len(answer["added"]) == 1
        assert answer["failures"][0]["code"] == "unreadable-image"
        [added] = answer["added"]
        kept = Path(asking.image(added)["path"])
        assert kept.parent == tmp_path / "added"
        assert asking.info()["roots"] == [str(tmp_path / "pictures"), str(tmp_path / "added")]
        assert asking.delete(added)["total"] == len(asking) == 9
        assert kept.is_file()  # the row goes, the file stays


def _png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()
