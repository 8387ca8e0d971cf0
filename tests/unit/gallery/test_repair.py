"""Repairs: what is readable is kept, what is lost is counted, what was there is moved aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pytest

from composir.errors import BundleMismatchError, GalleryBusyError, GalleryError
from composir.gallery import Gallery, open_gallery
from composir.gallery.manifest import BundleIdentity
from composir.gallery.matrix import matrix_path
from composir.gallery.remains import identity_note
from composir.gallery.repair import RepairReport, repair_gallery
from composir.gallery.store import Store
from composir.gallery.upkeep import index_lock
from composir.gallery.verify import verify_gallery
from composir.types import Query
from tests.fakes import ColourModel
from tests.unit.gallery.damages import (
    DAMAGES,
    FIRST,
    IMAGES,
    MANIFEST,
    SECOND,
    TABLE,
    data_files,
    make_gallery,
)

_FIRST_LOST = {"data cut short", "data emptied", "data missing", "data overwritten"}
_ALL_LOST = {"data folder missing", "table missing"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "gallery")


def prices(folder: Path) -> dict[str, int | None]:
    hits = open_gallery(folder, ColourModel()).search(Query(text="red"), k=50).hits
    return {hit.path.name: hit.metadata["price"] for hit in hits}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def index_again(folder: Path, whole: Path) -> tuple[int, int]:
    """Pictures that had to be encoded, and pictures in the gallery afterwards."""
    model = ColourModel()
    report = Gallery(folder, model).index([whole.parent / "pictures"])
    return model.encoded, report.total


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_repair_keeps_what_can_be_read(folder: Path, whole: Path, damage: str) -> None:
    DAMAGES[damage](folder)
    before = contents(folder)

    report = repair_gallery(folder)

    lost = FIRST - 1 if damage in _FIRST_LOST else IMAGES if damage in _ALL_LOST else 0
    assert report.lost == lost
    assert report.faults
    assert report.roots == (whole.parent / "pictures",)
    assert verify_gallery(folder, deep=True) == []
    assert index_again(folder, whole) == (lost, IMAGES), "only what was lost is read again"
    if lost == 0:
        assert prices(folder) == prices(whole)
    if report.aside is not None:
        for name, data in contents(report.aside).items():
            assert before[name] == data, "what was there is kept as it was"
    assert repair_gallery(folder).faults == ()


def test_nothing_is_done_to_a_whole_gallery(folder: Path) -> None:
    before = contents(folder)
    report = repair_gallery(folder)

    assert (report.faults, report.lost, report.aside) == ((), 0, None)
    after = contents(folder)
    assert {name: after[name] for name in before if name != "index.lock"} == {
        name: data for name, data in before.items() if name != "index.lock"
    }


@pytest.mark.parametrize("begin", [-4, 0])  # the length before a thumbnail, and its first bytes
def test_of_a_fragment_with_a_hole_the_other_rows_are_kept(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, begin: int
) -> None:
    monkeypatch.setattr("composir.gallery.salvage._SMALLEST", 1)
    thumbnail = Store(folder, 4).read(["thumbnail"])["thumbnail"][2].as_py()
    file = data_files(folder)[0]
    data = file.read_bytes()
    assert data.count(thumbnail) == 1
    place = data.index(thumbnail) + begin
    file.write_bytes(data[:place] + b"\xa5\xa5\xa5\xa5" + data[place + 4 :])

    report = repair_gallery(folder)

    assert report.lost is not None
    assert 1 <= report.lost < FIRST - 1
    assert report.images == IMAGES - report.lost, "the dropped one does not come back"
    assert index_again(folder, whole) == (report.lost, IMAGES)


def overwrite_vector(folder: Path, vector: list[float]) -> None:
    """Give a row another vector, and leave no file that has the right one."""
    dataset = lance.dataset(str(folder / TABLE))
    ids = dataset.to_table(columns=["id"])["id"].to_pylist()[:1]
    flat = pa.array(np.asarray(vector, np.float16))
    table = pa.table({"id": ids, "vector": pa.FixedSizeListArray.from_arrays(flat, 4)})
    dataset.merge_insert("id").when_matched_update_all().execute(table)
    store = Store(folder, 4)
    store.compact()
    store.clean()


def test_vectors_come_from_the_matrix_where_the_table_lost_them(folder: Path, whole: Path) -> None:
    overwrite_vector(folder, [float("nan")] * 4)
    store = Store(folder, 4)
    right = dict(zip(*open_gallery(whole).vectors(), strict=True))
    ids = store.read(["id"])["id"].to_pylist()
    np.save(matrix_path(store, folder), np.stack([right[i] for i in ids]).astype(np.float32))

    report = repair_gallery(folder)

    assert (report.lost, report.images) == (0, IMAGES)
    for name, vector in zip(*open_gallery(folder).vectors(), strict=True):
        np.testing.assert_allclose(vector, right[name], atol=1e-3)


def test_a_damaged_matrix_alone_costs_no_picture(folder: Path, whole: Path) -> None:
    cached = next((folder / "cache").iterdir())
    np.save(cached, np.roll(np.load(cached), 1, axis=0))

    report = repair_gallery(folder)

    assert (report.lost, len(report.faults)) == (0, 1)
    assert index_again(folder, whole) == (0, IMAGES)


def test_a_matrix_of_another_dataset_gives_no_vectors(folder: Path, whole: Path) -> None:
    overwrite_vector(folder, [0.0] * 4)
    store = Store(folder, 4)
    path = matrix_path(store, folder)
    stray = path.with_name(f"vectors-{store.version}-{len(store)}-{'0' * 16}.npy")
    np.save(stray, np.tile(np.asarray([0.6, 0.8, 0, 0], np.float32), (len(store), 1)))

    assert repair_gallery(folder).lost == 1
    assert index_again(folder, whole) == (1, IMAGES)


def test_an_older_version_gives_what_the_newest_lost(folder: Path, whole: Path) -> None:
    old = contents(folder)
    lance.dataset(str(folder / TABLE)).optimize.compact_files()
    new = [path for path in data_files(folder) if f"{TABLE}/data/{path.name}" not in old]
    new[0].unlink()

    report = repair_gallery(folder)

    assert report.lost == 0
    assert index_again(folder, whole) == (0, IMAGES)


def test_a_lost_manifest_is_made_again_from_the_table(folder: Path) -> None:
    told = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    repair_gallery(folder)

    again = json.loads((folder / MANIFEST).read_text())
    assert (again["bundle"], again["roots"]) == (told["bundle"], told["roots"])


def without_note(folder: Path) -> None:
    """As galleries were before their tables said which model made them."""
    table = lance.dataset(str(folder / TABLE)).to_table().replace_schema_metadata(None)
    shutil.rmtree(folder / TABLE)
    lance.write_dataset(table, str(folder / TABLE))


def test_where_nothing_tells_the_model_it_is_asked_for(folder: Path) -> None:
    without_note(folder)
    (folder / MANIFEST).unlink()

    with pytest.raises(GalleryError, match="--model"):
        repair_gallery(folder)
    assert repair_gallery(folder, ColourModel()).lost == 0
    assert open_gallery(folder).info().fingerprint == "colours-1"


def test_another_model_than_the_gallerys_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(BundleMismatchError, match="leave out --model"):
        repair_gallery(folder, ColourModel("colours-2"))


def test_a_sound_manifest_is_believed_before_the_note_in_the_table(folder: Path) -> None:
    table = lance.dataset(str(folder / TABLE)).to_table()
    note = identity_note(BundleIdentity("other", "other-1", 4))
    shutil.rmtree(folder / TABLE)
    lance.write_dataset(table.replace_schema_metadata(note), str(folder / TABLE))
    data_files(folder)[0].write_bytes(b"")

    repair_gallery(folder)
    assert open_gallery(folder).info().fingerprint == "colours-1"


def test_a_manifest_cut_short_still_tells_the_model(folder: Path) -> None:
    without_note(folder)
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text[: text.index('"created"')])

    repair_gallery(folder)
    assert open_gallery(folder).info().fingerprint == "colours-1"


def test_a_manifest_with_the_wrong_width_gives_way_to_the_table(folder: Path) -> None:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text.replace('"dimension": 4', '"dimension": 8'))

    report = repair_gallery(folder)
    assert (report.images, report.lost) == (IMAGES, 0)
    assert open_gallery(folder).info().dimension == 4


def test_a_gallery_that_is_being_indexed_is_left_alone(folder: Path) -> None:
    with index_lock(folder), pytest.raises(GalleryBusyError):
        repair_gallery(folder)


def test_what_is_no_gallery_is_not_repaired(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="no gallery"):
        repair_gallery(tmp_path / "nowhere")
    (tmp_path / "holidays").mkdir()
    with pytest.raises(GalleryError, match="not a gallery"):
        repair_gallery(tmp_path / "holidays")


class Killed(BaseException):
    """Stands for the process that ends."""


@pytest.mark.parametrize("step", range(4))
def test_a_repair_that_is_stopped_at_any_move_can_be_repeated(
    folder: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    DAMAGES["data cut short"](folder)
    moves = 0
    rename: Callable[[Path, Path], Path] = Path.rename

    def stopped(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves > step:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stopped)
        with pytest.raises(Killed):
            repair_gallery(folder)
    with pytest.raises(GalleryError, match="composir repair"):
        open_gallery(folder, ColourModel()).search(Query(text="red"))

    report: RepairReport = repair_gallery(folder)

    assert report.images == SECOND
    assert verify_gallery(folder, deep=True) == []
    assert index_again(folder, whole) == (FIRST - 1, IMAGES)
    assert not [path for path in folder.iterdir() if "repair" in path.name]


def test_a_column_on_its_way_is_mended(folder: Path) -> None:
    dataset = lance.dataset(str(folder / TABLE))
    dataset.add_columns({"price__widened": "cast(price as double)"})
    dataset.drop_columns(["price"])
    assert open_gallery(folder).info().columns == ()

    report = repair_gallery(folder)

    assert report.faults == ("the change of the column price was stopped half-way",)
    assert open_gallery(folder).info().columns == ("price",)
    assert set(prices(folder).values()) == {1.0, 2.0, 3.0, 4.0, 5.0, None}
