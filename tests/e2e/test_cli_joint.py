"""A joint encoder behind an endpoint, as a user meets it: added, indexed with, searched with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from composir.images.preprocess import PreprocessSpec
from composir.model.installed import models_folder
from composir.model.joint.endpoint import ATTEMPTS
from composir.model.joint.joint_model import PADDING
from composir.model.joint.probe import WORDS
from tests.e2e.commands import composir, paint, paint_all
from tests.joint_stub import Reply, Stub, fails, joint_endpoint
from tests.tiny_bundle import make_bundle, make_composer
from tests.unit.bench.makers import write_folder

SPEC = PreprocessSpec(size=64, fit="pad", pad_colour=PADDING)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Small pictures, and no waiting between attempts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("composir.model.joint.making.SPEC", SPEC)
        patch.setattr("composir.model.joint.endpoint.FIRST_WAIT", 0.0)
        patch.delenv("COMPOSIR_GALLERY", raising=False)
        yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place of its own."""
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stub(home: Path) -> Iterator[Stub]:
    with joint_endpoint() as served:
        yield served


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Stub]]:
    """A gallery made with a joint encoder, for tests that change nothing."""
    place = tmp_path_factory.mktemp("joint")
    with pytest.MonkeyPatch.context() as patch, joint_endpoint() as served:
        patch.setenv("COMPOSIR_HOME", str(place / "home"))
        patch.chdir(place)
        fill(served)
        yield place, served


@pytest.fixture
def gallery(world: tuple[Path, Stub], monkeypatch: pytest.MonkeyPatch) -> Stub:
    monkeypatch.setenv("COMPOSIR_HOME", str(world[0] / "home"))
    monkeypatch.chdir(world[0])
    return world[1]


def fill(stub: Stub) -> None:
    """Add the model, and index eight colours with it."""
    paint_all(Path("photos"))
    done("models", "add", stub.source)
    done("index", "photos", "--model", "colours", "--gallery", "g")


def done(*words: str | Path) -> str:
    shown = composir(*words)
    assert shown.exit_code == 0, shown.output
    return shown.stdout


def refused(*words: str | Path) -> str:
    shown = composir(*words)
    assert shown.exit_code == 2, shown.output
    assert isinstance(shown.exception, SystemExit)
    return " ".join(shown.stderr.split())


def hits(*words: str | Path) -> list[str]:
    found = json.loads(done("search", *words, "--gallery", "g", "--json"))
    return [Path(hit["path"]).stem for hit in found["hits"]]


def test_it_is_added_listed_checked_and_removed(stub: Stub) -> None:
    added = composir("models", "add", stub.source, "--name", "mine")
    assert added.exit_code == 0, added.output
    assert "go to 127.0.0.1" in added.stderr
    assert "(this machine)" in added.stderr
    assert "a picture takes seconds on a CPU" in added.stdout
    entry = {e["name"]: e for e in json.loads(done("models", "--json"))["models"]}["mine"]
    assert (entry["width"], entry["state"], entry["commercial"]) == (4, "installed", "unknown")
    assert f"http://{entry['sends_to']}" == stub.url
    checked = json.loads(done("models", "check", "mine", "--json"))
    assert checked["answers"]["cosine of the same input twice"] == pytest.approx(1)
    assert checked["answers"]["cosine with what it gave when it was added"] == pytest.approx(1)
    assert "leave out --against" in refused("models", "check", "mine", "--against", stub.source)
    done("models", "remove", "mine", "--yes")
    assert list(models_folder().iterdir()) == []


@pytest.mark.parametrize("shape", ["messages", "chat", "content", "fields"])
def test_the_way_that_an_endpoint_takes_is_found_out(home: Path, shape: str) -> None:
    with joint_endpoint(takes=shape) as served:
        done("models", "add", served.source)
    made = json.loads((models_folder() / "colours" / "joint.json").read_text())
    assert made["endpoint"]["shape"] == shape


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"blind": True}, "does not look at pictures"),
        ({"takes": "nothing"}, "unknown request"),
        ({"key": "sk"}, "no key was sent"),
        ({"reply": lambda _: fails(500, "full")}, f"answers 500 (full), {ATTEMPTS} times"),
        ({"reply": lambda _: (200, {}, b"hello")}, "something else than 1 vectors: hello"),
        ({"width": 70_000}, "vectors of 70,000 numbers: 2 to 65,536 will do"),
    ],
)
def test_what_cannot_be_used_is_not_added(home: Path, how: dict[str, Any], told: str) -> None:
    with joint_endpoint(**how) as served:
        assert told in refused("models", "add", served.source)
    assert list(models_folder().iterdir()) == []


