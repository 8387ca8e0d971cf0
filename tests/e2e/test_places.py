"""Whatever a verb reads or writes: nothing of others is overwritten, nothing is waited for."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from composir.cli import models
from tests.e2e.commands import composir, paint_all
from tests.e2e.path_options import path_options
from tests.fakes import COLOURS, ColourModel
from tests.unit.bench.makers import write_folder
from tests.unit.triplets.world import captioned, shop

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and links of Unix")

SEARCH = "search red --gallery gallery"
RESULTS = "runs/colours-all-colours-sum.json runs/colours-all-colours-text.json"
MAKE = "triplets make --max-similarity 0.999 --count 3"

FILES_WRITTEN = {
    ("search", "html"): (f"{SEARCH} --html", ".html"),
    ("search", "explain"): (f"{SEARCH} --explain", ".json"),
    ("bench run", "html"): ("bench my-dataset -c sum --html", ".html"),
    ("bench run", "csv"): ("bench my-dataset -c sum --csv", ".csv"),
    ("bench compare", "html"): (f"bench compare {RESULTS} --html", ".html"),
    ("bench compare", "csv"): (f"bench compare {RESULTS} --csv", ".csv"),
    ("bench tune", "out"): ("bench tune my-dataset -c sum --grid alpha=0:1:1 --out", ".json"),
    ("export vectors", "to"): ("export vectors --gallery gallery --to", ".parquet"),
    ("triplets look", "html"): ("triplets look triplets --html", ".html"),
}
FOLDERS_WRITTEN = {
    ("index", "gallery"): "index pictures --gallery",
    ("triplets make", "out"): f"{MAKE} --data shop --out",
    ("triplets edit", "out"): "triplets edit --images pictures --count 3 --out",
    ("triplets texts", "out"): "triplets texts --captions captions.jsonl --count 3 --out",
}
FILES_READ = {
    ("serve", "key_file"): "serve gallery --port 0 --api-key-file {}.txt",
    ("search", "message"): "search --gallery gallery --message {}.cir",
    ("index", "metadata"): "index pictures --gallery new --metadata {}.csv",
    ("index", "metadata", "jsonl"): "index pictures --gallery new --metadata {}.jsonl",
    ("index", "metadata", "parquet"): "index pictures --gallery new --metadata {}.parquet",
    ("reindex", "compare"): "reindex gallery --compare {}.jsonl",
    ("bench compare", "results"): "bench compare {}.json {}.json",
    ("bench rerun", "result"): "bench rerun {}.json",
    ("bench run", "tuned"): "bench my-dataset --tuned {}.json",
    ("bench run", "vectors"): "bench my-dataset -c sum --vectors {}.npz",
    ("bench run", "query_vectors"): "bench my-dataset --vectors ok.npz --query-vectors {}.npz",
    ("bench tune", "vectors"): "bench tune my-dataset -c sum -o t.json --vectors {}.npz",
    ("models add", "key_file"): "models add http://127.0.0.1:9/v1#model --key-file {}",
    ("triplets make", "captions"): f"{MAKE} --out new --images photos --captions {{}}.csv",
    ("triplets make", "only"): f"{MAKE} --out new --data shop --only {{}}.txt",
    ("triplets texts", "captions"): "triplets texts --out new --captions {}.csv",
}
FOLDERS_READ = {
    ("bench run", "root"): "bench genecis -c sum --root {}",
    ("bench tune", "root"): "bench tune {} -c sum -o t.json",
    ("bench rerun", "root"): f"bench rerun {RESULTS.split(maxsplit=1)[0]} --root {{}}",
    ("models check", "name"): "models check {}",
    ("doctor", "gallery"): "doctor --gallery {}",
    ("info", "gallery"): "info --gallery {}",
    ("repair", "gallery"): "repair --gallery {}",
    ("repair", "folder"): "repair {}",
    ("merge", "gallery"): "merge {}",
    ("reindex", "gallery"): "reindex {}",
    ("forget", "gallery"): "forget pictures --yes --gallery {}",
    ("serve", "gallery"): "serve {} --port 0",
    ("export page", "gallery"): "export page {} --out new",
    ("search", "gallery"): "search red --gallery {}",
    ("export vectors", "gallery"): "export vectors --to new.parquet --gallery {}",
    ("triplets look", "folder"): "triplets look {}",
    ("triplets make", "data"): f"{MAKE} --out new --data {{}}",
    ("triplets make", "images"): f"{MAKE} --out new --captions captions.jsonl --images {{}}",
    ("triplets edit", "data"): "triplets edit --out new --data {}",
}
ELSEWHERE = {
    # Folders that may hold anything: file by file in test_bench.py and test_submission.py.
    *(("bench run", "out"), ("bench run", "submission")),
    # They need a trained composer: test_export.py.
    *(("export query-side", "out"), ("export query-side", "composer")),
    # New or empty, whatever is in it: test_cli_page.py.
    ("export page", "out"),
    # The data set's pictures are left out where they cannot be read.
    ("bench compare", "root"),
    # Pictures and folders of them: a pipe among them is told as not readable, test_scan.py.
    *(("index", "paths"), ("triplets edit", "images")),
    # Names of what may be gone: looked up in the gallery, never opened.
    ("forget", "paths"),
    # May be a pipe, which is read within limits: test_cli_references.py.
    ("search", "images"),
    # Pictures are kept in any folder, named by their content: test_clients.py, test_limits.py.
    ("serve", "add_to"),
    # Opened when a client asks for it, as those of a search are.
    ("serve", "composers"),
    # Of a name, or of a folder with a manifest: test_bundle.py.
    *(("search", "composer"), ("search", "rerank"), ("serve", "rerank")),
}


of_every_file = pytest.mark.parametrize(
    ("line", "ending"), FILES_WRITTEN.values(), ids=[" ".join(key) for key in FILES_WRITTEN]
)


def test_every_option_that_names_a_place_is_tested() -> None:
    """A new option belongs in one of the tables here, or (`train`) in tests/torch."""
    tested = {*FILES_WRITTEN, *FOLDERS_WRITTEN, *(key[:2] for key in FILES_READ), *FOLDERS_READ}
    found = {
        (verb, name)
        for verb, name in path_options()
        if not verb.startswith("train ") and name != "model"
    }
    assert found == tested | ELSEWHERE


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that the commands need, made once: refused commands change nothing."""
    home = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
        patch.setenv("COMPOSIR_HOME", str(home / "home"))
        patch.chdir(home)
        paint_all(home / "pictures")
        write_folder(home / "my-dataset")
        captioned(home)
        shop(home / "shop")
        np.savez(home / "ok.npz", ids=list(COLOURS), matrix=np.eye(8, 4) + 1)
        done("index pictures --gallery gallery")
        done("bench my-dataset -c sum -c text")
        done(f"{MAKE} --data shop --out triplets")
        yield home


