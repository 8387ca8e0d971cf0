"""`composir index` over files that hold pictures, as people call it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.cli import models
from tests.containers import pack, picture
from tests.e2e.commands import composir, paint_all
from tests.fakes import ColourModel


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COMPOSIR_GALLERY", str(tmp_path / "g"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    """An object store, empty again afterwards."""
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def done(*words: str | Path) -> dict[str, Any]:
    result = composir(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def changes(report: Mapping[str, Any]) -> list[int]:
    return [report[name] for name in ("added", "reused", "unchanged", "dropped", "total")]


def make_shards() -> None:
    for number, colours in enumerate((("red", "green"), ("blue", "yellow"))):
        members: dict[str, bytes] = {}
        for price, colour in enumerate(colours, 10 * number):
            members[f"goods/{colour}.png"] = picture(colour)
            members[f"goods/{colour}.json"] = json.dumps({"price": price}).encode()
            members[f"goods/{colour}.txt"] = f"a {colour} thing\n".encode()
        pack(Path("shards", f"{number:04}.tar"), members)


def test_tar_shards_are_indexed_filtered_and_searched() -> None:
    make_shards()

    assert changes(done("index", "shards")) == [4, 0, 0, 0, 4]
    assert changes(done("index", "shards")) == [0, 0, 4, 0, 4]
    hits = done("search", "red", "--where", "price < 5 AND txt LIKE 'a %'")["hits"]
    red = Path("shards", "0000.tar", "goods", "red.png").absolute()
    assert [Path(hit["path"]).name for hit in hits] == ["red.png", "green.png"]
    assert hits[0]["path"] == str(red)
    assert (hits[0]["metadata"]["price"], hits[0]["metadata"]["txt"]) == (0, "a red thing")
    like_it = done("search", "--image", red, "--include-reference", "-k", "1")["hits"]
    assert [hit["path"] for hit in like_it] == [str(red)]


def test_a_table_of_pictures_is_indexed_filtered_and_searched() -> None:
    colours = ("red", "green", "blue")
    pictures = [{"bytes": picture(one), "path": f"{one}.png"} for one in colours]
    Path("set").mkdir()
    pq.write_table(pa.table({"image": pictures, "price": [1, 2, 3]}), "set/train.parquet")

    assert changes(done("index", "set")) == [3, 0, 0, 0, 3]
    assert changes(done("index", "set")) == [0, 0, 3, 0, 3]
    hits = done("search", "red", "--where", "price < 3")["hits"]
    red = Path("set", "train.parquet", "0", "red.png").absolute()
    assert [hit["path"] for hit in hits][:1] == [str(red)]
    assert [hit["metadata"]["price"] for hit in hits] == [1, 2]
    like_it = done("search", "--image", red, "--include-reference", "-k", "1")["hits"]
    assert [hit["path"] for hit in like_it] == [str(red)]


def test_a_table_of_paths_is_indexed_where_it_is_named() -> None:
    paint_all(Path("pictures"))
    rows = [{"file": "pictures/red.png", "season": "Winter"}, {"file": "pictures/blue.png"}]
    pq.write_table(pa.Table.from_pylist(rows), "list.parquet")

    assert changes(done("index", "list.parquet")) == [2, 0, 0, 0, 2]
    hits = done("search", "red", "--where", "season = 'Winter'")["hits"]
    assert [Path(hit["path"]).name for hit in hits] == ["red.png"]
    assert hits[0]["metadata"]["file"] == "pictures/red.png"
    assert composir("info", "--failures").exit_code == 0


def test_one_shard_goes_and_another_is_forgotten() -> None:
    make_shards()
    done("index", "shards")
    Path("shards", "0001.tar").unlink()

    assert changes(done("index", "shards")) == [0, 0, 2, 2, 2]
    forgotten = composir("forget", "shards/0000.tar/goods/red.png", "--yes")
    assert forgotten.exit_code == 0, forgotten.output
    assert done("info")["images"] == 1
    hits = done("search", "green", "--where", "price = 1")["hits"]
    assert [Path(hit["path"]).name for hit in hits] == ["green.png"]


def test_workers_share_shards_out() -> None:
    make_shards()
    told = [done("index", "shards", "--shard", f"{number}/3") for number in (1, 2, 3)]

    assert sum(one["total"] for one in told) == 4
    assert {one["total"] for one in told} <= {0, 2, 4}  # a tar is one worker's
    assert done("merge", "g")["total"] == 4
    assert changes(done("index", "shards")) == [0, 0, 4, 0, 4]
    hits = done("search", "blue", "--where", "price >= 10")["hits"]
    assert [Path(hit["path"]).name for hit in hits][:1] == ["blue.png"]


def test_a_shard_that_is_cut_short_is_told_and_the_rest_indexed() -> None:
    make_shards()
    whole = Path("shards", "0001.tar").read_bytes()
    Path("shards", "0001.tar").write_bytes(whole[:2048])
    result = composir("index", "shards")

    assert result.exit_code == 0, result.output
    assert "3 pictures in" in result.stdout
    assert "0001.tar: " in result.stdout
    assert "cut short" in result.stdout
    Path("shards", "0001.tar").write_bytes(whole)
    assert done("index", "shards")["total"] == 4


def test_braces_in_quotes_stand_for_many_shards() -> None:
    make_shards()
    pack(Path("shards", "0002.tar"), {"white.png": picture("white")})

    assert changes(done("index", "shards/{0000..0001}.tar")) == [4, 0, 0, 0, 4]
    more = done("index", "shards/0002.tar", "{shards,./shards}/000{1,0}.tar")
    assert changes(more) == [1, 0, 4, 0, 5]
    told = done("index", "shards/{0000..0002}.tar", "--shard", "1/1", "--gallery", "h")
    assert told["total"] == 5


def test_a_name_with_braces_of_its_own_is_that_file() -> None:
    make_shards()
    pack(Path("shards", "{0000,0001}.tar"), {"white.png": picture("white")})

    assert changes(done("index", "shards/{0000,0001}.tar")) == [1, 0, 0, 0, 1]


def test_of_braces_it_is_told_what_is_missing() -> None:
    make_shards()
    result = composir("index", "shards/{0000..0009}.tar")

    assert result.exit_code == 2
    words = " ".join(result.stderr.replace("│", " ").split())
    assert "'shards/{0000..0009}.tar' stands for 10 names; of these 8 do not exist" in words
    assert "shards/0002.tar, shards/0003.tar, " in words
    assert "shards/0006.tar, ..." in words
    assert not Path("g").exists()
    too_many = composir("index", "shards/{1..1000000}.tar")
    assert too_many.exit_code == 2
    assert "more than 100,000 names" in " ".join(too_many.stderr.replace("│", " ").split())


def test_braces_in_addresses_stand_for_many_too(store: MemoryFileSystem) -> None:
    make_shards()
    for path in Path("shards").iterdir():
        store.pipe(f"/bucket/set/{path.name}", path.read_bytes())
    store.pipe("/bucket/more/white.png", picture("white"))
    store.pipe("/bucket/{0,1}/yellow.png", picture("yellow"))

    assert changes(done("index", "memory://bucket/set/{0000..0001}.tar")) == [4, 0, 0, 0, 4]
    assert changes(done("index", "memory://bucket/{set,more}/*", "--gallery", "h"))[0] == 5
    own = changes(done("index", "memory://bucket/{0,1}", "--gallery", "own"))
    assert own == [1, 0, 0, 0, 1]
    missing = composir("index", "memory://bucket/set/{0000..0002}.tar", "--gallery", "m")
    assert missing.exit_code != 0
    assert "memory://bucket/set/0002.tar" in missing.stderr