def test_another_machine_is_asked_nothing_without_leave(home: Path) -> None:
    told = refused("models", "add", "https://api.example.org/v1#big")
    assert "api.example.org is another machine: every picture" in told
    assert "Nothing was sent" in told
    assert not models_folder().exists()


def test_a_bundle_of_another_machine_is_copied_with_leave_alone(stub: Stub) -> None:
    done("models", "add", stub.source)
    folder = models_folder() / "colours"
    manifest = (folder / "joint.json").read_text()
    manifest = manifest.replace(stub.url, "https://api.example.org")
    manifest = manifest.replace('"key_variable": null', '"key_variable": "MY_KEY"')
    (folder / "joint.json").write_text(manifest)
    folder.rename("received")
    assert "--allow-remote" in refused("index", ".", "--model", "received", "--gallery", "g")
    assert "--allow-remote" in refused("models", "add", "received")
    copied = composir("models", "add", "received", "--allow-remote", "--name", "theirs")
    assert copied.exit_code == 0, copied.output
    assert "go to api.example.org, with the key in the variable MY_KEY" in copied.stderr


def test_no_key_is_kept(home: Path) -> None:
    (home / "key").write_text("sk-secret")
    with joint_endpoint(key="sk-secret") as served:
        shown = composir("models", "add", served.source, "--key-file", "key")
        assert shown.exit_code == 0, shown.output
        checked = done("models", "check", "colours")
    everything = [path.read_bytes() for path in models_folder().rglob("*") if path.is_file()]
    assert not any(b"sk-secret" in content for content in everything)
    assert "sk-secret" not in shown.output + checked


def test_search_by_words_image_and_both_in_one(gallery: Stub) -> None:
    assert hits("red")[0] == "red"
    assert "red" not in hits("--image", "photos/red.png")
    gallery.inputs.clear()
    both = hits("--image", "photos/red.png", "green", "--include-reference", "-k", "4")
    assert {"red", "green", "yellow"} < set(both)
    # The words that it is known by, and the picture with its words: it is encoded once.
    assert gallery.inputs == [(WORDS, ()), ("green", ((64, 48),))]
    summary = composir("search", "red", "--gallery", "g").stderr
    assert "joint" in summary


def test_the_arithmetic_baselines_work(gallery: Stub) -> None:
    image = ("--image", "photos/red.png", "--include-reference")
    assert hits(*image, "green", "--composer", "image")[0] == "red"
    assert hits(*image, "green", "--composer", "text")[0] == "green"
    assert set(hits(*image, "green", "--composer", "sum")[:4]) > {"red", "green", "yellow"}


def test_negatives_and_confidence(gallery: Stub) -> None:
    assert hits("red")[:4] == ["red", "magenta", "yellow", "black"]
    assert "magenta" not in hits("red", "--not", "magenta")[:3]
    confidence = json.loads(done("search", "red", "--gallery", "g", "--json"))["confidence"]
    assert 0 <= confidence["value"] < 1
    assert composir("search", "red", "--gallery", "g", "--min-confidence", "1").exit_code == 4


def test_copies_of_a_picture_are_one_hit(stub: Stub) -> None:
    fill(stub)
    paint(Path("photos/again.png"), "red", size=(80, 60))
    done("index", "photos", "--gallery", "g")
    first = json.loads(done("search", "red", "--gallery", "g", "--json"))["hits"][0]
    assert len(first["duplicates"]) == 1


def test_explain_tells_what_vectors_tell_and_that_there_are_no_tokens(gallery: Stub) -> None:
    done("search", "-i", "photos/red.png", "green", "-g", "g", "--explain", "why.json")
    told = json.loads(Path("why.json").read_text())
    assert "joint" in json.dumps(told)
    assert "makes no tokens" in json.dumps(told)
    assert "trained composer does" not in json.dumps(told)


def test_bench_runs_on_it(gallery: Stub) -> None:
    write_folder(Path("data"))
    done("bench", "data", "--composer", "joint", "--model", "colours")
    assert any(Path("runs").glob("*joint.json"))


def test_trained_composers_and_training_are_refused_with_the_reason(gallery: Stub) -> None:
    told = refused("search", "red", "--gallery", "g", "--composer", "isa")
    assert "closed to the pseudo-words of trained composers" in told
    folder = make_composer(Path("isa"), make_bundle(Path("tiny")), "pixels")
    told = refused("search", "red", "--gallery", "g", "--composer", folder)
    assert "closed to the pseudo-words of trained composers" in told


