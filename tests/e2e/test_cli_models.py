"""`composir models` as a user meets it, with an importer that writes a tiny bundle."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from composir.errors import ModelError
from composir.model import PACKAGED, Bundle
from composir.model.bundle import Manifest
from composir.model.installed import models_folder
from composir.model.sources import Repository
from tests.e2e.commands import composir, paint_all
from tests.tiny_bundle import make_bundle, make_composer

MEASURED = {"parity": {"pixels": 1.0, "image": 2.5e-06}, "int8": {"text": {"top10": 0.97}}}


class Importer:
    """What the real one promises; it remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.fields: dict[str, Any] = {"licence": "MIT", "training": MEASURED}
        self.fails: Exception | None = None

    def __call__(
        self,
        source: Path,
        destination: Path,
        *,
        name: str,
        quantise: str | None,
        say: Callable[[str], None],
        allow_pickle: bool,
    ) -> Manifest:
        self.calls.append({"source": source, "quantise": quantise, "allow_pickle": allow_pickle})
        say("exporting")
        made = make_bundle(destination, name=name, **self.fields)
        if self.fails is not None:
            raise self.fails
        return made.manifest


@pytest.fixture
def importer(monkeypatch: pytest.MonkeyPatch) -> Importer:
    fake = Importer()
    monkeypatch.setattr("composir.model.adding.load_importer", lambda: fake)
    return fake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("my-clip").mkdir()
    paint_all(Path("photos"))
    return tmp_path


def listed() -> dict[str, dict[str, Any]]:
    told = composir("models", "--json")
    assert told.exit_code == 0, told.output
    return {entry["name"]: entry for entry in json.loads(told.stdout)["models"]}


def test_the_list_tells_packaged_and_known_ones_apart() -> None:
    found = listed()
    assert found["mini"]["state"] == "packaged"
    assert found["mini"]["bytes"] > 1e7
    assert found["clip-vit-base-patch32"]["source"] == "openai/clip-vit-base-patch32"
    assert found["clip-vit-base-patch32"]["problem"] is None
    assert found["mobileclip2-s0"]["source"] == "open_clip:MobileCLIP2-S0/dfndr2b"
    assert found["mobileclip2-s0"]["commercial"] == "restricted"
    people = composir("models").stdout
    assert "to add it: composir models add openai/clip-vit-base-patch32" in people
    assert "packaged with composir:\n  mini: 512 numbers a vector" in people


def test_a_checkpoint_is_added_under_its_folders_name(importer: Importer, home: Path) -> None:
    done = composir("models", "add", "my-clip", "--quantise", "int8")
    assert done.exit_code == 0, done.output
    assert importer.calls == [
        {"source": Path("my-clip"), "quantise": "int8", "allow_pickle": False}
    ]
    assert "exporting" in done.stderr
    assert done.stdout.startswith("added:\n  my-clip: 4 numbers a vector")
    entry = listed()["my-clip"]
    assert (entry["state"], entry["folder"]) == ("installed", str(home / "home/models/my-clip"))
    assert sorted(path.name for path in models_folder().iterdir()) == ["my-clip"]


def test_its_name_works_wherever_a_model_is_named(importer: Importer) -> None:
    composir("models", "add", "my-clip")
    indexed = composir("index", "photos", "--gallery", "g", "--model", "my-clip")
    assert indexed.exit_code == 0, indexed.output
    found = composir("search", "red", "--gallery", "g", "--composer", "sum", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["hits"][0]["path"].endswith("red.png")
    assert composir("info", "--gallery", "g").exit_code == 0
    assert composir("index", "photos", "--gallery", "g").exit_code == 0
    assert composir("doctor", "--gallery", "g").exit_code == 0


def test_a_bundle_is_copied_under_another_name(home: Path) -> None:
    made = make_bundle(home / "run" / "bundle")
    make_composer(home / "run" / "bundle" / "composers" / "tiny-map", made)
    made = make_bundle(home / "run" / "bundle")
    done = composir("models", "add", "run/bundle", "--name", "mine")
    assert done.exit_code == 0, done.output
    shutil.rmtree("run")
    copy = Bundle.load(models_folder() / "mine")
    assert (copy.manifest.name, copy.fingerprint) == ("mine", made.fingerprint)
    assert list(copy.composer_folders()) == ["tiny-map"]
    assert composir("models", "check", "mine").exit_code == 0


def test_a_damaged_bundle_is_not_added(home: Path) -> None:
    made = make_bundle(home / "bundle")
    words = made.bundle.folder / "words.npy"
    words.write_bytes(words.read_bytes()[::-1])
    done = composir("models", "add", "bundle")
    assert done.exit_code == 2
    assert "words.npy is damaged" in done.stderr
    assert list(models_folder().iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ModelError("no dual encoder"), "error: no dual encoder"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; nothing was"),
    ],
)
def test_nothing_half_added_remains(importer: Importer, error: Exception, told: str) -> None:
    importer.fails = error
    done = composir("models", "add", "my-clip")
    assert done.exit_code == 2
    assert told in done.stderr
    assert list(models_folder().iterdir()) == []
    assert "my-clip" not in listed()


