"""Galleries in an object store, as people run them: one machine indexes, another one searches."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from composir.data.remote_paths import RemotePath
from composir.errors import ObjectStoreError
from composir.gallery import open_gallery
from composir.scale.mirror import copy_folder
from composir.scale.mirror.copy import Copy
from composir.scale.mirror.published import read_published
from tests.e2e.commands import composir, paint, paint_all
from tests.tiny_bundle import make_bundle

G = "memory://bucket/shop.gallery"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder


class Machines:
    """Several machines, each with a home of its own, and one store."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder, self._patch = folder, patch
        self.at("a")

    def at(self, name: str) -> None:
        """Go to one of them."""
        self._patch.setenv("COMPOSIR_HOME", str(self._folder / name))
        self._patch.setattr("socket.gethostname", lambda: name)


@pytest.fixture(autouse=True)
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    paint_all(Path("pictures"))
    Path("pictures", "broken.png").write_bytes(b"no picture")
    yield Machines(tmp_path, monkeypatch)
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def done(*words: str | Path) -> dict[str, Any]:
    result = composir(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def refused(*words: str | Path) -> str:
    result = composir(*words)
    assert result.exit_code == 2, result.output
    return result.stderr


def indexed(bundle: Path, *more: str) -> dict[str, Any]:
    return done("index", "pictures", "--gallery", G, "--model", bundle, *more)


def found(*more: str) -> list[str]:
    hits = done("search", "red", "--gallery", G, "-k", "99", *more)["hits"]
    return sorted(Path(hit["path"]).name for hit in hits)


def stored() -> set[str]:
    return {name.removeprefix("/bucket/shop.gallery/") for name in MemoryFileSystem.store}


def test_what_one_machine_indexes_another_one_searches(bundle: Path, machines: Machines) -> None:
    first = indexed(bundle)
    here = found()

    machines.at("b")
    assert found() == here
    paint(Path("pictures", "late.png"), "red", (90, 30))
    second = indexed(bundle)
    machines.at("a")
    info = done("info", "--gallery", G)

    assert (first["total"], first["gallery"]) == (len(here), G)
    assert [second[name] for name in ("added", "unchanged", "total")] == [1, 8, 9]
    assert (info["images"], info["failures"], info["copy_of"]) == (9, 1, G)
    assert found() == sorted([*here, "late.png"])
    assert "composir-writer.json" not in stored()


def test_nothing_is_sent_again_that_has_not_changed(bundle: Path, machines: Machines) -> None:
    indexed(bundle)
    edition = read_published(RemotePath(G))

    indexed(bundle)
    assert edition is not None
    assert edition.objects <= stored()
    before = {
        name: MemoryFileSystem.store[f"/bucket/shop.gallery/{name}"].created
        for name in edition.objects
    }
    machines.at("b")
    assert found("--where", "width > 0")
    after = {
        name: MemoryFileSystem.store[f"/bucket/shop.gallery/{name}"].created
        for name in edition.objects
        if name in stored()
    }

    assert {name: before[name] for name in after} == after


def test_shards_of_machines_that_never_meet_are_merged(bundle: Path, machines: Machines) -> None:
    told = []
    for number in (1, 2, 3):
        machines.at(f"worker-{number}")
        told.append(indexed(bundle, "--shard", f"{number}/3"))
    machines.at("merger")
    nothing_yet = composir("search", "red", "--gallery", G)
    merged = done("merge", G)
    done("index", "pictures", "--gallery", "ordinary", "--model", bundle)

    assert sum(one["total"] for one in told) == merged["added"] == merged["total"] == 8
    assert nothing_yet.exit_code == 2
    assert not [name for name in stored() if name.startswith("shards/")]
    machines.at("worker-1")
    ordinary = done("search", "red", "--gallery", "ordinary", "-k", "99")["hits"]
    assert found() == sorted(Path(hit["path"]).name for hit in ordinary)
    again = indexed(bundle, "--shard", "1/3")
    assert (again["added"], again["total"]) == (0, 0)


def test_a_shard_that_is_not_there_is_named(bundle: Path, machines: Machines) -> None:
    indexed(bundle, "--shard", "1/3")
    machines.at("b")
    assert "2 of 3 shards are missing: 2, 3 (never begun)" in refused("merge", G)
    assert [name for name in stored() if name.startswith("shards/1-of-3/")]

    merged = done("merge", G, "--allow-missing")
    indexed(bundle, "--shard", "2/3")
    indexed(bundle, "--shard", "3/3")
    rest = done("merge", G)

    assert merged["merged"] == [1]
    assert (rest["merged"], rest["merged_before"], rest["total"]) == ([2, 3], [1], 8)


def test_a_merge_that_is_stopped_before_its_shards_have_left_is_repeated(
    bundle: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        indexed(bundle, "--shard", f"{number}/2")
    with monkeypatch.context() as patch:

        def away(_: Copy) -> None:
            raise ObjectStoreError("away")

        patch.setattr(Copy, "_withdraw", away)
        assert "away" in refused("merge", G)
    assert [name for name in stored() if name.startswith("shards/")]
    machines.at("b")

    again = done("merge", G)

    assert (again["added"], again["unchanged"], again["total"]) == (0, 8, 8)
    assert not [name for name in stored() if name.startswith("shards/")]
    assert len(found()) == 8


def test_a_shard_that_another_machine_runs_is_not_merged(bundle: Path, machines: Machines) -> None:
    for number in (1, 2):
        indexed(bundle, "--shard", f"{number}/2")
    mark = {"host": "w", "folder": "/w", "pid": 7, "since": "2026-11-30T17:00:00", "token": "x"}
    place = f"{G}/shards/2-of-2/composir-writer.json"
    MemoryFileSystem().pipe_file(place, json.dumps(mark).encode())
    machines.at("b")

    told = refused("merge", G)

    assert "shards/2-of-2 is being changed by process 7 on w" in told
    assert "1 of 2 shards are missing: 2 (" in told


def test_a_shard_of_another_plan_is_refused_at_once(bundle: Path, machines: Machines) -> None:
    indexed(bundle, "--shard", "1/3")
    machines.at("b")
    told = refused("index", "pictures", "--gallery", G, "--model", bundle, "--shard", "2/4")
    assert "4 shards, not 3" in told


def test_a_copy_is_changed_by_its_address_alone(bundle: Path) -> None:
    indexed(bundle)
    copy = copy_folder(RemotePath(G))

    told = refused("index", "pictures", "--gallery", copy, "--model", bundle)

    assert f"this machine's copy of {G}" in told
    assert len(open_gallery(copy)) == 8


def test_two_machines_do_not_change_it_at_once(bundle: Path, machines: Machines) -> None:
    indexed(bundle)
    mark = {"host": "b", "folder": "/b", "pid": 7, "since": "2026-11-30T17:00:00", "token": "x"}
    MemoryFileSystem().pipe_file(f"{G}/composir-writer.json", json.dumps(mark).encode())

    result = composir("index", "pictures", "--gallery", G)
    assert result.exit_code == 3  # busy
    assert "process 7 on b (since 2026-11-30T17:00:00)" in result.stderr
    assert f"delete {G}/composir-writer.json" in result.stderr
    assert len(found()) == 8


def test_forgotten_pictures_leave_the_store(bundle: Path, machines: Machines) -> None:
    indexed(bundle)
    before = read_published(RemotePath(G))
    done("forget", "pictures/blue.png", "--yes", "--gallery", G)
    after = read_published(RemotePath(G))

    assert before is not None
    assert after is not None
    gone = before.objects - after.objects
    assert any(name.startswith("images.lance/data/") for name in gone)
    assert not gone & stored()
    machines.at("b")
    assert "blue.png" not in found()


def test_there_is_none_yet(bundle: Path, machines: Machines) -> None:
    told = refused("search", "red", "--gallery", G)
    assert f"no gallery is published at {G}" in told
    assert refused("merge", G)
    assert refused("index", "nothing-in-here", "--gallery", G)
    assert not stored()


def test_the_default_gallery_may_lie_in_a_store(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMPOSIR_GALLERY", G)
    told = composir("index", "pictures", "--model", bundle)
    assert told.exit_code == 0, told.output
    assert f"8 pictures in {G}" in told.stdout
    assert len(done("search", "red", "-k", "99")["hits"]) == 8


def test_ray_workers_need_a_folder(bundle: Path) -> None:
    told = refused("index", "pictures", "--gallery", G, "--model", bundle, "--ray", "auto")
    assert "--shard 1/N to N/N" in told


def test_repair_is_for_folders(bundle: Path) -> None:
    indexed(bundle)
    assert "fetched again whole" in refused("repair", G)


def test_a_server_of_a_copy_takes_in_no_pictures(bundle: Path) -> None:
    indexed(bundle)
    told = refused("serve", G, "--add-to", "taken")
    assert f"this machine's copy of {G}" in told


def test_a_merge_that_is_not_published_leaves_the_shards_in_the_store(
    bundle: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(bundle, "--shard", "1/3")
    indexed(bundle, "--shard", "2/3")
    before = stored()
    machines.at("merger")

    def away(*_: object) -> None:
        raise ObjectStoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr("composir.scale.mirror.copy.upload", away)
        for more in ([], ["--allow-missing"], ["--allow-missing"]):
            assert refused("merge", G, *more)
            assert stored() == before
    machines.at("another")
    indexed(bundle, "--shard", "3/3")
    merged = done("merge", G)

    assert (merged["added"], merged["total"]) == (8, 8)
    assert not [name for name in stored() if name.startswith("shards/")]


def test_a_merge_that_could_not_publish_goes_on_where_it_was(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(bundle, "--shard", "1/2")
    indexed(bundle, "--shard", "2/2")

    def away(*_: object) -> None:
        raise ObjectStoreError("away")

    with monkeypatch.context() as patch:
        patch.setattr("composir.scale.mirror.copy.upload", away)
        assert "away" in refused("merge", G)
    assert done("merge", G)["total"] == 8
    assert not [name for name in stored() if name.startswith("shards/")]
    assert len(found()) == 8


def test_what_a_killed_merge_has_left_of_its_shards_goes_with_the_next(
    bundle: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed(bundle, "--shard", "1/1")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Copy, "_remove", killed)
        assert composir("merge", G).exit_code == 130
    assert [name for name in stored() if name.startswith("shards/")]
    machines.at("b")
    done("merge", G)
    assert not [name for name in stored() if name.startswith("shards/")]


def test_what_people_put_beside_the_shards_is_left_alone(bundle: Path) -> None:
    indexed(bundle, "--shard", "1/1")
    other = {"shards/README", "shards/old/a.txt", "shards/../a.txt"}
    for name in other:
        MemoryFileSystem().pipe_file(f"{G}/{name}", b"somebody's")

    merged = composir("merge", G)

    assert merged.exit_code == 0, merged.output
    assert "being changed" not in merged.stderr
    assert {name for name in stored() if name.startswith("shards/")} == other


def test_a_password_in_an_address_is_not_shown(bundle: Path) -> None:
    for address in ("memory://u:SECRET@b/g", "memory://b/g?token=SECRET"):
        for words in (["repair", address], ["reindex", address], ["merge", address]):
            told = refused(*words)
            assert "credentials come from" in told
            assert "SECRET" not in told


@pytest.mark.parametrize("half", ["memory://", "MEMORY://bucket/g", "s3:", "s3:///"])
def test_of_half_an_address_no_folder_is_made(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    words = ("index", "pictures", "--model", bundle)
    told = [refused(*words, "--gallery", half)]
    monkeypatch.setenv("COMPOSIR_GALLERY", half)
    told += [refused(*words), refused("info")]
    assert all("no address of a gallery" in one for one in told)
    assert sorted(path.name for path in Path().iterdir() if ":" in path.name) == []


def test_a_shard_goes_on_elsewhere_after_a_merge_was_refused(
    bundle: Path, machines: Machines
) -> None:
    machines.at("worker")
    indexed(bundle, "--shard", "1/2")
    machines.at("merger")
    assert "2 (never begun)" in refused("merge", G)
    machines.at("worker")
    paint(Path("pictures", "red.png"), "blue", (64, 64))
    indexed(bundle, "--shard", "1/2")
    indexed(bundle, "--shard", "2/2")
    machines.at("merger")

    merged = done("merge", G)

    assert (merged["merged"], merged["total"]) == ([1, 2], 8)
