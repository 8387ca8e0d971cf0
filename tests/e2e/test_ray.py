"""`composir index --ray`: shards as tasks of a local cluster, one of whose workers is killed."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest

from composir.cli import models
from composir.errors import GalleryError
from composir.gallery import Gallery
from composir.gallery.shards import MergeReport, ray_cluster
from tests.e2e.commands import composir
from tests.tiny_bundle import make_bundle
from tests.unit.gallery.pictures import scenes
from tests.unit.gallery.shards import rows_of

ray = pytest.importorskip("ray", reason="needs the ray extra")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
PICTURES = 40


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two processes of this machine."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    scenes(folder, range(PICTURES))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def kill_workers(gallery: Path, killed: set[int], finished: Event) -> None:
    """Kill the first process that holds the lock of a shard."""
    while not killed and not finished.wait(0.005):
        for lock in gallery.glob("shards/*/index.lock"):
            text = lock.read_text()
            if text.endswith("}") and not killed:
                killed.add(json.loads(text)["pid"])
                os.kill(next(iter(killed)), signal.SIGKILL)


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_is_replaced_and_nothing_is_missing(tmp_path: Path, pictures: Path) -> None:
    model = make_bundle(tmp_path / "bundle")
    gallery, killed, finished = tmp_path / "G", set[int](), Event()
    load = partial(models.resolve_model, str(tmp_path / "bundle"), models.Compute(1))
    killer = Thread(target=kill_workers, args=(gallery, killed, finished))
    killer.start()
    try:
        place = ray_cluster.RayPlace(cpus=1)
        report = ray_cluster.index_on_ray(gallery, load, [pictures], place=place)
    finally:
        finished.set()
        killer.join()

    assert isinstance(report, MergeReport)
    assert len(killed) == 1
    assert (report.shards, report.added, report.total) == (2, PICTURES, PICTURES)
    assert [failure.path.name for failure in report.failures] == ["broken.png"]
    one = Gallery.create_or_open(tmp_path / "one", model)
    one.index([pictures])
    assert [row["path"] for row in rows_of(Gallery(gallery, model))] == [
        row["path"] for row in rows_of(one)
    ]


@pytest.mark.usefixtures("cluster")
def test_what_a_shard_is_refused_is_told(tmp_path: Path, pictures: Path) -> None:
    make_bundle(tmp_path / "bundle")
    load = partial(models.resolve_model, str(tmp_path / "bundle"), models.Compute(1))
    (tmp_path / "empty").mkdir()
    with pytest.raises(GalleryError, match="no pictures found"):
        ray_cluster.index_on_ray(tmp_path / "G", load, [tmp_path / "empty"])
    result = composir("index", pictures, "--ray", "auto", "--shard", "1/2", "--gallery", tmp_path)
    assert result.exit_code == 2
    assert "leave --shard out" in result.stderr


@pytest.mark.usefixtures("cluster")
def test_the_command_line_indexes_and_merges(tmp_path: Path, pictures: Path) -> None:
    make_bundle(tmp_path / "bundle")
    words = ("index", pictures, "--ray", "auto", "--gallery", tmp_path / "G", "--threads", "1")
    result = composir(*words, "--model", tmp_path / "bundle", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert (told["shards"], told["added"], len(told["failures"])) == (2, PICTURES, 1)
