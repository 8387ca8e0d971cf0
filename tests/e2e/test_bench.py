"""`composir bench` as a user types it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from composir.cli import models
from tests.e2e.commands import composir
from tests.fakes import COLOURS, ColourModel
from tests.unit.bench.makers import QUERIES, write_folder
from tests.unit.bench.shared import annotation_folder, features


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a data set, a model of colours and a cache of its own."""
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "my-dataset")
    return tmp_path


def test_own_data_with_two_composers(home: Path) -> None:
    shown = composir("bench", "./my-dataset", "--composer", "sum", "--composer", "slerp")
    assert shown.exit_code == 0, shown.output
    assert "colours, all" in shown.stdout
    assert "sum (alpha 0.5)" in shown.stdout
    assert sorted(path.name for path in (home / "runs").iterdir()) == [
        "colours-all-colours-slerp.json",
        "colours-all-colours-sum.json",
    ]


def test_settings_ride_on_the_composers_name(home: Path) -> None:
    shown = composir("bench", "my-dataset", "-c", "sum:alpha=0.4", "--json")
    document = json.loads(shown.stdout)
    assert document[0]["header"]["settings"]["alpha"] == 0.4
    assert document[0]["tasks"][0]["metrics"]["recall@1"]["value"] > 0
    assert "ranks" not in document[0]["tasks"][0]


def test_another_data_set_of_the_same_name_overwrites_nothing(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "sum")
    first = home / "runs" / "colours-all-colours-sum.json"
    before = first.read_bytes()
    shutil.copytree(home / "my-dataset", home / "other")
    queries = home / "other" / "queries.jsonl"
    queries.write_text(queries.read_text().splitlines()[0] + "\n")
    for _ in range(2):  # the second run finds its own file
        assert composir("bench", "other", "-c", "sum").exit_code == 0
    assert first.read_bytes() == before
    [second] = set((home / "runs").iterdir()) - {first}
    checksum = json.loads(second.read_text())["header"]["checksum"]
    assert second.name == f"colours-all-colours-sum-{checksum[:8]}.json"


def test_a_result_takes_the_place_of_no_other_file(home: Path) -> None:
    for _ in range(2):
        composir("bench", "my-dataset", "-c", "sum")
    [first] = (home / "runs").iterdir()
    checksum = json.loads(first.read_text())["header"]["checksum"][:8]
    mine = [first, first.with_name(f"{first.stem}-{checksum}.json")]
    for path in mine:
        path.write_text('{"mine": true}')
    for _ in range(2):
        shown = composir("bench", "my-dataset", "-c", "sum")
        assert shown.exit_code == 0, shown.output
    assert {path.read_text() for path in mine} == {'{"mine": true}'}
    names = {path.name for path in (home / "runs").iterdir()} - {path.name for path in mine}
    assert names == {f"{first.stem}-{checksum}-2.json"}


def test_compare_writes_a_page_and_a_table(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "sum", "-c", "text")
    files = ["runs/colours-all-colours-text.json", "runs/colours-all-colours-sum.json"]
    shown = composir("bench", "compare", *files, "--html", "report.html", "--csv", "report.csv")
    assert shown.exit_code == 0, shown.output
    page = (home / "report.html").read_text()
    assert "Queries to look at" in page
    assert "data:image/jpeg" in page
    assert (home / "report.csv").read_text().count("\n") == 1 + 2 * 3


def test_a_page_without_the_data_says_so(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "sum", "-c", "text")
    (home / "my-dataset").rename(home / "moved")
    files = ["runs/colours-all-colours-text.json", "runs/colours-all-colours-sum.json"]
    shown = composir("bench", "compare", *files, "--html", "report.html")
    assert shown.exit_code == 0, shown.output
    assert "without queries to look at" in shown.stderr
    again = composir("bench", "compare", *files, "--html", "report.html", "--root", "moved")
    assert "without queries" not in again.stderr


