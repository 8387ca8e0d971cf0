from __future__ import annotations

import datetime
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from composir.errors import DatasetError
from composir.gallery.rows import OWN_COLUMNS
from composir.gallery.sidecar import RESERVED_COLUMNS, SidecarTable, read_metadata


def table(folder: Path, text: str, name: str = "meta.csv", encoding: str = "utf-8") -> SidecarTable:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return read_metadata(path)


def row(sidecar: SidecarTable, name: str = "a.jpg", root: str = "/photos") -> dict[str, object]:
    return dict(sidecar.for_file(Path(root, name), Path(root)))


def moment(microsecond: int = 0) -> datetime.datetime:
    return datetime.datetime(2020, 9, 13, 12, 26, 40, microsecond)


class TestFormats:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_csv(self, tmp_path: Path, delimiter: str, encoding: str) -> None:
        lines = ["file|title|price", 'a.jpg|"Lamp|, brass"|12', "", "b.jpg|Größe|7"]
        text = "\r\n".join(lines).replace("|", delimiter)
        sidecar = table(tmp_path, text, encoding=encoding)
        assert row(sidecar) == {"title": f"Lamp{delimiter}, brass", "price": 12}
        assert row(sidecar, "b.jpg") == {"title": "Größe", "price": 7}
        assert len(sidecar) == 2

    def test_jsonl(self, tmp_path: Path) -> None:
        lines = [
            {"id": 7, "file": "a.jpg", "captions": ["one", "zwö"], "year": 2020},
            {"id": 8, "file": "b.jpg", "new": True},
        ]
        text = "\n".join(json.dumps(line) for line in lines) + "\n\n"
        sidecar = table(tmp_path, text, "gallery.jsonl")
        assert row(sidecar) == {
            "meta_id": 7, "captions": '["one", "zwö"]', "year": 2020, "new": None,
        }  # fmt: skip
        assert row(sidecar, "b.jpg")["new"] is True

    def test_parquet(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        columns = {
            "filename": ["a.jpg", "b.jpg"],
            "price": [Decimal("1.5"), None],
            "day": [datetime.date(2020, 1, 2), None],
            "tags": [["x"], []],
            "stock": [3, None],
        }
        pq.write_table(pa.table(columns), tmp_path / "meta.parquet")
        sidecar = read_metadata(tmp_path / "meta.parquet")
        day = datetime.date(2020, 1, 2)
        assert row(sidecar) == {"price": 1.5, "day": day, "tags": '["x"]', "stock": 3}
        kinds = {"price": float, "day": datetime.date, "tags": str, "stock": int}
        assert sidecar.columns == kinds

    @pytest.mark.parametrize(
        ("kind", "value", "taken"),
        [
            (("timestamp", "ns"), 1_600_000_000_123_456_789, moment(123456)),
            (("timestamp", "ns", "UTC"), 1_600_000_000_000_000_001, moment()),
            (("timestamp", "ns", "Asia/Tokyo"), 1_600_000_000_000_000_001, moment()),
            (("timestamp", "ms"), 1_600_000_000_000, moment()),
            (("time64", "ns"), 1_000_000_001, "00:00:01"),
            (("duration", "ns"), 86_400_000_000_001, '"1 day, 0:00:00"'),
        ],
    )
    def test_times_finer_than_microseconds(
        self, tmp_path: Path, kind: tuple[str, ...], value: int, taken: object
    ) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        times = pa.array([value, None], getattr(pa, kind[0])(*kind[1:]))
        columns = {"file": ["a.jpg", "b.jpg"], "taken": times}
        pq.write_table(pa.table(columns), tmp_path / "m.parquet")
        sidecar = read_metadata(tmp_path / "m.parquet")
        assert row(sidecar) == {"taken": taken}
        assert row(sidecar, "b.jpg") == {"taken": None}

    def test_bytes_of_a_name_that_is_no_text_stay(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, r'{"file": "caf\udce9.jpg", "n": 1}', "meta.jsonl")
        assert row(sidecar, os.fsdecode(b"caf\xe9.jpg")) == {"n": 1}

    def test_half_a_surrogate_pair_is_replaced(self, tmp_path: Path) -> None:
        text = (
            r'{"file": "a.jpg", "s": "x\ud83d", "n": [{"\udc00": "\uDBFF"}], "ok": "\ud83d\ude00"}'
        )
        values = row(table(tmp_path, text, "m.jsonl"))
        assert values == {"s": "x\ufffd", "n": '[{"\ufffd": "\ufffd"}]', "ok": "\U0001f600"}
        assert json.dumps(values, ensure_ascii=False).encode("utf-8")


class TestTypes:
    @pytest.mark.parametrize(
        ("cells", "kind", "values"),
        [
            (["1", "-2", ""], int, [1, -2, None]),
            (["1", "2.5", "1e3"], float, [1.0, 2.5, 1000.0]),
            (["true", "False", ""], bool, [True, False, None]),
            (["true", "1", ""], str, ["true", "1", None]),
            (["007", "12", "13"], str, ["007", "12", "13"]),
            (["99999999999999999999", "1", "2"], str, ["99999999999999999999", "1", "2"]),
            (["", "", ""], str, [None, None, None]),
            (["nan", "1", "2"], str, ["nan", "1", "2"]),
            ([" padded ", "x", "."], str, ["padded", "x", "."]),
        ],
    )
    def test_csv_cells(
        self, tmp_path: Path, cells: list[str], kind: type, values: list[object]
    ) -> None:
        lines = [f"{number}.jpg,{cell}" for number, cell in enumerate(cells)]
        sidecar = table(tmp_path, "\n".join(["file,x", *lines]))
        assert sidecar.columns == {"x": kind}
        assert [row(sidecar, f"{number}.jpg")["x"] for number in range(3)] == values

    @pytest.mark.parametrize(
        ("cells", "kind", "values"),
        [
            ("[1, 2.5]", float, [1.0, 2.5]),
            ('[1, "two"]', str, ["1", "two"]),
            ("[true, 1]", str, ["true", "1"]),
            ("[NaN, 1.0]", float, [None, 1.0]),
            ("[18446744073709551616, 1.5]", str, ["18446744073709551616", "1.5"]),
            ('[{"a": 1}, ""]', str, ['{"a": 1}', None]),
        ],
    )
    def test_json_values(
        self, tmp_path: Path, cells: str, kind: type, values: list[object]
    ) -> None:
        objects = [{"file": f"{n}.jpg", "x": x} for n, x in enumerate(json.loads(cells))]
        sidecar = table(tmp_path, "\n".join(map(json.dumps, objects)), "meta.jsonl")
        assert sidecar.columns == {"x": kind}
        assert [row(sidecar, f"{number}.jpg")["x"] for number in range(2)] == values


class TestColumns:
    def test_names_are_fit_for_filters(self, tmp_path: Path) -> None:
        text = "file,Price (EUR),id,Цвет,2nd,width,in-stock?\na.jpg,1,x,red,3,4,5"
        names = list(table(tmp_path, text).columns)
        assert names == ["price_eur", "meta_id", "цвет", "meta_2nd", "meta_width", "in_stock"]

    def test_every_column_of_the_gallery_is_reserved(self) -> None:
        assert set(OWN_COLUMNS) <= RESERVED_COLUMNS

    @pytest.mark.parametrize(
        ("header", "message"),
        [
            ("file,Price,price", "'Price' and 'price' would both be called 'price'"),
            ("file,x,x", "two columns are called 'x'"),
            ("file,x,", "a column has no name"),
            ("title,colour,size", "does not say which picture a row is for.*title, colour, size"),
        ],
    )
    def test_unusable_headers(self, tmp_path: Path, header: str, message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            table(tmp_path, f"{header}\na.jpg,1,2")

    def test_the_key_column_is_chosen_in_a_fixed_order(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "ID,name,File\n7,Lamp,a.jpg")
        assert sidecar.key_column == "File"
        assert row(sidecar) == {"meta_id": 7, "name": "Lamp"}


class TestMatching:
    def test_by_absolute_path_then_relative_path_then_name(self, tmp_path: Path) -> None:
        text = "path,n\n/photos/x/a.jpg,1\nx/b.jpg,2\nc.jpg,3\n"
        sidecar = table(tmp_path, text)
        assert row(sidecar, "x/a.jpg") == {"n": 1}
        assert row(sidecar, "x/b.jpg") == {"n": 2}
        assert row(sidecar, "x/c.jpg") == {"n": 3}
        assert row(sidecar, "x/d.jpg") == {"n": None}
        assert len(sidecar.unmatched()) == 3
        for name in "abcd":
            sidecar.note(Path(f"/photos/x/{name}.jpg"), Path("/photos"))
        assert sidecar.unmatched() == ()

    def test_a_column_named_file_goes_before_others(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "path,id,file\nshelf 3,7,a.jpg\n")
        assert sidecar.key_column == "file"
        assert row(sidecar) == {"meta_path": "shelf 3", "meta_id": 7}

    def test_by_name_of_a_moved_file(self, tmp_path: Path) -> None:
        assert row(table(tmp_path, "file,n\nold/place/a.jpg,1")) == {"n": 1}

    def test_a_name_in_two_rows_matches_none(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "file,n\nx/a.jpg,1\ny/a.jpg,2")
        assert row(sidecar, "z/a.jpg") == {"n": None}
        assert row(sidecar, "y/a.jpg") == {"n": 2}

    def test_a_row_with_a_file_of_its_own_is_not_lent_to_namesakes(self, tmp_path: Path) -> None:
        photos = tmp_path / "photos"
        (photos / "x").mkdir(parents=True)
        (photos / "x/a.jpg").touch()
        sidecar = table(tmp_path, "file,n\nx/a.jpg,1")
        assert sidecar.for_file(photos / "y/a.jpg", photos) == {"n": None}
        assert sidecar.for_file(photos / "x/a.jpg", photos) == {"n": 1}

    def test_by_id_without_ending(self, tmp_path: Path) -> None:
        assert row(table(tmp_path, "id,n\n10815824,1"), "10815824.jpg") == {"n": 1}

    def test_a_single_file_as_root(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "file,n\na.jpg,1")
        assert sidecar.for_file(Path("/photos/a.jpg"), Path("/photos/a.jpg")) == {"n": 1}

    @pytest.mark.parametrize("key", ["./x/é.jpg", "x\\é.jpg", "x/e\u0301.jpg", " x/é.jpg "])
    def test_spellings_of_one_path(self, tmp_path: Path, key: str) -> None:
        assert row(table(tmp_path, f"file,n\n{key},1"), "x/é.jpg") == {"n": 1}

    def test_rows_for_no_file_are_counted(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "file,n\na.jpg,1\ngone.jpg,2\n")
        assert sidecar.unmatched() == ("a.jpg", "gone.jpg")
        sidecar.note(Path("/photos/a.jpg"), Path("/photos"))
        assert sidecar.unmatched() == ("gone.jpg",)


class TestBadFiles:
    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("m.csv", "", "m.csv is empty"),
            ("m.csv", "file,n\na.jpg,1\nb.jpg\n", r"m.csv:3: 1 cells, but the header names 2"),
            ("m.csv", "file,n\n\na.jpg,1\na.jpg,2", r"m.csv:4: 'a.jpg' is named a second time .*3"),
            ("m.csv", "file,n\n,2", r"m.csv:2: no picture is named in column 'file'"),
            ("m.csv", 'file,n\na.jpg,"x\n\ny"\nb.jpg,"z', r"m.csv:5: not a row of CSV"),
            ("m.jsonl", '{"file": "a"}\n{"file": ', r"m.jsonl:2: not JSON"),
            ("m.jsonl", "[1]\n", r"m.jsonl:1: must be a JSON object"),
            ("m.jsonl", '{"file": ["a"]}\n', r"m.jsonl:1: no picture is named"),
            ("m.jsonl", "\n\n", "m.jsonl is empty"),
            ("m.parquet", "not parquet", "m.parquet is no readable Parquet table"),
            ("m.xlsx", "x", "must end in one of .csv, .tsv, .jsonl"),
        ],
    )
    def test_say_where_and_what(self, tmp_path: Path, name: str, text: str, message: str) -> None:
        with pytest.raises(DatasetError, match=message):
            table(tmp_path, text, name)

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("1" * 5000, "a whole number of more than 4,300 digits; write it as a string"),
            ("[" * 100_000 + "]" * 100_000, "nested more than 100 deep"),
            ("[" * 900 + "]" * 900, "nested more than 100 deep"),
            ('{"a":' * 101 + "1" + "}" * 101, "nested more than 100 deep"),
        ],
        ids=["digits", "deep", "just readable", "objects"],
    )
    def test_values_beyond_what_can_be_read(self, tmp_path: Path, value: str, message: str) -> None:
        text = f'{{"file": "a.jpg"}}\n{{"file": "b.jpg", "n": {value}}}\n'
        with pytest.raises(DatasetError, match=f"m.jsonl:2: .*{message}"):
            table(tmp_path, text, "m.jsonl")

    def test_many_brackets_side_by_side_are_not_deep(self, tmp_path: Path) -> None:
        text = json.dumps({"file": "a.jpg", "n": [[number] for number in range(300)]})
        assert str(row(table(tmp_path, text, "m.jsonl"))["n"]).startswith("[[0], [1]")

    @pytest.mark.parametrize(
        ("kind", "value"), [("date32", 2**30), ("timestamp", 2**60), ("date32", -(2**30))]
    )
    def test_times_beyond_the_calendar(self, tmp_path: Path, kind: str, value: int) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        times = pa.array([0, value], pa.date32() if kind == "date32" else pa.timestamp("us"))
        columns = {"file": ["a.jpg", "b.jpg"], "taken": times}
        pq.write_table(pa.table(columns), tmp_path / "m.parquet")
        message = rf"m.parquet:2: the value in column 'taken' cannot be read as {kind}"
        with pytest.raises(DatasetError, match=message):
            read_metadata(tmp_path / "m.parquet")

    def test_an_unknown_time_zone(self, tmp_path: Path) -> None:
        pa = pytest.importorskip("pyarrow")
        pq = pytest.importorskip("pyarrow.parquet")
        times = pa.array([1], pa.timestamp("ns", "Nowhere/Land"))
        pq.write_table(pa.table({"file": ["a.jpg"], "taken": times}), tmp_path / "m.parquet")
        with pytest.raises(DatasetError, match=r"m.parquet:1: .*'taken' cannot be read"):
            read_metadata(tmp_path / "m.parquet")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError, match="No such file"):
            read_metadata(tmp_path / "meta.csv")

    @pytest.mark.parametrize(
        ("name", "text"), [("m.csv", "file,n\na.jpg,é"), ("m.jsonl", '{"file": "é"}')]
    )
    def test_another_encoding(self, tmp_path: Path, name: str, text: str) -> None:
        with pytest.raises(DatasetError, match="is not UTF-8 text"):
            table(tmp_path, text, name, encoding="latin-1")

    def test_a_header_alone_is_a_table_without_rows(self, tmp_path: Path) -> None:
        sidecar = table(tmp_path, "file,n\n")
        assert len(sidecar) == 0
        assert row(sidecar) == {"n": None}
