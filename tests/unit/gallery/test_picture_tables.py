"""Index runs over tables with a picture a row: Parquet, Arrow files, tables of paths."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_store
from composir.errors import DatasetError
from composir.gallery import Gallery
from composir.gallery.shards import merge_shards, parse_shard
from composir.gallery.shards.shard_run import index_shard
from composir.images.containers import holder, opened, picture_tables, read_picture
from composir.images.scan import FoundFile
from composir.types import IndexReport, Query
from tests.containers import pack, picture
from tests.fakes import ColourModel
from tests.floods import flat_png
from tests.unit.gallery.world import counts

COLOURS = ("red", "green", "blue", "yellow")
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": ["cat", "dog"], "_type": "ClassLabel"},
    "tags": [{"dtype": "string", "_type": "Value"}],
}


def images(colours: Sequence[str] = COLOURS) -> list[dict[str, Any]]:
    """As Hugging Face keeps them."""
    return [{"bytes": picture(colour), "path": f"{colour}.png"} for colour in colours]


def hugging_face(colours: Sequence[str] = COLOURS) -> pa.Table:
    count = len(colours)
    made = pa.table({"image": images(colours), "label": [0, 1, 0, -1][:count]})
    made = made.append_column("tags", pa.array([["x"], []] * (count // 2), pa.list_(pa.string())))
    features = {"info": {"features": FEATURES}}
    return made.replace_schema_metadata({"huggingface": json.dumps(features)})


class Tables:
    """A folder for tables, and a gallery."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tables"
        self.folder.mkdir()
        self.model = ColourModel()
        self.gallery = Gallery.create_or_open(folder / "gallery", self.model)

    def put(self, columns: Any, name: str = "0.parquet", **options: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        table = columns if isinstance(columns, pa.Table) else pa.table(columns)
        pq.write_table(table, path, **options)
        return path

    def run(self, *roots: Path, **options: Any) -> IndexReport:
        self.model.encoded = 0
        return self.gallery.index(roots or [self.folder], **options)

    def index(self, *roots: Path, **options: Any) -> tuple[int, int, int, int, int]:
        return counts(self.run(*roots, **options))

    def reasons(self, *roots: Path) -> dict[str, str]:
        told = self.run(*roots).failures
        return {str(one.path.relative_to(self.folder)): one.reason for one in told}

    def rows(self) -> dict[str, dict[str, Any]]:
        ids, _ = self.gallery.vectors()
        names = self.gallery.info().columns
        held = self.gallery.images(ids).values()
        below = {str(one.path.relative_to(self.folder)): one for one in held}
        return {at: {name: one.metadata[name] for name in names} for at, one in below.items()}


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


def test_bytes_are_called_by_their_row_and_their_format(tables: Tables) -> None:
    tables.put({"price": [1, 2], "picture": [picture("red"), picture("blue")]})

    assert tables.index() == (2, 0, 0, 0, 2)
    assert tables.rows() == {"0.parquet/0.png": {"price": 1}, "0.parquet/1.png": {"price": 2}}
    hit = tables.gallery.search(Query(text="red"), where="price < 2").hits[0]
    assert hit.path == tables.folder / "0.parquet" / "0.png"
    assert tables.gallery.image(hit.id).metadata["size"] == len(picture("red"))


def test_a_data_set_of_hugging_face_in_parquet(tables: Tables) -> None:
    tables.put(hugging_face(), "data/train-00000.parquet")
    tables.index()

    named = {Path(path).name: said for path, said in tables.rows().items()}
    assert "data/train-00000.parquet/0/red.png" in tables.rows()
    assert {name: said["label"] for name, said in named.items()} == {
        **{"red.png": "cat", "green.png": "dog", "blue.png": "cat"},
        "yellow.png": "-1",
    }
    assert named["red.png"]["tags"] == '["x"]'


def save_to_disk(folder: Path, table: pa.Table, rows_a_batch: int, *, is_file: bool) -> Path:
    folder.mkdir()
    path = folder / "data-00000-of-00001.arrow"
    make = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with make(str(path), table.schema) as writer:
        writer.write_table(table, rows_a_batch)
    (folder / "dataset_info.json").write_text("{}")
    (folder / "state.json").write_text("{}")
    return path


@pytest.mark.parametrize("is_file", [True, False])
def test_a_data_set_on_disk_is_arrow_files(tables: Tables, is_file: bool) -> None:
    path = save_to_disk(tables.folder / "train", hugging_face(), 3, is_file=is_file)
    report = tables.run()

    assert counts(report) == (4, 0, 0, 0, 4)
    assert report.other_kinds == {".json": 2}
    assert read_picture(path / "3" / "yellow.png") == picture("yellow")
    assert read_picture(path / "0" / "red.png") == picture("red")
    assert tables.index() == (0, 0, 4, 0, 4)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_rows_are_read_in_any_order(tables: Tables, rows: int) -> None:
    cells = [b"\x89PNG\r\n\x1a\n" + bytes([number % 256]) * 500 for number in range(1000)]
    path = tables.put({"image": cells}, row_group_size=rows)

    for number in (0, 999, 1, 500, 400, 999, 2, 700, 3):
        assert read_picture(path / f"{number}.png") == cells[number]
    for name in ("1000.png", "none.png", "-1.png"):
        with pytest.raises(FileNotFoundError, match=r"0\.parquet has no such row"):
            read_picture(path / name)


def test_an_unchanged_table_is_not_opened(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    tables.put(hugging_face())
    tables.index()
    monkeypatch.setattr(picture_tables, "_opened", None)

    assert tables.index() == (0, 0, 4, 0, 4)


def test_rows_that_move_keep_their_vectors(tables: Tables) -> None:
    tables.put(hugging_face())
    tables.index()
    tables.put(hugging_face(("white", *COLOURS[:3])))

    assert tables.index()[-1] == 4
    assert tables.model.encoded == 1
    assert set(tables.rows()) == {
        f"0.parquet/{row}/{colour}.png" for row, colour in enumerate(("white", *COLOURS[:3]))
    }


def test_a_table_without_pictures_is_none(tables: Tables, tmp_path: Path) -> None:
    (tables.folder / "red.png").write_bytes(picture("red"))
    facts = tables.put({"file": ["red.png"], "price": [3], "code": [b"\x01\x02"]})

    report = tables.run(metadata=facts)
    assert report.other_kinds == {".parquet": 1}
    assert tables.rows() == {"red.png": {"price": 3, "code": "\x01\x02"}}
    table = tables.put({"price": [3]}, "1.parquet")
    assert tables.reasons(table) == {
        "1.parquet": "no column of pictures, and none of paths; it has price"
    }


def test_columns_of_bytes_are_no_metadata(tables: Tables) -> None:
    mask = [{"bytes": b"mask", "path": None}]
    tables.put({"code": [b"\x01"], "image": [picture("red")], "mask": mask, "price": [5]})
    tables.index()

    assert tables.rows() == {"0.parquet/0.png": {"price": 5}}


def test_metadata_that_cannot_be_read_cost_no_picture(tables: Tables) -> None:
    beyond = pa.array([2**62], pa.timestamp("us"))
    tables.put({"when": beyond, "image": [picture("red")], "price": [5]})
    told = tables.reasons()

    assert "its metadata cannot be read" in told["0.parquet"]
    assert "column 'when'" in told["0.parquet"]
    assert tables.rows() == {"0.parquet/0.png": {}}
    tables.put({"image": [picture("red")], "price": [5]})
    assert tables.reasons() == {}
    assert tables.rows() == {"0.parquet/0.png": {"price": 5}}


@pytest.mark.parametrize(
    "said", ["{", '{"info": 1}', '{"info": {"features": {"tags": {"names": 5}}}}']
)
def test_what_hugging_face_says_may_be_nonsense(tables: Tables, said: str) -> None:
    tables.put(hugging_face().replace_schema_metadata({"huggingface": said}))
    tables.index()

    assert tables.rows()["0.parquet/1/green.png"] == {"label": 1, "tags": "[]"}


def test_cells_that_hold_no_picture(tables: Tables) -> None:
    cells = [picture("red"), None, b"", b"no picture", flat_png((40_000,) * 2, 8, 2)]
    tables.put({"image": cells})
    report = tables.run()

    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.other_kinds == {".null": 1}
    told = {one.path.name: one.reason for one in report.failures}
    assert set(told) == {"2", "3", "4.png"}
    assert "pixels" in told["4.png"]


def test_names_that_cells_tell_stay_in_the_table(tables: Tables) -> None:
    told = ["../../up.png", "a\\b\\c.png", "/", "..", "x\0y.png"]
    cells = [{"bytes": picture("red"), "path": path} for path in told]
    tables.put({"image": cells})
    tables.index()

    names = {"0/up.png", "1/c.png", "2.png", "3.png", "4.png"}
    assert set(tables.rows()) == {f"0.parquet/{name}" for name in names}


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("harm", ["cut", "empty", "scrambled", "text"])
def test_a_damaged_table_is_told_and_loses_nothing(tables: Tables, ending: str, harm: str) -> None:
    if ending == "parquet":
        path = tables.put(hugging_face())
    else:
        path = save_to_disk(tables.folder / "a", hugging_face(), 2, is_file=False)
    tables.put({"image": [picture("white")]}, "1.parquet")
    tables.index()
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut": whole[: len(whole) * 2 // 3],
            "empty": b"",
            "scrambled": whole[:40] + bytes(reversed(whole[40:])),
            "text": b"no table\n" * 9,
        }[harm]
    )
    told = tables.reasons()

    assert list(told) == [str(path.relative_to(tables.folder))]
    assert "no readable table" in next(iter(told.values()))
    assert len(tables.gallery) == 5
    path.write_bytes(whole)
    assert tables.reasons() == {}