@contextmanager
def in_time() -> Iterator[None]:
    """Fail, rather than wait for ever, where a command opens what has no end."""

    def over(*_signal: object) -> None:
        pytest.fail("it waits, or reads without end")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(60)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def done(line: str) -> None:
    shown = composir(*line.split())
    assert shown.exit_code == 0, shown.output


def refused(line: str) -> str:
    with in_time():
        shown = composir(*line.split())
    assert shown.exit_code in {1, 2}, shown.output
    assert isinstance(shown.exception, SystemExit)
    assert "encoded" not in shown.stderr  # before work begins
    return " ".join((shown.stderr or shown.stdout).split())


@of_every_file
def test_a_file_takes_the_place_of_none_but_composirs_own(
    world: Path, tmp_path: Path, line: str, ending: str
) -> None:
    photo, mine = tmp_path / "photo.jpg", tmp_path / f"mine{ending}"
    link, pipe, void = (tmp_path / f"{name}{ending}" for name in ("link", "pipe", "void"))
    for path in (photo, mine):
        path.write_text("mine")
    link.symlink_to(photo)
    void.symlink_to("/dev/null")
    os.mkfifo(pipe)
    assert re.search(rf"ends in .*\{ending}", refused(f"{line} {photo}"))
    assert "is there already" in refused(f"{line} {mine}")
    for path in (link, void):
        assert "is a link" in refused(f"{line} {path}")
    assert "is a pipe" in refused(f"{line} {pipe}")
    assert "is a device" in refused(f"{line} /dev/null")
    assert photo.read_text() == mine.read_text() == "mine"
    assert link.is_symlink()
    assert pipe.is_fifo()


