"""A server whose gallery gets another model meanwhile says so, and a new one answers."""

from __future__ import annotations

from pathlib import Path

import httpx

from composir.gallery.beside import switch_model
from tests.fakes import ColourModel
from tests.serve.live import colours, live

ASKED = {"text": "red", "k": 1}


class OtherColours(ColourModel):
    """The same colours in a space of another fingerprint."""

    name = "other colours"

    def __init__(self) -> None:
        super().__init__("colours-2")


def best(client: httpx.Client) -> str:
    answer = client.post("/v1/search", json=ASKED)
    assert answer.status_code == 200
    return Path(answer.json()["hits"][0]["path"]).stem


def test_a_server_stops_answering_when_its_gallery_gets_another_model(tmp_path: Path) -> None:
    gallery = colours(tmp_path)
    with live(gallery) as client:
        assert best(client) == "red"

        switch_model(gallery, OtherColours())

        for refused in (client.post("/v1/search", json=ASKED), client.get("/readyz")):
            assert refused.status_code == 503
            assert refused.json()["code"] == "bundle-mismatch"
            assert "another model by now (other colours): start the server again" in refused.text
        assert client.get("/healthz").status_code == 200
    with live(gallery, model=OtherColours()) as client:
        assert best(client) == "red"
        assert client.get("/readyz").status_code == 200