@pytest.mark.parametrize("ending", [".tar", ".parquet", ".arrow"])
def test_whatever_is_damaged_is_an_error_in_words(tables: Tables, ending: str) -> None:
    path = tables.folder / f"0{ending}"
    if ending == ".tar":
        pack(path, {"red.png": picture("red"), "red.json": b'{"price": 5}'})
    elif ending == ".parquet":
        tables.put(hugging_face(), row_group_size=2)
    else:
        save_to_disk(tables.folder / "a", hugging_face(), 2, is_file=False).rename(path)
    whole, drawn, refused = path.read_bytes(), random.Random(0), 0
    for number in range(150):
        harmed = bytearray(whole)
        for _ in range(drawn.choice((1, 2, 20))):
            harmed[drawn.randrange(len(harmed))] = drawn.choice((0, 255, 97))
        path.write_bytes(harmed)
        container = opened(FoundFile(path, path, len(harmed), number))
        try:
            members = [one for one in container.members() if not one.fault]
            list(container.facts(members, lambda *_: None))
            for one in members:
                container.read(one)
        except (OSError, DatasetError):
            refused += 1
    assert 0 < refused < 150


def test_a_table_of_paths_reads_files(tables: Tables, tmp_path: Path) -> None:
    for colour in COLOURS:
        (tables.folder / f"{colour}.png").write_bytes(picture(colour))
    away = tmp_path / "white.png"
    away.write_bytes(picture("white"))
    cells = ["red.png", str(away), "../white.png", "none.png", None, ""]
    path = tables.put({"image": cells, "price": range(6)})
    report = tables.run(path)

    assert counts(report) == (2, 1, 0, 0, 3)
    assert report.other_kinds == {".null": 2}
    assert [one.reason for one in report.failures] == ["none.png: No such file or directory"]
    assert tables.rows()["0.parquet/0/red.png"] == {"image": "red.png", "price": 0}
    assert read_picture(path / "1" / "white.png") == picture("white")
    with pytest.raises(FileNotFoundError, match="no such row"):
        read_picture(path / "1" / "white.png", anywhere=False)
    assert tables.index(path) == (0, 0, 3, 0, 3)