def test_commercial_needs_a_known_licence(gallery: Stub) -> None:
    told = refused("search", "red", "--gallery", "g", "--commercial")
    assert "the model colours is not known to allow commercial use" in told


def test_doctor_and_info_know_it(gallery: Stub) -> None:
    assert "4 numbers a vector; first image and text" in done("doctor", "--gallery", "g")
    assert "default composer  joint" in done("info", "--gallery", "g")


def test_doctor_says_that_an_endpoint_is_down_and_blames_nothing_else(gallery: Stub) -> None:
    gallery.reply = lambda _: fails(503, "tired")
    checks = json.loads(composir("doctor", "--gallery", "g", "--json").stdout)["checks"]
    gallery.reply = lambda _: None
    (model,) = [check for check in checks if check["name"] == "model"]
    assert "answers 503 (tired)" in model["detail"]
    assert model["remedy"] == ""


def breaks(after: int, with_: Reply) -> Any:
    return lambda number: with_ if number > after else None


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (fails(503, "tired"), "answers 503 (tired)"),
        ((200, {}, b"hello"), "something else than 1 vectors"),
        ((200, {}, b'{"data": [{"embedding": [1, 2, 3]}]}'), "vectors of 3 numbers, and gave 4"),
    ],
)
def test_an_index_run_that_breaks_off_goes_on(stub: Stub, reply: Reply, told: str) -> None:
    paint_all(Path("photos"))
    done("models", "add", stub.source)
    stub.reply = breaks(len(stub.asked) + 5, reply)
    index = ("index", "photos", "--model", "colours", "--gallery", "g", "--batch-size", "2")
    assert told in refused(*index)
    stub.reply = lambda _: None
    before = len(stub.asked)
    assert "8 pictures in g" in done(*index)
    pictures = [sizes for words, sizes in stub.inputs[-(len(stub.asked) - before) :] if sizes]
    assert len(pictures) <= 6  # the first two were kept
    assert hits("red")[0] == "red"


def test_another_model_behind_the_endpoint_mixes_into_no_gallery(stub: Stub) -> None:
    fill(stub)
    stub.shift = 5.0
    paint(Path("photos/new.png"), "red", size=(9, 9))
    told = refused("index", "photos", "--gallery", "g")
    assert "gives other vectors than when it was added" in told
    assert "gives other vectors" in refused("models", "check", "colours")
    stub.shift, stub.width = 0.0, 6
    assert "vectors of 6 numbers, and gave 4 before" in refused("models", "check", "colours")
    assert "vectors of 6 numbers" in refused("search", "red", "--gallery", "g")
    stub.width = 4
    done("index", "photos", "--gallery", "g")
    assert set(hits("red")[:2]) == {"red", "new"}


def test_vectors_are_those_of_the_pictures_not_of_their_frames(gallery: Stub) -> None:
    from composir.gallery import open_gallery

    _, vectors = open_gallery("g").vectors()
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert all(sizes == ((64, 48),) for words, sizes in gallery.inputs[4:] if not words and sizes)


def test_hits_of_another_model_are_looked_at_again(gallery: Stub) -> None:
    done("index", "photos", "--model", str(tiny()), "--gallery", "plain")
    search = ("search", "-i", "photos/red.png", "green", "--gallery", "plain")
    again = (*search, "--composer", "image", "--rerank", "colours", "--rerank-top", "3")
    found = json.loads(done(*again, "--json"))
    assert found["reranked"] == {"model": "colours", "images": 3, "thumbnails": 0}
    assert len(found["hits"]) == 7
    asked = len(gallery.asked)
    told = composir(*again).stderr
    assert "image · first 3 re-ranked by colours" in told
    # The words that it is known by, and the query: pictures are not sent twice.
    assert len(gallery.asked) == asked + 2
    assert "leave one of the two out" in refused(*again, "--explain", "why.json")
    assert "not known to allow commercial use" in refused(*again, "--commercial")
    for verb in (search, ("serve", "plain", "--port", "0"), ("serve", "plain", "--mcp")):
        assert "encodes pictures and words apart" in refused(*verb, "--rerank", str(tiny()))


def tiny() -> Path:
    """A model of two encoders, whose licence is known."""
    if not Path("tiny").exists():
        make_bundle(Path("tiny"), licence="MIT", default_composer="sum")
    return Path("tiny")
