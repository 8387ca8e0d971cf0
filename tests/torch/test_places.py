"""What `composir train` reads and writes; of the other verbs: tests/e2e/test_places.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the train extra")

from composir.data.captions import read_captions
from composir.errors import ComposirError, OutputError
from composir.train.blend import choose_blend
from composir.train.composing.anchors import anchor_texts
from composir.train.composing.text_rows import read_text_triplets
from composir.train.composing.triplet_files import read_triplets
from composir.train.gallery_features import gallery_features
from composir.train.source_pictures import training_images
from composir.train.steering import read_phrases
from tests.e2e.commands import paint_all
from tests.e2e.path_options import path_options
from tests.e2e.test_places import in_time, refused
from tests.tiny_bundle import make_bundle, make_composer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of Unix")

RUNS = {
    ("train map", "out"): "train map --images pictures --out",
    ("train baseline", "out"): "train baseline pic2word --images pictures --out",
    ("train isa", "out"): "train isa --images pictures --out",
    ("train compose", "out"): "train compose --triplets pictures --out",
}
CONFIGS = {
    ("train map", "config"): "train map --out new --config {}",
    ("train baseline", "config"): "train baseline pic2word --out new --config {}",
    ("train isa", "config"): "train isa --out new --config {}",
    ("train compose", "config"): "train compose --out new --config {}",
}
READERS: dict[str, Callable[[Path], object]] = {
    ".tar": training_images,
    ".parquet": training_images,
    ".jsonl": read_triplets,
    ".csv": read_triplets,
    ".ndjson": lambda path: read_captions(path, ()),
    ".text.jsonl": lambda path: read_text_triplets([path], 0.1),
    ".txt": read_phrases,
    ".lines": lambda path: anchor_texts([path]),
}
READ_BY = {  # as READERS has them: reaching them by the command line would load a model each
    *((verb, "images") for verb in ("train map", "train baseline", "train isa")),
    *((verb, "captions") for verb in ("train map", "train baseline")),
    ("train compose", "triplets"),
    ("train compose", "text_triplets"),
}
ELSEWHERE = {  # folders of data sets, models and composers, and of caches
    *((verb, "data") for verb in ("train map", "train baseline", "train isa")),
    *((verb, "dev") for verb in ("train map", "train baseline", "train isa", "train blend")),
    *(("train compose", "start"), ("train blend", "composer"), ("train blend", "cache")),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    paint_all(tmp_path / "pictures")
    return tmp_path


def test_every_option_that_names_a_place_is_tested() -> None:
    found = {key for key in path_options() if key[0].startswith("train ") and key[1] != "model"}
    assert found == {*RUNS, *CONFIGS, *READ_BY, *ELSEWHERE}


@pytest.mark.parametrize("line", RUNS.values(), ids=map(" ".join, RUNS))
def test_a_folder_of_other_things_is_left_alone(home: Path, line: str) -> None:
    told = refused(f"{line} pictures")
    assert "--out pictures: holds something else" in told
    assert len(list((home / "pictures").iterdir())) == 8
    (home / "run").mkdir()
    (home / "run" / "config.json").touch()
    (home / "run" / "README.md").symlink_to(home / "pictures" / "red.png")
    assert "run/README.md: is a link" in refused(f"{line} run")


@pytest.mark.parametrize("line", CONFIGS.values(), ids=map(" ".join, CONFIGS))
def test_settings_are_read_from_regular_files(home: Path, line: str) -> None:
    os.mkfifo(home / "pipe.toml")
    for name in ("pipe.toml", "/dev/zero"):
        assert "not a regular file" in refused(line.replace("{}", name))
    assert not (home / "new").exists()


@pytest.mark.parametrize("name", ["pipe", "zero"])
@pytest.mark.parametrize("ending", READERS)
def test_readers_wait_for_no_pipe_and_read_no_device(
    tmp_path: Path, ending: str, name: str
) -> None:
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
    path = tmp_path / f"{name}{ending}"
    with in_time(), pytest.raises((ComposirError, OSError), match=r"not a regular|no such"):
        READERS[ending](path)


def test_a_cache_is_not_left_through_links(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    model, [file] = make_bundle(tmp_path / "tiny"), paint_all(tmp_path / "pictures")[:1]
    for name in ("index.sqlite", "vectors.rows"):
        link = tmp_path / "cache" / name
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tmp_path / "mine")
        with pytest.raises(OutputError, match="is a link"):
            gallery_features(tmp_path / "cache", [file], model)
        link.unlink()
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_composer_is_not_left_through_links(tmp_path: Path) -> None:
    model = make_bundle(tmp_path / "tiny")
    folder = make_composer(tmp_path / "composer", model, "vector")
    (tmp_path / "mine").write_text("mine")
    (folder / "README.md").symlink_to(tmp_path / "mine")
    with pytest.raises(OutputError, match=r"README\.md: is a link"):
        choose_blend(model, folder, [])
    assert (tmp_path / "mine").read_text() == "mine"