@of_every_file
def test_a_file_of_composirs_is_replaced_and_its_parents_are_made(
    world: Path, tmp_path: Path, line: str, ending: str
) -> None:
    place = tmp_path / "a" / "b" / f"new{ending}"
    done(f"{line} {place}")
    first = place.stat().st_ino
    done(f"{line} {place}")
    assert place.stat().st_ino != first


@pytest.mark.parametrize("line", FOLDERS_WRITTEN.values(), ids=map(" ".join, FOLDERS_WRITTEN))
def test_a_folder_of_other_things_is_left_alone(world: Path, tmp_path: Path, line: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "dataset.json").write_text("mine")
    told = refused(f"{line} {tmp_path / 'own'}")
    assert "own" in told
    assert "holds" in told
    assert "new or empty folder" in told
    refused(f"{line} {tmp_path / 'own' / 'dataset.json'}")
    refused(f"{line} {tmp_path / 'own' / 'dataset.json' / 'below'}")
    assert [path.read_text() for path in (tmp_path / "own").iterdir()] == ["mine"]


@pytest.mark.parametrize("line", FOLDERS_WRITTEN.values(), ids=map(" ".join, FOLDERS_WRITTEN))
def test_a_folder_of_composirs_is_not_left_through_links(
    world: Path, tmp_path: Path, line: str
) -> None:
    folder = tmp_path / "a" / "new"
    done(f"{line} {folder}")
    (tmp_path / "mine").write_text("mine")
    written = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in written[:: max(1, len(written) // 4)]:
        before = path.read_bytes()
        path.unlink()
        path.symlink_to(tmp_path / "mine")
        assert f"{path}: is a link" in refused(f"{line} {folder}")
        path.unlink()
        path.write_bytes(before)
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize("line", FILES_READ.values(), ids=map(" ".join, FILES_READ))
def test_a_pipe_is_not_waited_for_and_a_device_not_read(
    world: Path, tmp_path: Path, line: str
) -> None:
    ending = line.rpartition("{}")[2]
    os.mkfifo(tmp_path / f"pipe{ending}")
    (tmp_path / f"zero{ending}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        told = refused(line.replace("{}", str(tmp_path / name)))
        assert "not a regular file" in told or "is not a file" in told
    assert not Path("new").exists()


@pytest.mark.parametrize("line", FOLDERS_READ.values(), ids=map(" ".join, FOLDERS_READ))
def test_a_pipe_in_the_place_of_a_folder_is_no_folder(
    world: Path, tmp_path: Path, line: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(line.replace("{}", str(tmp_path / "pipe")))
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("search red --gallery {}", "composir-gallery.json"),
        ("info --gallery {}", "composir-gallery.json"),
        ("bench {} -c sum", "dataset.json"),
        ("bench {} -c sum", "gallery.jsonl"),
        ("bench {} -c sum", "queries.jsonl"),
        ("triplets look {}", "queries.jsonl"),
        (f"{MAKE} --out new --data {{}}", "gallery.jsonl"),
    ],
)
def test_a_pipe_inside_a_folder_is_not_waited_for(
    world: Path, tmp_path: Path, line: str, name: str
) -> None:
    folder = shutil.copytree("my-dataset", tmp_path / "folder")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert "not a regular file" in refused(line.replace("{}", str(folder)))