def test_a_table_that_is_only_met_names_no_files_elsewhere(tables: Tables, tmp_path: Path) -> None:
    (tables.folder / "red.png").write_bytes(picture("red"))
    away = tmp_path / "white.png"
    away.write_bytes(picture("white"))
    paths = ["red.png", str(away), "../white.png", "memory://bucket/red.png"]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    tables.put({"image": pa.array([{"bytes": None, "path": path} for path in paths], kind)})
    report = tables.run(exclude=["/red.png"])

    assert list(tables.rows()) == ["0.parquet/0/red.png"]
    assert len(report.failures) == 3
    assert sum("leads out of" in one.reason for one in report.failures) == 2


def test_a_table_is_one_workers(tables: Tables) -> None:
    for number in range(4):
        tables.put(
            {"image": [picture(COLOURS[number]), b"no picture"]}, f"all.parquet/{number}.parquet"
        )
    parts = [parse_shard(f"{number}/3") for number in (1, 2, 3)]
    for part in parts:
        index_shard(tables.gallery.path, tables.model, [tables.folder], part)

    assert len(merge_shards(tables.gallery.path).failures) == 4
    assert tables.index() == (0, 0, 4, 0, 4)
    assert holder("/d/all.parquet/0.parquet/1/x.png") == "/d/all.parquet/0.parquet"


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    made = MemoryFileSystem()
    yield made
    made.rm("/bucket", recursive=True)
    object_store._opened.cache_clear()


def test_tables_of_a_store(tables: Tables, store: MemoryFileSystem) -> None:
    path = tables.put(hugging_face(), row_group_size=2)
    stream = save_to_disk(tables.folder / "a", hugging_face(), 2, is_file=False)
    for name in (path, stream):
        store.pipe_file(f"/bucket/set/{name.name}", name.read_bytes())
    report = tables.run(Path("memory://bucket/set"))

    assert counts(report) == (4, 4, 0, 0, 8)
    assert not report.failures
    assert counts(tables.run(Path("memory://bucket/set"))) == (0, 0, 8, 0, 8)


def test_a_table_of_addresses(tables: Tables, store: MemoryFileSystem) -> None:
    store.pipe_file("/bucket/red.png", picture("red"))
    reasons = {
        "memory://bucket/none.png": "no longer there",
        "memory://bucket/no/folder/none.png": "no longer there",
        "memory://b:hush@x/y.png": "credentials come from",
        "https://example.com/y.png": "is no object store",
        "nonsense://b/y.png": "cannot be opened",
    }
    path = tables.put({"image": ["memory://bucket/red.png", *reasons]})
    told = [one.reason for one in tables.run(path).failures]

    assert list(tables.rows()) == ["0.parquet/0/red.png"]
    assert len(told) == len(reasons)
    assert all(any(reason in one for one in told) for reason in reasons.values())
    with pytest.raises(OSError, match="which only an index run asks"):
        read_picture(path / "0" / "red.png")
