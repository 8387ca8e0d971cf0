"""Index runs over tar shards: what they hold, what has changed, and what is wrong with them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data import object_store
from composir.data.object_store import matching
from composir.data.remote_paths import RemotePath
from composir.errors import ObjectStoreError
from composir.gallery import Gallery
from composir.gallery.members import MemberScan
from composir.gallery.shards import merge_shards, parse_shard
from composir.gallery.shards.shard_run import index_shard
from composir.images.containers import container_of, holder, read_picture, tar_shards
from composir.types import IndexReport, Query
from tests.containers import pack, picture, tar
from tests.fakes import ColourModel
from tests.floods import flat_png
from tests.unit.gallery.world import counts

GOODS = {
    "a/red.png": picture("red"),
    "a/blue.png": picture("blue"),
    "b/green.png": picture("green"),
}


class Shards:
    """A folder with one tar of three pictures, and a gallery."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tar = folder / "shards", pack(folder / "shards" / "0.tar", GOODS)
        self.model = ColourModel()
        self.gallery = Gallery.create_or_open(folder / "gallery", self.model)

    def put(self, content: bytes | Mapping[str, bytes], name: str = "0.tar") -> None:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else tar(content))

    def run(self, **options: Any) -> IndexReport:
        self.model.encoded = 0
        return self.gallery.index([self.folder], **options)

    def index(self, **options: Any) -> tuple[int, int, int, int, int]:
        return counts(self.run(**options))

    def reasons(self, **options: Any) -> dict[str, str]:
        told = self.run(**options).failures
        return {str(one.path.relative_to(self.folder)): one.reason for one in told}

    def names(self) -> set[str]:
        ids, _ = self.gallery.vectors()
        held = self.gallery.images(ids).values()
        return {str(one.path.relative_to(self.folder)) for one in held}

    def metadata(self) -> dict[str, dict[str, Any]]:
        ids, _ = self.gallery.vectors()
        names = self.gallery.info().columns
        held = self.gallery.images(ids).values()
        return {one.path.name: {name: one.metadata[name] for name in names} for one in held}


@pytest.fixture
def shards(tmp_path: Path) -> Shards:
    return Shards(tmp_path)


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def test_a_tar_is_a_folder_of_pictures(shards: Shards) -> None:
    assert shards.index() == (3, 0, 0, 0, 3)
    assert shards.names() == {f"0.tar/{name}" for name in GOODS}
    asked = Query(text="red")
    assert shards.gallery.search(asked, where="folder = '0.tar/b'").searched == 1
    hit = shards.gallery.search(asked).hits[0]
    assert (hit.path, hit.unreachable) == (shards.tar / "a" / "red.png", False)


def test_a_tar_may_be_the_root(shards: Shards) -> None:
    assert counts(shards.gallery.index([shards.tar])) == (3, 0, 0, 0, 3)
    assert counts(shards.gallery.index([shards.tar])) == (0, 0, 3, 0, 3)
    assert shards.gallery.forget([shards.tar]).images == 3


