"""A served gallery that a joint encoder made."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fakes import JointColours
from tests.serve.live import colours, live


def test_it_is_asked_by_words_image_and_both_from_many_at_once(tmp_path: Path) -> None:
    gallery = colours(tmp_path, JointColours())
    red = base64.b64encode((tmp_path / "pictures" / "red.png").read_bytes()).decode()
    with live(gallery, model=JointColours()) as client:

        def ask(text: str) -> list[str]:
            asked = {"text": text, "k": 3, "images": [] if text == "blue" else [{"data": red}]}
            answer = client.post("/v1/search", json=asked)
            assert answer.status_code == 200, answer.text
            assert answer.json()["composer"] == "joint"
            return [Path(hit["path"]).stem for hit in answer.json()["hits"]]

        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(ask, ["green", "blue"] * 4))
    assert all("yellow" in hits for hits in found[::2])
    assert all(hits[0] == "blue" for hits in found[1::2])