def test_two_models_of_one_name_are_refused(importer: Importer) -> None:
    assert composir("models", "add", "my-clip").exit_code == 0
    before = listed()
    again = composir("models", "add", "my-clip")
    assert again.exit_code == 2
    assert "there is a model my-clip already, in" in again.stderr
    assert "composir models remove my-clip" in again.stderr
    packaged = composir("models", "add", "my-clip", "--name", "mini")
    assert "mini is packaged with composir" in packaged.stderr
    assert (len(importer.calls), listed()) == (1, before)


@pytest.mark.parametrize("name", ["../outside", "Big", "", "a b", "-x"])
def test_names_that_no_model_may_have(importer: Importer, name: str) -> None:
    done = composir("models", "add", "my-clip", f"--name={name}")
    assert done.exit_code == 2
    assert "cannot be called" in done.stderr
    assert importer.calls == []


def test_a_licence_that_restricts_must_be_accepted(importer: Importer) -> None:
    importer.fields["licence"] = "for research only"
    refused = composir("models", "add", "my-clip")
    assert refused.exit_code == 2
    assert "restricts its use: for research only; nothing was added" in refused.stderr
    assert "my-clip" not in listed()
    assert composir("models", "add", "my-clip", "--accept-licence").exit_code == 0


@pytest.mark.parametrize(("answer", "code"), [(True, 0), (False, 2)])
def test_people_are_asked_for_a_licence(
    importer: Importer, monkeypatch: pytest.MonkeyPatch, answer: bool, code: int
) -> None:
    importer.fields["licence"] = "CC BY-NC 4.0"
    monkeypatch.setattr("composir.cli.models_verb.is_asked_by_people", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, **_settings: answer)
    assert composir("models", "add", "my-clip").exit_code == code
    assert ("my-clip" in listed()) is answer