def test_comparing_different_queries_is_an_error(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "sum", "--split", "dev")
    composir("bench", "my-dataset", "-c", "sum", "--split", "test")
    names = ("runs/colours-dev-colours-sum.json", "runs/colours-test-colours-sum.json")
    shown = composir("bench", "compare", *names)
    assert shown.exit_code == 2
    assert "cannot be compared: they differ in split" in shown.stderr


def test_tune_then_report_on_another_split(home: Path) -> None:
    grid = ("--grid", "alpha=0:1:0.5", "--metric", "recall@1")
    shown = composir(
        *("bench", "tune", "my-dataset", "--split", "dev", "-c", "sum", *grid, "-o", "tuned.json")
    )
    assert shown.exit_code == 0, shown.output
    assert "alpha 0.5: recall@1 100.00 %  <- best" in shown.stdout
    refused = composir("bench", "my-dataset", "--split", "dev", "--tuned", "tuned.json")
    assert refused.exit_code == 2
    assert "refused: 2 queries of colours, dev were used to tune sum" in refused.stderr
    whole = composir("bench", "my-dataset", "--tuned", "tuned.json")
    assert whole.exit_code == 2
    reported = composir("bench", "my-dataset", "--split", "test", "--tuned", "tuned.json", "--json")
    assert json.loads(reported.stdout)[0]["header"]["tuning"]["split"] == "dev"


def test_rerun_reproduces_a_result(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "slerp:alpha=0.3")
    shown = composir("bench", "rerun", "runs/colours-all-colours-slerp-alpha-0.3.json")
    assert shown.exit_code == 0, shown.output
    assert "reproduced: every figure and every rank is the same" in shown.stdout


def test_rerun_says_what_differs(home: Path) -> None:
    composir("bench", "my-dataset", "-c", "sum")
    file = home / "runs" / "colours-all-colours-sum.json"
    document = json.loads(file.read_text())
    document["tasks"][0]["metrics"]["recall@1"]["value"] = 12.5
    file.write_text(json.dumps(document))
    shown = composir("bench", "rerun", file)
    assert shown.exit_code == 1
    assert "colours recall@1: 12.5000 then, 100.0000 now" in shown.stdout


def test_the_second_composer_costs_no_image(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composir("bench", "my-dataset", "-c", "sum")
    again = composir("bench", "my-dataset", "-c", "slerp")
    assert "encoded" not in again.stderr
    uncached = composir("bench", "my-dataset", "-c", "slerp", "--no-cache")
    assert "encoding images 8/8" in uncached.stderr


def test_missing_images(home: Path) -> None:
    (home / "my-dataset" / "images" / "magenta.png").unlink()
    refused = composir("bench", "my-dataset", "-c", "sum")
    assert refused.exit_code == 2
    assert "1 of 8 images are missing" in refused.stderr
    allowed = composir("bench", "my-dataset", "-c", "sum", "--allow-missing")
    assert allowed.exit_code == 0
    assert "PARTIAL score of colours: 1 images missing, 2 of 5 queries dropped" in allowed.stdout


def test_a_damaged_image(home: Path) -> None:
    (home / "my-dataset" / "images" / "magenta.png").write_bytes(b"no picture")
    tune = ("bench", "tune", "my-dataset", "--split", "dev", "-c", "sum", "--out", "tuned.json")
    for words in (("bench", "my-dataset", "-c", "sum"), tune):
        refused = composir(*words)
        assert refused.exit_code == 2
        told = " ".join(refused.stderr.split())
        assert "image 'magenta', " in told
        assert "--allow-missing drops the queries" in told
    allowed = composir("bench", "my-dataset", "-c", "sum", "--allow-missing")
    assert allowed.exit_code == 0, allowed.output
    assert "PARTIAL score of colours: 1 images missing, 2 of 5 queries dropped" in allowed.stdout
    assert composir(*tune, "--allow-missing").exit_code == 0


def test_bad_lines_are_named(home: Path) -> None:
    lines = [json.dumps(QUERIES[0]), json.dumps(QUERIES[1] | {"targets": ["purple"]})]
    (home / "my-dataset" / "queries.jsonl").write_text("\n".join(lines))
    shown = composir("bench", "my-dataset", "-c", "sum")
    assert shown.exit_code == 2
    assert "queries.jsonl, line 2: the target 'purple' is not in the gallery" in shown.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "a-file"), "--out a-file: is a file, but a folder is needed"),
        (("-o", "a-file/runs"), "--out a-file/runs: a-file is no folder"),
        (("--html", "my-dataset"), "--html my-dataset: is a folder, but a file is to be written"),
        (("--csv", "my-dataset"), "--csv my-dataset: is a folder"),
        (("--submission", "a-file"), "--submission a-file: is a file"),
    ],
)
def test_destinations_are_checked_before_anything_runs(
    home: Path, words: tuple[str, str], message: str
) -> None:
    (home / "a-file").touch()
    shown = composir("bench", "my-dataset", "-c", "sum", *words)
    assert shown.exit_code == 2
    assert message in " ".join(shown.stderr.split())
    assert "encoded" not in shown.stderr
    assert not (home / "runs").exists()


