"""Hits that a server lets a joint encoder look at again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from PIL import Image

import composir
from composir.errors import ModelError
from composir.gallery import open_gallery
from composir.serve.asking import question, search
from composir.serve.counters import Metrics
from composir.serve.engine import Engine
from composir.serve.http_problems import ClosingError, NotAllowedError
from composir.serve.schemas import SearchRequest
from composir.serve.settings import Limits, ServeSettings
from composir.types import FloatArray, Query
from tests.fakes import ColourModel, JointColours
from tests.serve.live import colours, live

NAME = "joint-colours"
ASKED = {"text": "blue", "rerank": NAME}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A gallery whose kept vectors are nobody else's."""
    return colours(tmp_path)


@pytest.fixture
def joint(own: Path) -> Iterator[httpx.Client]:
    with live(own, reranker=JointColours()) as client:
        yield client


def test_it_gives_what_the_library_gives(joint: httpx.Client, own: Path) -> None:
    query = Query(image=own.parent / "pictures" / "red.png", text="green")
    library = open_gallery(own, ColourModel())
    known = library.search(query, k=8, rerank=JointColours(), rerank_top=5)
    assert known.hits != library.search(query, k=8).hits
    with composir.Client(str(joint.base_url)) as client:
        assert client.model()["reranker"] == NAME
        found = client.search(query, k=8, rerank=NAME, rerank_top=5)
    assert [hit.path for hit in found.hits] == [hit.path for hit in known.hits]
    assert found.reranked == known.reranked
    with query.image.open("rb") as picture:  # type: ignore[union-attr]
        form = {"text": "green", "k": "8", "rerank": NAME, "rerank_top": "5"}
        answer = joint.post("/v1/search", data=form, files={"image": picture}).json()
    assert [hit["path"] for hit in answer["hits"]] == [str(hit.path) for hit in known.hits]


def test_pages_of_hits_are_of_one_order(joint: httpx.Client) -> None:
    asked = {"text": "blue", "negatives": ["cyan"], "rerank": NAME, "rerank_top": 6}
    whole = joint.post("/v1/search", json={**asked, "k": 8}).json()["hits"]
    page = joint.post("/v1/search", json={**asked, "k": 3}).json()
    hits = page["hits"]
    while page["cursor"]:
        page = joint.post("/v1/search", json={"cursor": page["cursor"], "k": 3}).json()
        hits += page["hits"]
    assert hits == whole
    assert page["reranked"] == {"model": NAME, "images": 6, "thumbnails": 0}


def test_several_at_once(joint: httpx.Client) -> None:
    asked = {"queries": [ASKED, {"text": "red"}, {**ASKED, "rerank": "another"}]}
    first, second, third = joint.post("/v1/search/batch", json=asked).json()["results"]
    assert first["answer"]["reranked"]["images"] == 8
    assert second["answer"]["reranked"] is None
    assert third["problem"]["code"] == "not-allowed"


@pytest.mark.parametrize(
    ("more", "place", "code", "says"),
    [
        ({"rerank": "another"}, "search", "not-allowed", "by joint-colours, and not by"),
        ({"rerank_top": 0}, "search", "invalid-request", "rerank_top"),
        ({"sort": "date"}, "search", "query", "date orders them otherwise"),
        ({}, "explain", "query", "leave rerank out"),
    ],
)
def test_what_cannot_be_asked(
    joint: httpx.Client, more: dict[str, Any], place: str, code: str, says: str
) -> None:
    problem = joint.post(f"/v1/{place}", json={**ASKED, **more}).json()
    assert problem["code"] == code
    assert says in problem["detail"]


def test_a_server_that_was_started_without_says_so(client: httpx.Client) -> None:
    assert client.get("/v1/model").json()["reranker"] is None
    with (
        composir.Client(str(client.base_url)) as asking,
        pytest.raises(NotAllowedError, match="started without --rerank"),
    ):
        asking.search(text="red", rerank=NAME)


class Failing(JointColours):
    """One whose endpoint is gone."""

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        raise ModelError("the endpoint does not answer")


def test_an_encoder_that_fails_is_a_problem_of_its_own(own: Path) -> None:
    with live(own, reranker=Failing()) as client:
        answer = client.post("/v1/search", json=ASKED)
        assert (answer.status_code, answer.json()["code"]) == (503, "model")
        assert client.post("/v1/search", json={"text": "blue"}).status_code == 200


class Slow(JointColours):
    """One whose pictures wait for a gate to open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.begun = Event(), Event()

    def encode_images(self, images: Sequence[Image.Image]) -> FloatArray:
        self.begun.set()
        assert self.gate.wait(20)
        return super().encode_images(images)


def test_nobody_else_waits_for_it_and_it_has_more_time(own: Path) -> None:
    slow, limits = Slow(), Limits(workers=1, seconds=0.5)
    with (
        live(own, ServeSettings(limits=limits), reranker=slow) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        held = [pool.submit(client.post, "/v1/search", json=ASKED) for _ in range(2)]
        assert slow.begun.wait(20)
        assert client.post("/v1/search", json={"text": "blue"}).status_code == 200
        with pytest.raises(TimeoutError):
            held[0].result(timeout=2 * limits.seconds)  # longer than others may take
        slow.gate.set()
        assert [one.result().status_code for one in held] == [200, 200]
    assert slow.encoded == 8  # the second found what the first had encoded


def test_a_server_that_ends_stops_it_and_what_it_has_is_kept(own: Path) -> None:
    joint = JointColours()
    engine = Engine(own, ColourModel(), ServeSettings(), Metrics(), joint)
    request = SearchRequest(text="blue", rerank=NAME)
    try:
        engine.closing.set()
        with pytest.raises(ClosingError):
            search(engine, question(request, engine), request, 8)
        assert 0 < (done := joint.encoded) < 8
        engine.closing.clear()
        result = search(engine, question(request, engine), request, 8)
    finally:
        engine.close()
    assert joint.encoded == 8 > done
    assert result.reranked is not None
    assert result.reranked.images == 8


def test_only_a_joint_encoder_is_taken(own: Path) -> None:
    with pytest.raises(ModelError, match="encodes pictures and words apart"):
        Engine(own, ColourModel(), ServeSettings(), Metrics(), ColourModel())
