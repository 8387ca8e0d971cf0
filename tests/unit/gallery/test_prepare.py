"""What a query needs is opened beforehand, once each; errors stay where they were."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import composir.compose.token_graph
import composir.model.image_encoder
import composir.model.text_graph
from composir.cli.main import app
from composir.compose.trained import save_composer
from composir.errors import ModelError
from composir.gallery import Gallery
from composir.gallery.composers import in_background, steps
from composir.model import Model
from composir.model.sessions import open_session
from composir.types import Query
from tests.fakes import COLOURS, ColourModel
from tests.tiny_bundle import make_bundle, make_composer, text_graph

USERS = (composir.compose.token_graph, composir.model.image_encoder, composir.model.text_graph)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """A bundle whose composers have query and text graphs of their own.

    One of them reads all sentences of a query by its own text graph.
    """
    bundle = tmp_path / "tiny"
    model = make_bundle(bundle, copy_similarity=0.5)
    direction: dict[str, Any] = {"settings": {"direction": 1.0}}
    made = {"adapted": {}, "two-graphs": direction, "switchable": direction | {"switchable": True}}
    for name, own in made.items():
        make_adapted(bundle / "composers" / name, model, **own)
    return make_bundle(bundle, copy_similarity=0.5)


def make_adapted(folder: Path, model: Model, **own: Any) -> None:
    make_composer(folder, model, "pixels", name=folder.name)
    text_graph(folder / "text.onnx", switchable="switchable" in own)
    fields = {
        "name": folder.name,
        "kind": "adapted",
        "text_graph": "text.onnx",
        "model": {"name": model.name, "fingerprint": model.fingerprint},
        "text": model.text_checksum,
        "input": "pixels",
        "preprocess": {"size": 8, "fit": "squash"},
        "tokens": 1,
        "word_dimension": 4,
        "licence": "none",
    }
    save_composer(folder, fields | own)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each graph is opened, by folder and name."""
    counted: Counter[str] = Counter()

    def counting(path: Path, *settings: Any, **more: Any) -> Any:
        counted[f"{path.parent.name}/{path.name}"] += 1
        return open_session(path, *settings, **more)

    for user in USERS:
        monkeypatch.setattr(user, "open_session", counting)
    return counted


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("red", "green", "blue"):
        Image.new("RGB", (32, 32), COLOURS[name]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def gallery(tmp_path: Path, model: Model, pictures: Path) -> Gallery:
    made = Gallery.create_or_open(tmp_path / "gallery", model)
    made.index([pictures])
    return Gallery(made.path, Model(model.bundle, threads=1))


def prepared(gallery: Gallery, query: Query, composer: str) -> None:
    """As `Gallery.prepare`, but twice over at the same time, and waited for."""
    parts = steps(query, gallery.model, gallery.composer(composer))
    threads: list[Thread] = in_background([*parts, *parts])
    for thread in threads:
        thread.join()


def test_an_encoder_that_nobody_asks_is_not_opened(
    tmp_path: Path, pictures: Path, opened: Counter[str]
) -> None:
    model = make_bundle(tmp_path / "plain")
    make_adapted(tmp_path / "plain" / "composers" / "adapted", model)
    model = make_bundle(tmp_path / "plain")
    gallery = Gallery.create_or_open(tmp_path / "plain.gallery", model)
    gallery.index([pictures])
    opened.clear()
    model = Model(model.bundle, threads=1)
    gallery = Gallery(gallery.path, model)

    prepared(gallery, Query(image=str(pictures / "red.png"), text="blue"), "adapted")

    assert opened == {"adapted/query.onnx": 1, "adapted/text.onnx": 1}


@pytest.mark.parametrize(
    ("image", "text", "composer", "graphs"),
    [
        (
            True,
            "blue",
            "adapted",
            {"adapted/query.onnx", "adapted/text.onnx", "tiny/gallery_image.onnx"},
        ),
        (
            True,
            "blue",
            "switchable",
            {"switchable/query.onnx", "switchable/text.onnx", "tiny/gallery_image.onnx"},
        ),
        (False, "blue", "switchable", {"tiny/text.onnx"}),
        (
            True,
            "blue",
            "two-graphs",
            {
                "two-graphs/query.onnx",
                "two-graphs/text.onnx",
                "tiny/text.onnx",
                "tiny/gallery_image.onnx",
            },
        ),
        (True, "", "adapted", {"adapted/query.onnx", "tiny/gallery_image.onnx"}),
        (False, "blue", "adapted", {"tiny/text.onnx"}),
        (True, "blue", "sum", {"tiny/gallery_image.onnx", "tiny/text.onnx"}),
        (True, "", "sum", {"tiny/gallery_image.onnx"}),
    ],
)
def test_each_graph_is_opened_once_and_the_search_opens_none_twice(
    gallery: Gallery,
    pictures: Path,
    opened: Counter[str],
    image: bool,
    text: str,
    composer: str,
    graphs: set[str],
) -> None:
    query = Query(image=str(pictures / "red.png") if image else None, text=text)
    expected = Gallery(gallery.path, Model(gallery.model.bundle, threads=1)).search(  # type: ignore[attr-defined]
        query, composer=composer
    )
    needed = set(opened)
    opened.clear()
    prepared(gallery, query, composer)
    assert opened == dict.fromkeys(graphs, 1)
    assert graphs <= needed  # nothing is opened that the search would not open

    found = gallery.search(query, composer=composer)
    assert opened == dict.fromkeys(needed, 1)
    assert [hit.path for hit in found.hits] == [hit.path for hit in expected.hits]


def test_a_damaged_graph_is_told_by_the_search(gallery: Gallery, pictures: Path) -> None:
    graph = gallery.path.parent / "tiny" / "composers" / "adapted" / "text.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    query = Query(image=str(pictures / "red.png"), text="blue")
    gallery.prepare(query, "adapted")
    with pytest.raises(ModelError, match=r"text\.onnx is damaged .*checksum"):
        gallery.search(query, composer="adapted")

    bundle = gallery.path.parent / "tiny"
    called = ["search", "--gallery", str(gallery.path), "--model", str(bundle)]
    called += ["--composer", "adapted", "--image", str(pictures / "red.png"), "blue"]
    told = CliRunner().invoke(app, called)
    assert told.exit_code == 2
    assert "text.onnx is damaged" in told.stderr
    assert "Traceback" not in told.stderr


def test_models_without_graphs_have_nothing_to_prepare(tmp_path: Path) -> None:
    model = ColourModel()
    gallery = Gallery.create_or_open(tmp_path / "gallery", model)
    assert steps(Query(text="red"), model, gallery.composer("sum")) == []
    gallery.prepare(Query(text="red"), "sum")