@pytest.fixture
def latin(home: Path) -> str:
    """A name that is Latin-1, not UTF-8, as old archives hold them; a data set of this name."""
    name = os.fsdecode(b"caf\xe9")
    try:
        (home / "my-dataset").rename(home / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    np.savez(home / "ok.npz", ids=list(COLOURS), matrix=np.eye(8, 4) + 1)
    np.savez(home / f"{name}.npz", ids=list(COLOURS), matrix=np.eye(8, 4) + 1)
    write_folder(home / "my-dataset")
    return name


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{} -c sum", r"data set .*/caf\\xe9: not valid UTF-8"),
        ("{} -c sum --no-cache --json", r"data set .*/caf\\xe9: not valid UTF-8"),
        ("my-dataset {} -c sum", r"data set .*/caf\\xe9: not valid UTF-8"),
        ("my-dataset -c sum --vectors {}.npz", r"--vectors .*/caf\\xe9.npz: not valid UTF-8"),
        (
            "my-dataset --vectors ok.npz --query-vectors {}.npz",
            r"--query-vectors .*/caf\\xe9.npz: not valid UTF-8",
        ),
        ("my-dataset -c sum --model {}", r"--model caf\\xe9: not valid UTF-8"),
        ("my-dataset -c sum:alpha={}", r"--composer setting alpha=caf\\xe9: not valid UTF-8"),
        ("genecis --root {} -c sum", r"--root .*/caf\\xe9: not valid UTF-8"),
        ("tune my-dataset -c {} -o tuned.json", r"--composer caf\\xe9: not valid UTF-8"),
    ],
)
def test_names_that_no_result_file_can_hold_are_refused_before_anything_runs(
    home: Path, latin: str, line: str, told: str
) -> None:
    shown = composir("bench", *(word.format(latin) for word in line.split()))
    assert shown.exit_code == 2, shown.exception
    assert re.fullmatch(
        rf"error: {told}, so result files cannot name it; rename it.*\n", shown.stderr
    )
    assert not (home / "runs").exists()
    assert not (home / "tuned.json").exists()


def test_tuning_keeps_vectors_of_pictures_whose_folder_is_no_utf_8(home: Path, latin: str) -> None:
    words = ("bench", "tune", latin, "--split", "dev", "-c", "sum", "-o", "tuned.json")
    assert "encoding images 8/8" in composir(*words).stderr
    again = composir(*words)
    assert again.exit_code == 0
    assert "encoded" not in again.stderr


def test_destinations_of_tune_and_compare_are_checked(home: Path) -> None:
    shown = composir("bench", "tune", "my-dataset", "-c", "sum", "-o", "my-dataset")
    assert shown.exit_code == 2
    assert "--out my-dataset: is a folder" in shown.stderr
    assert "encoded" not in shown.stderr
    composir("bench", "my-dataset", "-c", "sum", "-c", "text")
    files = ["runs/colours-all-colours-text.json", "runs/colours-all-colours-sum.json"]
    shown = composir("bench", "compare", *files, "--html", "runs")
    assert shown.exit_code == 2
    assert "--html runs: is a folder" in shown.stderr


