"""`composir index --shard` and `composir merge`, with a small bundle, as people run them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import composir, paint, paint_all
from tests.tiny_bundle import make_bundle

SHARDS = 4


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    make_bundle(folder)
    return folder


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    paint_all(Path("pictures"))
    paint(Path("pictures", "more", "wide.png"), "red", (90, 30))
    Path("pictures", "broken.png").write_bytes(b"no picture")


def done(*words: str | Path) -> dict[str, Any]:
    result = composir(*words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def work(bundle: Path, number: int, of: int = SHARDS) -> dict[str, Any]:
    options = ("--gallery", "G", "--shard", f"{number}/{of}", "--model", bundle)
    return done("index", "pictures", *options)


def found(gallery: str) -> list[tuple[str, float]]:
    hits = done("search", "red", "--gallery", gallery, "-k", "9")["hits"]
    told = [(Path(hit["path"]).name, round(hit["score"], 3)) for hit in hits]
    return sorted(told, key=lambda one: (-one[1], one[0]))  # some colours are as good as others


def test_four_workers_make_the_gallery_of_one(bundle: Path) -> None:
    told = [work(bundle, number) for number in range(1, SHARDS + 1)]
    assert sum(one["total"] for one in told) == 9
    assert [(one["shard"], one["of"]) for one in told] == [(n, SHARDS) for n in (1, 2, 3, 4)]

    merged = done("merge", "G")
    done("index", "pictures", "--gallery", "ordinary", "--model", bundle)

    assert (merged["added"], merged["total"], merged["shards"]) == (9, 9, SHARDS)
    assert found("G") == found("ordinary")
    info = done("info", "--gallery", "G")
    assert (info["images"], info["failures"]) == (9, 1)
    deep = composir("doctor", "--deep", "--gallery", "G")
    assert "every row" in deep.output
    assert deep.exit_code == 0, deep.output
    again = done("index", "pictures", "--gallery", "G")
    assert [again[name] for name in ("added", "reused", "unchanged", "dropped")] == [0, 0, 9, 0]
    assert composir("repair", "G").exit_code == 0
    assert found("G") == found("ordinary")


def test_what_is_missing_is_named_and_may_be_left_out(bundle: Path) -> None:
    work(bundle, 1)
    work(bundle, 4)
    refused = composir("merge", "G")
    assert refused.exit_code == 2
    assert "2 of 4 shards are missing: 2, 3 (never begun)" in refused.stderr

    merged = composir("merge", "G", "--allow-missing")

    assert merged.exit_code == 0, merged.output
    assert "2 of 4 shards merged into G" in merged.stdout
    assert "missing: shard 2 (never begun)" in merged.stdout


def test_people_are_told_what_comes_next(bundle: Path) -> None:
    options = ("--gallery", "G", "--shard", "1/1", "--model", bundle)
    result = composir("index", "pictures", *options)
    assert result.exit_code == 0, result.output
    assert "shard 1 of 1: 9 pictures wait to be merged; 9 new" in result.stdout
    assert "composir merge G" in result.stdout
    assert "broken.png" in result.stdout

    merged = composir("merge", "G")
    assert "1 of 1 shards merged into G\n9 pictures; 9 new; took" in merged.stdout
    assert "nothing to merge" in composir("merge", "G").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["index", "pictures", "--gallery", "G", "--shard", "5/4"], "K/N"),
        (["index", "pictures", "--gallery", "G", "--shard", "1/4", "--metadata", "m.csv"], "merge"),
        (["merge", "nowhere"], "no gallery at "),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_made(
    words: list[str], told: str
) -> None:
    Path("m.csv").write_text("file,price\nred.png,1\n")
    result = composir(*words)
    assert result.exit_code == 2
    assert told in result.stderr
    assert not Path("G").exists()


def test_shards_for_the_default_gallery(bundle: Path) -> None:
    result = composir("index", "pictures", "--shard", "1/1", "--model", bundle)
    assert result.exit_code == 0, result.output
    assert done("merge")["total"] == 9
