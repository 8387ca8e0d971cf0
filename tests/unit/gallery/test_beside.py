"""Another model for a gallery: beside, resumable, and switched in one step or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composir.encode.encoders import Encoder, image_encoder
from composir.errors import BundleMismatchError, GalleryError
from composir.gallery import Gallery, open_gallery
from composir.gallery.beside import is_of_another_model, switch_model
from composir.gallery.manifest import GalleryManifest, other_table, read_manifest
from composir.gallery.repair import repair_gallery
from composir.gallery.verify import verify_gallery
from composir.types import FloatArray, PixelArray, Query
from tests.fakes import COLOURS, ColourModel
from tests.unit.gallery.pictures import plain


class Turned(ColourModel):
    """Sees red where there is green, in a space of its own; D = 5."""

    name = "turned"
    dimension = 5

    def __init__(self) -> None:
        super().__init__("turned-1")
        self.fails_after: int | None = None

    def encode_pixels(self, pixels: PixelArray) -> FloatArray:
        if self.fails_after is not None and self.encoded + len(pixels) > self.fails_after:
            raise KeyboardInterrupt
        return self._wide(super().encode_pixels(pixels[..., [1, 0, 2]]))

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        return self._wide(super().encode_texts(texts))

    @staticmethod
    def _wide(vectors: FloatArray) -> FloatArray:
        return np.pad(vectors, ((0, 0), (0, 1)))


class Scene:
    """Two folders of pictures in a gallery of colours, one of them with metadata."""

    def __init__(self, folder: Path) -> None:
        self.first, self.second = folder / "first", folder / "second"
        for place, (name, colour) in enumerate(COLOURS.items()):
            plain((self.first, self.second)[place % 2] / f"{name}.png", colour)
        sheet = folder / "prices.csv"
        sheet.write_text("file,price\nred.png,7\nblue.png,9\n")
        self.path = folder / "gallery"
        self.model = ColourModel()
        self.old = Gallery.create_or_open(self.path, self.model)
        self.old.index([self.first], metadata=sheet, exclude=["nothing*"])
        self.old.index([self.second])

    def best(self, gallery: Gallery, word: str) -> str:
        return gallery.search(Query(text=word), k=1).hits[0].path.stem

    def tables(self) -> list[str]:
        return sorted(path.name for path in self.path.glob("*.lance"))


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_every_row_comes_along_with_another_vector(scene: Scene) -> None:
    before = {row["path"]: row for row in rows_of(open_gallery(scene.path, scene.model))}
    roots = read_manifest(scene.path).root_facts

    report = switch_model(scene.path, Turned())

    assert (report.before, report.images, report.dropped) == ("colours", len(COLOURS), 0)
    new = open_gallery(scene.path, Turned())
    after = {row["path"]: row for row in rows_of(new)}
    assert {path: {**row, "vector": 0} for path, row in after.items()} == {
        path: {**row, "vector": 0} for path, row in before.items()
    }
    assert scene.best(new, "red") == "green"
    assert new.search(Query(text="green"), where="price = 7").hits[0].path.stem == "red"
    assert read_manifest(scene.path).root_facts == roots
    assert scene.tables() == [other_table("turned-1")]
    assert not (scene.path / "beside").exists()
    assert verify_gallery(scene.path, deep=True) == []
    _, vectors = new.vectors()
    assert vectors.shape == (len(COLOURS), 5)


def rows_of(gallery: Gallery) -> list[dict[str, object]]:
    store = gallery._snapshot().store
    table = store.read([name for name in store.schema.names if name != "modified"])
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_files_that_changed_places_get_their_own_vectors(scene: Scene) -> None:
    red, other = scene.first / "red.png", scene.first / "swapped.png"
    green = scene.second / "green.png"
    red.rename(other)
    green.rename(red)
    other.rename(green)

    switch_model(scene.path, Turned())
    new = open_gallery(scene.path, Turned())
    new.index([scene.first, scene.second])

    assert scene.best(new, "red") == "red"  # it is green now, which the model takes for red
    assert scene.best(new, "green") == "green"
    assert new.search(Query(text="red"), where="price = 7").hits[0].path.stem == "red"


def test_the_next_run_goes_on_with_the_new_model(scene: Scene) -> None:
    switch_model(scene.path, Turned())
    plain(scene.first / "new.png", (0, 200, 10))
    model = Turned()

    report = Gallery.create_or_open(scene.path, model).index([scene.first])

    assert (report.added, report.total) == (1, len(COLOURS) + 1)
    assert model.encoded == 1


def test_until_the_end_the_old_model_answers(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[str] = []

    def asking(*_args: object) -> None:
        answers.append(scene.best(open_gallery(scene.path, scene.model), "red"))
        answers.append(scene.best(scene.old, "red"))

    model = Turned()
    encode = model.encode_pixels

    def encoding(pixels: PixelArray) -> FloatArray:
        asking()
        return encode(pixels)

    monkeypatch.setattr(model, "encode_pixels", encoding)
    switch_model(scene.path, model, asking)

    assert set(answers[:-2]) == {"red"}


@pytest.mark.parametrize("done", [0, 1, 5])
def test_a_run_that_is_stopped_goes_on(
    scene: Scene, done: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("composir.gallery.beside.image_encoder", one_at_a_time(image_encoder))
    stopped, model = Turned(), Turned()
    stopped.fails_after = done
    with pytest.raises(KeyboardInterrupt):
        switch_model(scene.path, stopped)

    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"
    assert scene.old.index([scene.first]).unchanged == 4  # the old model's runs go on as well
    assert switch_model(scene.path, model).images == len(COLOURS)
    assert stopped.encoded == done
    assert model.encoded == len(COLOURS) - done


def one_at_a_time(make: Callable[[ColourModel], Encoder]) -> Callable[[ColourModel], Encoder]:
    return lambda model: replace(make(model), batch=1)


def test_killed_before_the_switch_nothing_has_changed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_self: GalleryManifest, _folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(GalleryManifest, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            switch_model(scene.path, Turned())

    assert len(scene.tables()) == 2
    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"
    model = Turned()
    assert switch_model(scene.path, model).images == len(COLOURS)
    assert model.encoded == 0


def test_killed_after_the_switch_the_old_table_goes_with_the_next_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("composir.gallery.remains.remove_other_tables", killed)
        with pytest.raises(KeyboardInterrupt):
            switch_model(scene.path, Turned())

    assert len(scene.tables()) == 2
    new = open_gallery(scene.path, Turned())
    assert scene.best(new, "red") == "green"
    new.index([scene.first])
    assert scene.tables() == [other_table("turned-1")]
    assert not (scene.path / "beside").exists()


def test_whoever_has_it_open_is_told_to_open_it_again(scene: Scene) -> None:
    assert scene.best(scene.old, "red") == "red"
    switch_model(scene.path, Turned())

    with pytest.raises(BundleMismatchError, match="is the model turned's by now"):
        scene.best(scene.old, "red")
    with pytest.raises(BundleMismatchError, match="turned"):
        scene.old.index([scene.first])
    with pytest.raises(BundleMismatchError, match="--model colours"):
        open_gallery(scene.path, scene.model)


def test_there_and_back_again(scene: Scene) -> None:
    switch_model(scene.path, Turned())
    assert is_of_another_model(scene.path, scene.model)
    switch_model(scene.path, scene.model)

    assert not is_of_another_model(scene.path, scene.model)
    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"
    assert scene.tables() == [other_table(scene.model.fingerprint)]


def test_deleted_pictures_stay_behind_and_damaged_ones_too(scene: Scene) -> None:
    (scene.first / "red.png").unlink()
    (scene.second / "green.png").write_bytes(b"no picture")

    report = switch_model(scene.path, Turned())

    assert (report.images, report.dropped) == (len(COLOURS) - 2, 2)


def test_nothing_is_switched_while_a_disk_is_away(scene: Scene, tmp_path: Path) -> None:
    scene.second.rename(tmp_path / "unplugged")
    with pytest.raises(GalleryError, match=r"4 of 8 pictures cannot be reached now.*stays with"):
        switch_model(scene.path, Turned())
    assert scene.best(open_gallery(scene.path, scene.model), "green") == "green"

    (tmp_path / "unplugged").rename(scene.second)
    model = Turned()
    assert switch_model(scene.path, model).images == len(COLOURS)
    assert model.encoded == 4


def test_a_full_disk_is_told_before_anything_is_encoded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10**9, 10**9, 1000))
    model = Turned()
    with pytest.raises(GalleryError, match=r"takes 0\.\d\d GB.*nothing was changed: make room"):
        switch_model(scene.path, model)
    assert model.encoded == 0
    assert scene.tables() == ["images.lance"]


def test_a_gallery_that_is_empty_yet_just_changes_its_model(tmp_path: Path) -> None:
    Gallery.create_or_open(tmp_path / "gallery", ColourModel())
    assert switch_model(tmp_path / "gallery", Turned()).images == 0
    plain(tmp_path / "pictures" / "red.png", "red")
    new = Gallery.create_or_open(tmp_path / "gallery", Turned())
    assert new.index([tmp_path / "pictures"]).added == 1


def test_earlier_versions_read_what_has_not_changed_its_model_and_refuse_the_rest(
    scene: Scene,
) -> None:
    path = scene.path / "composir-gallery.json"
    told = json.loads(path.read_text())
    assert told["schema_version"] == 1
    assert "table" not in told
    switch_model(scene.path, Turned())
    assert json.loads(path.read_text())["schema_version"] == 2


@pytest.mark.parametrize("name", ["../images.lance", "images-x.lance", "cache"])
def test_a_table_elsewhere_is_refused(scene: Scene, name: str) -> None:
    path = scene.path / "composir-gallery.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "table": name}))
    with pytest.raises(GalleryError, match="table"):
        open_gallery(scene.path)


def test_a_repair_keeps_to_the_new_table(scene: Scene) -> None:
    switch_model(scene.path, Turned())
    (scene.path / "composir-gallery.json").write_text("{")

    report = repair_gallery(scene.path, Turned())

    assert report.images == len(COLOURS)
    assert read_manifest(scene.path).table == other_table("turned-1")
    assert scene.best(open_gallery(scene.path, Turned()), "red") == "green"


def test_pictures_that_changed_meanwhile_are_read_again(scene: Scene) -> None:
    Image.new("RGB", (31, 24), COLOURS["black"]).save(scene.first / "red.png")
    model = Turned()
    switch_model(scene.path, model)

    report = Gallery.create_or_open(scene.path, model).index([scene.first])

    assert report.added + report.reused == 1


CHILD = """
import sys, time
from pathlib import Path
from composir.gallery import beside
from tests.unit.gallery.test_beside import Turned, one_at_a_time

class Slow(Turned):
    def encode_pixels(self, pixels):
        time.sleep(0.2)
        with open(sys.argv[2], "a") as log:
            log.write("x" * len(pixels))
        return super().encode_pixels(pixels)

beside.image_encoder = one_at_a_time(beside.image_encoder)
beside.switch_model(Path(sys.argv[1]), Slow())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_a_process_that_is_killed_loses_what_it_was_at(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(scene.path), str(log)], cwd=Path(__file__).parents[3]
    )
    limit = time.monotonic() + 60
    while len(log.read_text()) < 4 and child.poll() is None and time.monotonic() < limit:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    done = len(log.read_text())

    assert scene.best(open_gallery(scene.path, scene.model), "red") == "red"
    model = Turned()
    assert switch_model(scene.path, model).images == len(COLOURS)
    assert len(COLOURS) - done <= model.encoded <= len(COLOURS) - done + 1