def test_a_result_that_cannot_be_written_is_an_error_of_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for words, what in (((), "the cache of vectors"), (("--no-cache",), r"runs/.*\.json")):
        shown = composir("bench", "my-dataset", "-c", "sum", *words)
        assert shown.exit_code == 2
        assert re.search(rf"{what}.*cannot be written .*No space left", shown.stderr)
        assert isinstance(shown.exception, SystemExit)


def test_a_negative_seed_is_a_usage_error(home: Path) -> None:
    for words in (("my-dataset", "-c", "sum"), ("compare", "a.json", "b.json")):
        shown = composir("bench", *words, "--seed", "-1")
        assert shown.exit_code == 2
        assert "--seed" in shown.stderr
        assert "equal to 0" in " ".join(shown.stderr.split())


def test_vectors_that_are_no_npz_are_named(home: Path) -> None:
    np.save(home / "v.npy", np.ones((8, 4)))
    (home / "empty.npz").touch()
    for name in ("v.npy", "empty.npz"):
        shown = composir("bench", "my-dataset", "-c", "sum", "--vectors", name)
        assert shown.exit_code == 2
        assert f"{name}: not an .npz of plain arrays" in " ".join(shown.stderr.split())


def test_list_shows_paper_licence_protocol_and_source() -> None:
    shown = composir("bench", "list")
    for name in ("cirr", "fashioniq", "circo", "genecis", "domain-conversion"):
        assert f"{name}  (" in shown.stdout
    assert "licence: annotations MIT" in shown.stdout


def test_three_benchmarks_from_precomputed_vectors(home: Path) -> None:
    from composir.bench.datasets import find_dataset
    from composir.bench.task import LoadOptions

    root = annotation_folder()
    rows = json.loads((root / "circo/annotations/val.json").read_text())
    circo = {str(row["reference_img_id"]) for row in rows}
    circo |= {str(image) for row in rows for image in [row["target_img_id"], *row["gt_img_ids"]]}
    names = set(circo)
    for name in ("fashioniq", "genecis"):
        for task in find_dataset(name)[0].load(root, LoadOptions()):
            names |= set(task.needed)
    ids = sorted(names)
    np.savez(home / "feats.npz", ids=np.array(ids), matrix=features(ids)[:, :4])
    shown = composir(
        *("bench", "fashioniq", "circo", "genecis", "--root", root, "--vectors", "feats.npz"),
        *("-c", "sum", "--html", "page.html"),
    )
    assert shown.exit_code == 0, shown.output
    for told in ("fashioniq, val", "circo, val", "genecis, test", "not CIRCO's 123,403", "mean"):
        assert told in shown.stdout
    assert (home / "page.html").stat().st_size > 10_000


def test_cirr_text_proxy_is_loud(home: Path) -> None:
    root = annotation_folder()
    words = ("bench", "cirr", "--root", root, "--split", "val", "--text-proxy", "-c", "text")
    shown = composir(*words, "--html", "page.html", "--csv", "table.csv")
    assert shown.exit_code == 0, shown.output
    assert "text proxy, not CIRR" in shown.stdout
    for file in ("page.html", "table.csv", "runs/cirr-text-proxy-val-colours-text.json"):
        assert "text proxy, not CIRR" in (home / file).read_text()


def test_cirr_submission_from_precomputed_vectors(home: Path) -> None:
    root = annotation_folder()
    ids = sorted(json.loads((root / "cirr/image_splits/split.rc2.test1.json").read_text()))
    np.savez(home / "feats.npz", ids=np.array(ids), matrix=features(ids)[:, :4])
    words = ("bench", "cirr", "--root", root, "--split", "test1", "--vectors", "feats.npz")
    refused = composir(*words, "-c", "sum")
    assert "only its server knows the truth" in refused.stderr
    shown = composir(*words, "-c", "sum", "--submission", "out")
    assert shown.exit_code == 0, shown.output
    recall = json.loads((home / "out" / "cirr_test1_recall.json").read_text())
    assert len(recall) == 4148 + 2
    assert len(recall["12063"]) == 50
