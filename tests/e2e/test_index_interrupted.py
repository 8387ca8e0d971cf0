"""Index runs that are killed, interrupted or meet each other: real processes, real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from composir.errors import GalleryBusyError
from composir.gallery import Gallery, open_gallery
from composir.gallery.manifest import is_gallery
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.pictures import scenes

REPOSITORY = Path(__file__).parents[2]
PICTURES = 80
LOST_AT_MOST = 8 + 4 * 2 * 2 + 4  # a commit, what waits in the queues, and the batch in the model

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class World:
    """A folder of pictures and processes that index it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures = folder / "pictures"
        scenes(self.pictures, range(PICTURES))
        self.gallery = folder / "gallery"
        self.log = folder / "encoded"
        self.log.touch()

    def start(self, seconds: float = 0.05) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.e2e.index_child", self.pictures, self.gallery]
        return subprocess.Popen(
            [*map(str, command), str(self.log), str(seconds)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def encoded(self) -> int:
        return len(self.log.read_text())

    def stored(self) -> int:
        """Rows; none while a new folder has no manifest yet, which readers call no gallery."""
        return len(open_gallery(self.gallery)) if is_gallery(self.gallery) else 0

    def check_complete(self) -> None:
        ids, _ = open_gallery(self.gallery).vectors()
        assert len(ids) == len(set(ids)) == PICTURES


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def wait_for_more(world: World, done: int, process: subprocess.Popen[str]) -> None:
    wait_for(lambda: world.encoded() > done or world.stored() == PICTURES, process)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode in {-signal.SIGKILL, 0}


@pytest.mark.parametrize("after", [4, 44, 76])
def test_a_killed_run_goes_on_where_it_was(world: World, after: int) -> None:
    process = world.start()
    wait_for(lambda: world.encoded() >= after, process)
    kill(process)
    kept, encoded = world.stored(), world.encoded()
    assert encoded - kept <= LOST_AT_MOST

    again = world.start(0)
    output, errors = again.communicate(timeout=120)

    assert again.returncode == 0, errors
    assert output.split() == [str(PICTURES - kept), str(kept), str(PICTURES)]
    assert world.encoded() == encoded + PICTURES - kept
    world.check_complete()


def test_a_run_killed_over_and_over_still_arrives(world: World) -> None:
    for _ in range(6):
        process = world.start(0.05)
        wait_for_more(world, world.encoded(), process)
        time.sleep(0.11)
        kill(process)

    final = world.start(0)
    _, errors = final.communicate(timeout=120)

    assert final.returncode == 0, errors
    world.check_complete()


@pytest.mark.parametrize("moment", ["composir-gallery.json", "images.lance", "index.lock"])
def test_a_run_killed_while_the_folder_is_made_starts_over(world: World, moment: str) -> None:
    process = world.start()
    wait_for((world.gallery / moment).exists, process)
    kill(process)

    again = world.start(0)
    _, errors = again.communicate(timeout=120)

    assert again.returncode == 0, errors
    world.check_complete()


def test_ctrl_c_commits_and_ends_soon(world: World) -> None:
    process = world.start()
    wait_for(lambda: world.encoded() >= 20, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert process.returncode == 130, errors
    assert world.stored() == world.encoded() < PICTURES


def test_a_second_indexer_is_refused_and_a_search_is_not(world: World) -> None:
    process = world.start(0.2)
    wait_for(lambda: world.stored() >= 8, process)
    process.send_signal(signal.SIGSTOP)  # it must not end before the second one is there

    result = open_gallery(world.gallery, ColourModel()).search(Query(text="red"), k=3)
    with pytest.raises(GalleryBusyError, match=f"process {process.pid} on") as refusal:
        Gallery.create_or_open(world.gallery, ColourModel()).index([world.pictures])
    second = world.start(0)
    _, errors = second.communicate(timeout=60)

    assert len(result.hits) == 3
    assert refusal.value.exit_code == second.returncode == 3
    assert "is being indexed by process" in errors
    kill(process)
    world.start(0).communicate(timeout=120)
    world.check_complete()


def test_two_indexers_at_once_corrupt_nothing(world: World) -> None:
    processes = [world.start(0.01) for _ in range(2)]
    codes = sorted(
        (process.communicate(timeout=120), process.returncode)[1] for process in processes
    )

    assert codes in ([0, 0], [0, 3])
    world.check_complete()


def test_searches_while_indexing_never_fail(world: World) -> None:
    process = world.start(0.02)
    wait_for(lambda: world.stored() > 0, process)
    gallery, sizes = open_gallery(world.gallery, ColourModel()), [0]
    while process.poll() is None:
        sizes.append(gallery.search(Query(text="red"), k=3).gallery_size)
    process.communicate()

    assert sizes == sorted(sizes)
    assert gallery.search(Query(text="red"), k=3).gallery_size == PICTURES