def test_a_repository_is_fetched_and_noted(
    importer: Importer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.fields["licence"] = "unknown"
    asked: list[Repository] = []

    def fetch(repository: Repository, **_settings: object) -> Path:
        asked.append(repository)
        return home / "my-clip"

    monkeypatch.setattr("composir.model.adding.fetch", fetch)
    done = composir("models", "add", "openai/clip-vit-base-patch32", "--json")
    assert done.exit_code == 0, done.output
    assert asked == [Repository("openai/clip-vit-base-patch32")]
    told = json.loads(done.stdout)
    assert told["training"]["imported_from"] == "openai/clip-vit-base-patch32@my-clip"
    assert told["licence"].startswith("MIT (as published")
    assert told["commercial"] == "allowed"
    assert "clip-vit-base-patch32" in composir("models").stdout.partition("known, not")[0]


def test_without_the_extra_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_module(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name}", name="transformers")

    monkeypatch.setattr("composir.lazy.import_module", no_module)
    monkeypatch.setattr("composir.model.adding.fetch", lambda _repository: pytest.fail("fetched"))
    done = composir("models", "add", "openai/clip-vit-base-patch32")
    assert done.exit_code == 2
    assert "pip install 'composir[foundation]'" in done.stderr


@pytest.mark.parametrize("source", ["open_clip:a/b", "nothing"])
def test_sources_that_are_not_there_yet_are_refused(importer: Importer, source: str) -> None:
    done = composir("models", "add", source)
    assert done.exit_code == 2
    assert done.stderr.startswith(("error: " + source, "error: there is no folder"))
    assert importer.calls == []


def test_removing_wants_a_yes_and_names_the_galleries_it_knows(
    importer: Importer, home: Path
) -> None:
    composir("models", "add", "my-clip")
    assert composir("index", "photos", "--model", "my-clip").exit_code == 0
    refused = composir("models", "remove", "my-clip")
    assert refused.exit_code == 2
    assert "nothing was removed yet: add --yes" in refused.stderr
    gallery = home / "home" / "galleries" / "default"
    assert f"the gallery {gallery} was made with it" in refused.stderr
    removed = composir("models", "remove", "my-clip", "--yes")
    assert (removed.exit_code, removed.stdout) == (0, "removed: my-clip\n")
    assert list(models_folder().iterdir()) == []
    lost = composir("search", "red")
    assert lost.exit_code == 2
    fingerprint = json.loads(composir("info", "--json").stdout)["fingerprint"]
    assert f"made with the bundle my-clip of the fingerprint {fingerprint}" in lost.stderr
    assert "composir models add SOURCE --name my-clip" in lost.stderr


def test_packaged_and_unknown_models_are_not_removed() -> None:
    packaged = composir("models", "remove", "mini", "--yes")
    assert packaged.exit_code == 2
    assert "packaged with composir" in packaged.stderr
    assert (PACKAGED["mini"] / "bundle.json").is_file()
    for name in ("other", "../models", "."):
        unknown = composir("models", "remove", name, "--yes")
        assert unknown.exit_code == 2
        assert "was added; added ones are: none" in unknown.stderr


def test_a_damaged_model_is_listed_as_such_and_can_be_removed(importer: Importer) -> None:
    composir("models", "add", "my-clip")
    (models_folder() / "my-clip" / "words.npy").unlink()
    assert "words.npy is missing" in listed()["my-clip"]["problem"]
    assert "broken: " in composir("models").stdout
    assert composir("models", "remove", "my-clip", "--yes").exit_code == 0


def test_check_prints_what_was_stored_and_verifies_every_file(importer: Importer) -> None:
    composir("models", "add", "my-clip")
    done = composir("models", "check", "my-clip")
    assert done.exit_code == 0, done.output
    assert "every checksum is right" in done.stdout
    assert "  int8 text top10  0.97\n" in done.stdout
    told = json.loads(composir("models", "check", "my-clip", "--json").stdout)
    assert told["stored"] == {"pixels": 1.0, "image": 2.5e-06, "int8 text top10": 0.97}
    assert told["measured"] is None
    for name in ("words.npy", "text.onnx"):
        path = models_folder() / "my-clip" / name
        path.write_bytes(path.read_bytes()[::-1])
    broken = composir("models", "check", "my-clip")
    assert broken.exit_code == 2
    assert broken.stderr.count("is damaged") == 2


def test_check_against_a_source_needs_a_model_made_of_one(importer: Importer) -> None:
    composir("models", "add", "my-clip")
    done = composir("models", "check", "my-clip", "--against", "my-clip")
    assert done.exit_code == 2
    assert "was not made from a checkpoint: leave out --against" in done.stderr


@pytest.mark.parametrize("verb", [["index", "photos"], ["search", "red"]])
def test_commercial_refuses_what_does_not_allow_it(importer: Importer, verb: list[str]) -> None:
    importer.fields["licence"] = "CC BY-NC 4.0"
    composir("models", "add", "my-clip", "--accept-licence")
    composir("index", "photos", "--gallery", "g", "--model", "my-clip")
    done = composir(*verb, "--gallery", "g", "--commercial")
    assert done.exit_code == 2
    assert "the licence of the model my-clip does not allow commercial use" in done.stderr
    assert "CC BY-NC 4.0" in done.stderr


def test_commercial_looks_at_the_composer_too(importer: Importer, home: Path) -> None:
    composir("models", "add", "my-clip")
    model = make_bundle(home / "elsewhere", name="my-clip", **importer.fields)
    make_composer(home / "free", model, licence="MIT")
    make_composer(home / "nobody-knows", model)
    composir("index", "photos", "--gallery", "g", "--model", "my-clip", "--commercial")
    ask = ("search", "-i", "photos/red.png", "red", "--gallery", "g", "--commercial", "--composer")
    assert composir(*ask, "sum").exit_code == 0
    assert composir(*ask, "free").exit_code == 0
    refused = composir(*ask, "nobody-knows")
    assert refused.exit_code == 2
    assert (
        "the licence of the composer nobody-knows/tiny-map is not known to allow" in refused.stderr
    )
