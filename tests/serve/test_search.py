"""Asking a server: every way to give a query, pages of hits, several queries, explanations."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from composir.documents import read_result
from composir.gallery import Gallery, open_gallery
from composir.types import Query
from tests.fakes import ColourModel


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [Path(hit["path"]).stem for hit in answer.json()["hits"]]


def picture(gallery: Path, colour: str) -> bytes:
    return (gallery.parent / "pictures" / f"{colour}.png").read_bytes()


def test_words_find_pictures_as_the_library_does(client: httpx.Client, gallery: Path) -> None:
    query = Query(text="red", negatives=("blue",))
    asked = {"text": "red", "negatives": ["blue"], "k": 3}
    answer = client.post("/v1/search", json=asked)
    found = read_result(answer.json(), query)
    known = open_gallery(gallery, ColourModel()).search(query, k=3)
    assert [(hit.id, hit.path, hit.duplicates) for hit in found.hits] == [
        (hit.id, hit.path, hit.duplicates) for hit in known.hits
    ]
    assert found.confidence == known.confidence
    assert (found.gallery_size, found.searched) == (8, 8)


def test_a_form_takes_an_upload_as_curl_sends_it(client: httpx.Client, gallery: Path) -> None:
    files = {"image": ("ref.jpg", picture(gallery, "red"))}
    answer = client.post("/v1/search", files=files, data={"text": "blue", "k": "1"})
    assert names(answer) == ["magenta"]


def test_json_takes_bytes_and_ids(client: httpx.Client, gallery: Path, red: str) -> None:
    encoded = base64.b64encode(picture(gallery, "red")).decode()
    for image in ({"data": encoded}, {"id": red}):
        answer = client.post("/v1/search", json={"images": [image], "text": "blue", "k": 1})
        assert names(answer) == ["magenta"]


def test_several_references_and_a_crop(client: httpx.Client, gallery: Path, red: str) -> None:
    files = [("image", picture(gallery, colour)) for colour in ("red", "blue")]
    assert names(client.post("/v1/search", files=files, data={"k": "1"})) == ["magenta"]
    for crop in ("10%,10%,50%,50%", '{"x": 1, "y": 1, "width": 4, "height": 4}'):
        form = {"crop": crop, "image_id": red, "text": "blue", "k": "1"}
        answer = client.post("/v1/search", data=form, files={"nothing": ("", b"")})
        assert answer.status_code == 422  # a file where none belongs
        answer = client.post("/v1/search", files=[(n, (None, v)) for n, v in form.items()])
        assert names(answer) == ["magenta"]


def test_filters_sorting_and_confidence(client: httpx.Client) -> None:
    asked = {"text": "red", "where": "path LIKE '%blue%'", "min_confidence": 1.0}
    answer = client.post("/v1/search", json=asked)
    assert names(answer) == ["blue"]
    assert answer.json()["matches"] is False
    dated = client.post("/v1/search", json={"text": "red", "sort": "date"}).json()
    assert dated["sort"] == "date"
    assert dated["relevant"] is not None


def test_pages_join_to_one_search(client: httpx.Client) -> None:
    whole = names(client.post("/v1/search", json={"text": "red", "k": 8}))
    answer = client.post("/v1/search", json={"text": "red", "k": 3})
    pages, ranks = names(answer), [hit["rank"] for hit in answer.json()["hits"]]
    while cursor := answer.json()["cursor"]:
        answer = client.post("/v1/search", json={"cursor": cursor, "k": 3})
        pages += names(answer)
        ranks += [hit["rank"] for hit in answer.json()["hits"]]
    assert pages == whole
    assert ranks == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize(("steer", "text", "way"), [("more", "white", -1), ("less", "magenta", 1)])
def test_more_like_this_and_less_like_that(
    client: httpx.Client, red: str, steer: str, text: str, way: int
) -> None:
    plain = names(client.post("/v1/search", json={"text": text}))
    steered = names(client.post("/v1/search", json={"text": text, steer: [red]}))
    assert (steered.index("red") - plain.index("red")) * way > 0


@pytest.mark.parametrize(("balance", "first"), [(0.0, "red"), (0.5, "magenta"), (1.0, "blue")])
def test_a_slider_between_picture_and_words(
    client: httpx.Client, red: str, balance: float, first: str
) -> None:
    asked = {"images": [{"id": red}], "text": "blue", "include_reference": True, "k": 1}
    assert names(client.post("/v1/search", json={**asked, "balance": balance})) == [first]


def test_a_batch_fails_query_by_query(client: httpx.Client) -> None:
    queries = [{"text": "red", "k": 1}, {"text": "red", "where": "nonsense"}]
    first, second = client.post("/v1/search/batch", json={"queries": queries}).json()["results"]
    assert [Path(hit["path"]).stem for hit in first["answer"]["hits"]] == ["red"]
    assert second["problem"]["code"] == "filter"


def test_a_querys_vector_ranks_as_the_search_does(client: httpx.Client, gallery: Path) -> None:
    made = client.post("/v1/embed-query", json={"text": "red"}).json()
    ids, vectors = open_gallery(gallery, ColourModel()).vectors()
    best = ids[int(np.argmax(vectors @ np.float32(made["vectors"][0])))]
    hits = client.post("/v1/search", json={"text": "red", "k": 1}).json()["hits"]
    assert hits[0]["id"] == best
    assert (made["rule"], made["dimension"], made["model"]) == ("dot", 4, "colours")


def test_an_explanation_tells_what_a_phrase_changed(client: httpx.Client) -> None:
    asked = {"text": "red", "negatives": ["blue"], "k": 3}
    told = client.post("/v1/explain", json=asked).json()
    assert [effect["phrase"] for effect in told["phrases"]] == ["red", "blue"]


def test_what_another_process_indexes_is_found_without_a_restart(
    client: httpx.Client, gallery: Path, tmp_path: Path
) -> None:
    before = client.post("/v1/search", json={"text": "red"}).json()
    added = tmp_path / "crimson.png"
    added.write_bytes(picture(gallery, "red") + b"\0")
    other = Gallery(gallery, ColourModel())
    other.index([added])
    try:
        after = client.post("/v1/search", json={"text": "red"}).json()
    finally:
        other.forget([added])
    assert (before["gallery_size"], after["gallery_size"]) == (8, 9)
    assert after["version"] > before["version"]


def test_columns_to_filter_by_come_with_their_values(client: httpx.Client) -> None:
    told = client.get("/v1/gallery").json()
    columns = {column["name"]: column for column in told["columns"]}
    assert columns["width"] == {"name": "width", "kind": "numbers", "values": None}
    assert columns["folder"]["values"] == [{"value": "", "count": told["images"]}]
    assert columns["path"]["values"] is None  # as many as there are images
    assert told["allows"] == {"originals": False, "add": False, "url": False}


def test_the_document_is_small_when_the_client_takes_gzip(client: httpx.Client) -> None:
    answer = client.post("/v1/search", json={"text": "red"})
    assert answer.headers["content-encoding"] == "gzip"
    plain = client.post("/v1/search", json={"text": "red"}, headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers


def test_the_openapi_document_has_examples_that_work(client: httpx.Client, red: str) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json()
    body = document["paths"]["/v1/search"]["post"]["requestBody"]["content"]["application/json"]
    assert len(body["examples"]) == 2
    for example in body["examples"].values():
        text = json.dumps(example["value"]).replace("3f2a9c0d11e4b756", red)
        answer = client.post("/v1/search", json=json.loads(text))
        assert answer.status_code == 200