def test_an_unchanged_tar_is_not_opened(shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    shards.index()
    monkeypatch.setattr(tar_shards, "open_found", None)

    assert shards.index() == (0, 0, 3, 0, 3)


def test_a_changed_tar_is_read_and_encodes_what_is_new(shards: Shards) -> None:
    shards.index()
    changed = dict(GOODS) | {"b/yellow.png": picture("yellow")}
    del changed["a/blue.png"]
    shards.put(changed)

    assert shards.index() == (1, 0, 2, 1, 3)
    assert shards.model.encoded == 1
    assert shards.names() == {f"0.tar/{name}" for name in changed}


def test_a_change_that_keeps_all_sizes_is_seen(shards: Shards) -> None:
    shards.put({"a.png": picture("red")})
    shards.index()
    before = shards.tar.stat()
    shards.put({"a.png": picture("blue")})
    os.utime(shards.tar, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert shards.tar.stat().st_size == before.st_size
    shards.index()

    assert shards.model.encoded == 1


def test_a_tar_that_moves_takes_its_pictures_along(shards: Shards) -> None:
    shards.index()
    shards.tar.rename(shards.folder / "other.tar")

    assert shards.index() == (0, 3, 0, 0, 3)
    assert shards.names() == {f"other.tar/{name}" for name in GOODS}


def test_patterns_reach_into_a_tar(shards: Shards) -> None:
    shards.index(exclude=["b", "0.tar/a/blue.png"])

    assert shards.names() == {"0.tar/a/red.png"}


def test_what_else_lies_in_a_tar_is_counted(shards: Shards) -> None:
    shards.put({**GOODS, "a.npy": b"1", "notes.txt": b"words", ".hidden.png": b"", "x.tar": b"2"})
    report = shards.run()

    assert report.other_kinds == {".npy": 1, ".tar": 1}
    assert not report.failures


def test_a_folder_that_is_called_a_tar_is_a_folder(shards: Shards) -> None:
    (shards.folder / "1.tar").mkdir()
    (shards.folder / "1.tar" / "yellow.png").write_bytes(picture("yellow"))
    pack(shards.folder / "1.tar" / "2.tar", {"white.png": picture("white")})

    assert shards.index() == (5, 0, 0, 0, 5)
    assert {"1.tar/yellow.png", "1.tar/2.tar/white.png"} < shards.names()
    inner = shards.folder / "1.tar" / "2.tar"
    assert container_of(inner / "white.png") == inner
    assert container_of(inner.with_name("yellow.png")) is None


def test_names_are_made_plain(shards: Shards) -> None:
    odd = {"./a/red.png": "red", "/b//blue.png": "blue", "naïve 你 #?.png": "green"}
    shards.put({name: picture(colour) for name, colour in odd.items()})
    shards.index()

    assert shards.names() == {"0.tar/a/red.png", "0.tar/b/blue.png", "0.tar/naïve 你 #?.png"}


def test_bytes_that_are_no_text_in_a_name(shards: Shards) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    shards.put({name: picture("red")})

    assert shards.index() == (1, 0, 0, 0, 1)
    assert shards.index() == (0, 0, 1, 0, 1)
    assert read_picture(shards.tar / name) == picture("red")


def test_names_that_are_told_and_left_out(shards: Shards) -> None:
    members: list[tuple[str | tarfile.TarInfo, bytes]] = [
        *GOODS.items(),
        ("../up.png", picture("white")),
        ("a/red.png", picture("yellow")),
        (entry("link.png", tarfile.SYMTYPE, "a/red.png"), b""),
        (entry("pipe.png", tarfile.FIFOTYPE), b""),
        (entry("folder.png", tarfile.DIRTYPE), b""),
    ]
    shards.put(tar(members))
    told = shards.reasons()

    assert shards.names() == {f"0.tar/{name}" for name in GOODS}
    assert told == {
        "0.tar/'../up.png'": "a name with `..`, a zero byte or more than 4,096 characters",
        "0.tar/'a/red.png at byte 4608'": "a name that came before; the first is taken",
        "0.tar/'link.png'": "no regular file in the tar",
        "0.tar/'pipe.png'": "no regular file in the tar",
    }
    assert shards.reasons() == told  # from what was noted
    assert shards.gallery.search(Query(text="red")).hits[0].path == shards.tar / "a" / "red.png"


def test_members_that_are_no_pictures_are_failures_of_their_own(shards: Shards) -> None:
    shards.put(
        {
            **GOODS,
            "bad.png": b"no picture",
            "empty.png": b"",
            "bomb.png": flat_png((40_000, 40_000), 8, 2),
        }
    )
    told = shards.reasons()

    assert set(told) == {"0.tar/bad.png", "0.tar/empty.png", "0.tar/bomb.png"}
    assert "pixels" in told["0.tar/bomb.png"]
    assert len(shards.gallery) == 3
    shards.model.encoded = 0
    assert shards.reasons() == told


def cut(content: bytes) -> bytes:
    return content[: content.rindex(b"green.png") + 600]


def unmarked(content: bytes) -> bytes:
    return content.rstrip(b"\0").ljust(-(-len(content.rstrip(b"\0")) // 512) * 512, b"\0")


def scrambled(content: bytes) -> bytes:
    place = content.index(b"b/green.png")
    return content[:place] + b"\x7f" * 512 + content[place + 512 :]


def endless(content: bytes) -> bytes:
    """The last entry has a size below 0, in the form for large numbers."""
    place = content.index(b"b/green.png")
    head = bytearray(content[place : place + 512])
    head[124:136] = (2**96 - 512).to_bytes(12, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return content[:place] + bytes(head) + content[place + 512 :]


def flooded(content: bytes) -> bytes:
    """The last entry says of itself that its name takes 64 GB."""
    made = entry("name", tarfile.GNUTYPE_LONGNAME)
    made.size = 1 << 36
    place = content.index(b"b/green.png")
    return content[:place] + made.tobuf(tarfile.GNU_FORMAT) + content[place:]


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (cut, "it is cut short within 'b/green.png', at byte"),
        (unmarked, "without an end mark"),
        (scrambled, "it is no tar, or broken, at byte"),
        (endless, "it is no tar, or broken, at byte"),
        (flooded, "a header of 68,719,476,736 bytes"),
    ],
)
def test_a_broken_tar_is_told_and_loses_nothing(
    shards: Shards, harm: Callable[[bytes], bytes], told: str
) -> None:
    shards.index()
    whole = shards.tar.read_bytes()
    shards.put({"more.png": picture("yellow")}, "1.tar")
    shards.put(harm(whole))
    reasons = shards.reasons()

    assert set(reasons) == {"0.tar"}
    assert told in reasons["0.tar"]
    assert shards.names() == {*(f"0.tar/{name}" for name in GOODS), "1.tar/more.png"}
    assert shards.index()[-1] == 4
    shards.put(whole)
    assert shards.reasons() == {}
    assert shards.index() == (0, 0, 4, 0, 4)


@pytest.mark.parametrize("content", [b"", b"no tar", bytes(100), b"ab" * 2048])
def test_what_is_no_tar_is_told(shards: Shards, content: bytes) -> None:
    shards.put(content, "1.tar")

    assert list(shards.reasons()) == ["1.tar"]
    assert len(shards.gallery) == 3


def test_an_empty_tar_is_one(shards: Shards) -> None:
    shards.put(tar({}), "1.tar")

    assert shards.reasons() == {}


def test_what_lies_beside_a_picture_becomes_metadata(shards: Shards) -> None:
    facts = {"price": 5, "tags": ["x", "y"], "half": "\ud800"}
    beside_them = {"a/red.json": json.dumps(facts).encode(), "b/green.txt": b"a green one\n"}
    beside_them |= {"b/green.cls": b"7"}
    shards.put({**beside_them, **GOODS})
    shards.index()

    assert shards.metadata() == {
        "red.png": {"price": 5, "tags": '["x", "y"]', "half": "\ufffd", "txt": None, "cls": None},
        "blue.png": dict.fromkeys(("price", "tags", "half", "txt", "cls")),
        "green.png": dict.fromkeys(("price", "tags", "half")) | {"txt": "a green one", "cls": "7"},
    }


@pytest.mark.parametrize("said", [b"{", b"[1]", b"\xff", b"1" * 5000, b"[" * 50_000])
def test_metadata_that_cannot_be_read_are_told(shards: Shards, said: bytes) -> None:
    shards.put({**GOODS, "a/red.json": said, "a/blue.json": b'{"price": 1}'})

    assert list(shards.reasons()) == ["0.tar/a/red.json"]
    assert shards.metadata()["blue.png"] == {"price": 1}


def test_columns_that_cannot_be_told_apart_are_left_out(shards: Shards) -> None:
    shards.put({**GOODS, "a/red.json": b'{"Price": 1, "price": 2}'})
    told = shards.reasons()

    assert "the metadata in it are left out" in told["0.tar"]
    assert len(shards.gallery) == 3


def test_metadata_come_with_the_next_run_where_one_was_killed(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    shards.put({**GOODS, "a/red.json": b'{"price": 5}'})
    with monkeypatch.context() as patch:
        patch.setattr(MemberScan, "bring_in", killed)
        with pytest.raises(KeyboardInterrupt):
            shards.index()
    assert shards.index() == (0, 0, 3, 0, 3)

    assert shards.metadata()["red.png"] == {"price": 5}


def test_metadata_come_back_with_pictures_that_were_forgotten(shards: Shards) -> None:
    shards.put({**GOODS, "a/red.json": b'{"price": 5}'})
    shards.index()
    assert shards.gallery.forget([shards.tar / "a" / "red.png"]).images == 1
    shards.index()

    assert shards.metadata()["red.png"] == {"price": 5}


def test_a_metadata_file_takes_the_place_of_what_lies_in_tars(
    shards: Shards, tmp_path: Path
) -> None:
    shards.put({**GOODS, "a/red.json": b'{"price": 5}'})
    table = tmp_path / "facts.csv"
    table.write_text("file,size_of_it\n0.tar/a/red.png,large\n")
    shards.index(metadata=table)
    shards.index()

    assert shards.metadata()["red.png"] == {"size_of_it": "large"}


def test_a_note_that_is_damaged_is_told_and_made_anew(shards: Shards) -> None:
    shards.index()
    for note in (shards.gallery.path / "cache" / "contents").glob("*.jsonl"):
        note.write_bytes(note.read_bytes()[:-5] + b"\n")

    assert "is damaged" in shards.reasons()["0.tar"]
    assert shards.index() == (0, 0, 3, 0, 3)


def test_a_picture_is_read_again_by_its_address(shards: Shards) -> None:
    shards.index()
    red = shards.tar / "a" / "red.png"

    assert read_picture(red) == GOODS["a/red.png"]
    like_it = shards.gallery.search(Query(image=red), include_reference=True)
    assert like_it.hits[0].path == red
    assert shards.gallery.search(Query(image=red)).hits[0].path != red
    with pytest.raises(FileNotFoundError, match=r"0\.tar has no such picture"):
        read_picture(shards.tar / "none.png")


def test_a_tar_that_was_deleted_takes_its_hits_along(shards: Shards) -> None:
    shards.put({"more.png": picture("yellow")}, "1.tar")
    shards.index()
    shards.tar.unlink()
    found = shards.gallery.search(Query(text="red"))

    assert [hit.path.name for hit in found.hits] == ["more.png"]
    assert found.absent.left_out == 3


def test_a_tar_is_one_workers(shards: Shards) -> None:
    for number in range(1, 6):
        shards.put(
            {**GOODS, "bad.png": b"no picture", f"{number}.png": picture("white")}, f"{number}.tar"
        )
    parts = [parse_shard(f"{number}/3") for number in (1, 2, 3)]
    place = shards.gallery.path
    told = [index_shard(place, shards.model, [shards.folder], part) for part in parts]
    again = [index_shard(place, shards.model, [shards.folder], part) for part in parts]

    assert sum(one.added for one in told) + sum(one.reused for one in told) == 23
    assert sum(one.unchanged for one in again) == 23
    merged = merge_shards(place)
    assert len(merged.failures) == 5
    assert shards.index() == (0, 0, 23, 0, 23)


def test_failures_in_a_tar_belong_to_its_shard() -> None:
    assert holder("/d/0.tar/a/red.png") == "/d/0.tar"
    assert holder("/d/0.tar/a.tar/red.png") == "/d/0.tar"
    assert holder("/d/0.tar") == "/d/0.tar"
    assert holder("/d/tar/red.png") == "/d/tar/red.png"


class Bucket:
    """Two tars in a store, and what was asked of it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.store, self.asked = MemoryFileSystem(), list[str]()
        self.root = Path("memory://bucket/shards")
        for number in range(2):
            said = {f"{name[:-4]}.json": b'{"price": 5}' for name in GOODS}
            self.put(f"{number}.tar", tar({**GOODS, **said}))
        asks = MemoryFileSystem.cat_file

        def watched(store: MemoryFileSystem, path: str, **more: Any) -> Any:
            self.asked.append(path)
            return asks(store, path, **more)

        patch.setattr(MemoryFileSystem, "cat_file", watched)

    def put(self, name: str, content: bytes) -> None:
        self.store.pipe_file(f"/bucket/shards/{name}", content)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    yield Bucket(monkeypatch)
    monkeypatch.undo()
    MemoryFileSystem().rm("/bucket", recursive=True)
    object_store._opened.cache_clear()


def test_tars_of_a_store_are_indexed_and_left_alone_after(shards: Shards, bucket: Bucket) -> None:
    report = shards.gallery.index([bucket.root])
    assert counts(report) == (3, 3, 0, 0, 6)
    assert set(shards.metadata()) == {"red.png", "blue.png", "green.png"}
    assert shards.gallery.search(Query(text="red"), where="price = 5").searched == 6
    bucket.asked.clear()

    assert counts(shards.gallery.index([bucket.root])) == (0, 0, 6, 0, 6)
    assert bucket.asked == []


def test_a_tar_of_a_store_that_is_cut_short(shards: Shards, bucket: Bucket) -> None:
    shards.gallery.index([bucket.root])
    bucket.put("1.tar", cut(tar(GOODS)))
    report = shards.gallery.index([bucket.root])

    assert [str(one.path) for one in report.failures] == [f"{RemotePath(bucket.root)}/1.tar"]
    assert report.total == 6


def test_a_store_that_goes_away_ends_the_run(
    shards: Shards, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any, **__: Any) -> Any:
        raise TimeoutError("no answer")

    for name in ("cat_file", "info"):
        monkeypatch.setattr(MemoryFileSystem, name, lost)
    with pytest.raises(ObjectStoreError, match="no answer"):
        shards.gallery.index([bucket.root])


def test_a_star_in_an_address_stands_for_names(bucket: Bucket) -> None:
    bucket.put("notes.txt", b"")

    found = matching(RemotePath("memory://bucket/shards/*.tar"))
    assert [str(one) for one in found] == [f"memory://bucket/shards/{n}.tar" for n in range(2)]
    assert matching(RemotePath("memory://bucket/shards/x*")) == []
    with pytest.raises(ObjectStoreError, match="nothing is there"):
        matching(RemotePath("memory://nowhere/*.tar"))


def test_the_store_is_read_as_a_file_is(bucket: Bucket) -> None:
    content = tar({"a.png": os.urandom(5_000_000)})
    bucket.put("2.tar", content)
    path = RemotePath("memory://bucket/shards/2.tar")
    with object_store.open_object(path, len(content), RemotePath(bucket.root)) as stream:
        assert stream.read(10) == content[:10]
        assert stream.seek(-7, io.SEEK_END) == len(content) - 7
        assert stream.read() == content[-7:]
        stream.seek(1000)
        assert stream.read(4_500_000) == content[1000:4_501_000]
