"""`composir index` and `composir info` as a user meets them."""

import json
import os
import sys
from pathlib import Path

import pytest

from composir.cli import models
from tests.e2e.commands import composir, paint, paint_all
from tests.fakes import ColourModel


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "resolve_model", lambda name, threads: ColourModel())
    monkeypatch.setenv("COMPOSIR_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COMPOSIR_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)


def index(*words: str | Path) -> dict[str, object]:
    result = composir("index", *words, "--json")
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_the_default_gallery_is_made_and_the_summary_says_where() -> None:
    paint_all(Path("pictures"))
    result = composir("index", "pictures")
    assert result.exit_code == 0, result.output
    gallery = Path("home", "galleries", "default").absolute()
    assert f"8 pictures in {gallery}" in result.stdout
    assert "8 new" in result.stdout


def test_a_second_run_does_only_what_changed() -> None:
    paths = paint_all(Path("pictures"))
    index("pictures", "--gallery", "g")
    paths[0].rename(paths[0].with_name("renamed.png"))
    paths[1].unlink()
    paint(Path("pictures", "new.png"), "blue", (50, 50))
    again = index("pictures", "--gallery", "g")
    assert [again[key] for key in ("added", "reused", "dropped", "unchanged")] == [1, 1, 1, 6]
    assert again["total"] == 8


def test_progress_goes_to_stderr_and_json_alone_to_stdout() -> None:
    paint_all(Path("pictures"))
    result = composir("index", "pictures", "--json")
    assert json.loads(result.stdout)["added"] == 8
    assert "encoding" in result.stderr


def test_failures_are_listed_with_reasons_and_never_fatal() -> None:
    paint_all(Path("pictures"))
    for number in range(25):
        Path("pictures", f"broken{number:02}.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    result = composir("index", "pictures", "--gallery", "g")
    assert result.exit_code == 0
    listed = [line for line in result.stdout.splitlines() if "broken" in line]
    assert len(listed) == 20
    assert listed[0].split(": ", 1)[1]
    assert "... and 5 more; all of them: composir info --failures" in result.stdout
    everything = composir("info", "--failures", "--gallery", "g", "--json")
    assert len(json.loads(everything.stdout)["failures"]) == 25


def test_what_became_readable_is_retried_on_request() -> None:
    broken = Path("pictures", "broken.png")
    paint_all(Path("pictures"))
    broken.touch()
    assert len(index("pictures")["failures"]) == 1  # type: ignore[arg-type]
    again = index("pictures", "--retry-failures")
    assert len(again["failures"]) == 1  # type: ignore[arg-type]


def test_excluded_paths_are_skipped() -> None:
    paint_all(Path("pictures"))
    paint_all(Path("pictures", "thumbs"))
    assert index("pictures", "--exclude", "thumbs")["total"] == 8


@pytest.mark.skipif(sys.platform != "linux", reason="names of any bytes exist on Linux alone")
def test_names_that_are_no_text_are_indexed_and_printed() -> None:
    pictures = Path("pictures")
    paint(pictures / "red.png", "red")
    (pictures / "red.png").rename(pictures / os.fsdecode(b"caf\xe9\x1b[31m.png"))
    (pictures / os.fsdecode(b"bad\xff.jpg")).write_bytes(b"\xff\xd8\xff cut off")
    result = composir("index", "pictures")
    assert result.exit_code == 0, result.output
    assert "bad\\xff.jpg" in result.stdout
    found = composir("search", "red")
    assert found.stdout.rstrip().endswith("caf\\xe9\\x1b[31m.png")
    as_json = json.loads(composir("search", "red", "--json").stdout)
    assert os.fsencode(as_json["hits"][0]["path"]).endswith(b"caf\xe9\x1b[31m.png")


def test_no_pictures_found_is_an_error() -> None:
    Path("empty").mkdir()
    Path("empty", "notes.txt").write_text("no picture")
    result = composir("index", "empty", "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "no pictures found under" in result.stderr


def test_a_folder_that_looks_unmounted_drops_nothing() -> None:
    path = paint(Path("pictures", "red.png"), "red")
    index("pictures", "--gallery", "g")
    manifest = Path("g", "composir-gallery.json")
    content = json.loads(manifest.read_text())
    content["root_facts"][str(path.parent.absolute())]["volumes"][0] = {
        "folder": str(path.parent.absolute()),
        "device": -1,
    }
    manifest.write_text(json.dumps(content))
    path.unlink()
    result = composir("index", "pictures", "--gallery", "g")
    assert result.exit_code == 2
    assert "the gallery keeps its 1 images (is a disk not mounted?)" in result.stderr
    command = f"composir forget {path.parent.absolute()} --gallery {Path('g').absolute()}"
    assert command in result.stderr


def test_a_folder_that_was_emptied_drops_its_pictures_and_says_so_first() -> None:
    path = paint(Path("pictures", "red.png"), "red")
    index("pictures")
    path.unlink()
    result = composir("index", "pictures", "--json")
    assert result.exit_code == 0
    folder = path.parent.absolute()
    assert f"no pictures are left in {folder}: dropping 1 from the gallery" in result.stderr
    report = json.loads(result.stdout)
    assert (report["dropped"], report["emptied"]) == (1, {str(folder): 1})
    assert "the gallery is empty" in composir("search", "red").stderr


def test_a_moved_folder_is_told_and_its_old_paths_are_gone() -> None:
    paint_all(Path("a"))
    index("a")
    Path("a").rename("b")
    old, new = Path("a").absolute(), Path("b").absolute()
    lost = composir("search", "red")
    assert f"hits below {old} cannot be opened now" in lost.stderr
    assert f"composir forget {old}" in lost.stderr
    shown = composir("index", "b").stdout
    assert f"8 pictures of {old} have moved here" in shown
    found = json.loads(composir("search", "red", "--json").stdout)
    assert {Path(hit["path"]).parent for hit in found["hits"]} == {new}
    assert found["absent"] == {"left_out": 0, "left_out_from": [], "unreachable": []}
    assert json.loads(composir("info", "--json").stdout)["roots"] == [str(new)]


def test_deleted_pictures_are_no_hits_and_are_counted() -> None:
    red = paint_all(Path("pictures"))[0]
    index("pictures", "--gallery", "g")
    red.unlink()
    folder = Path("pictures").absolute()
    result = composir("search", "red", "--gallery", "g")
    assert "red.png" not in result.stdout
    assert (
        f"1 hit left out: its file is gone; composir index {folder} --gallery g tidies up, "
        "--missing keep shows them"
    ) in result.stderr
    assert "red.png" in composir("search", "red", "--gallery", "g", "--missing", "keep").stdout


def test_files_of_other_kinds_are_told_by_ending() -> None:
    paint(Path("pictures", "red.png"), "red")
    for name in ("a.xcf", "b.XCF", "c.mov", "README", "x.not-an-ending", ".hidden.raw"):
        Path("pictures", name).touch()
    report = index("pictures")
    assert report["other_kinds"] == {".xcf": 2, ".mov": 1, "no ending": 1, "other": 1}
    shown = composir("index", "pictures").stdout
    assert "5 files not looked at: .xcf 2, " in shown


def test_patterns_are_remembered_shown_and_forgotten() -> None:
    paint_all(Path("pictures"))
    for folder in ("thumbs", "raw"):
        paint_all(Path("pictures", folder))
    assert index("pictures", "--exclude", "thumbs")["total"] == 16
    root = str(Path("pictures").absolute())
    shown = composir("index", "pictures", "--exclude", "pictures/raw").stdout
    assert f"left out below {root}: thumbs pictures/raw (remembered; --no-exclude" in shown
    assert index("pictures")["total"] == 8
    assert f"{root} (without thumbs /raw)" in composir("info").stdout
    assert json.loads(composir("info", "--json").stdout)["excludes"] == {root: ["thumbs", "/raw"]}
    assert index("pictures", "--no-exclude", "--exclude", "raw")["total"] == 16
    assert index("pictures", "--no-exclude")["total"] == 24


def test_a_pattern_that_matches_nothing_is_named() -> None:
    paint_all(Path("pictures"))
    shown = composir("index", "pictures", "--exclude", "thumbz", "--exclude", "red.png").stdout
    assert "nothing matched --exclude thumbz\n" in shown
    empty = composir("index", "pictures", "--exclude", "")
    assert empty.exit_code == 2
    assert "an exclude pattern is empty: ''" in empty.stderr
    assert "--no-exclude" in empty.stderr


def test_info_tells_the_types_of_columns() -> None:
    paint_all(Path("pictures"))
    Path("facts.csv").write_text("file,price,label,sold\nred.png,1.5,a,true\n")
    index("pictures", "--metadata", "facts.csv")
    shown = composir("info").stdout
    assert "price (numbers), label (text), sold (true or false)" in shown
    assert "width (numbers)" in shown
    types = json.loads(composir("info", "--json").stdout)["column_types"]
    assert (types["price"], types["label"], types["width"]) == ("numbers", "text", "numbers")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["index"], "PATH"),
        (["index", "nowhere"], "nowhere"),
        (["index", "pictures", "--gallery", "occupied"], "occupied"),
        (["index", "pictures", "--gallery", "pictures/red.png"], "red.png"),
        (["index", "pictures", "--metadata", "nowhere.csv"], "nowhere.csv"),
        (["index", "pictures", "--metadata", "facts.csv"], "facts.csv"),
        (["index", "pictures", "--batch-size", "0"], "batch-size"),
        (["info", "--gallery", "nowhere"], "no gallery at"),
        (["info", "--gallery", "occupied"], "not a gallery"),
    ],
)
def test_what_cannot_be_done_is_one_clear_error(words: list[str], message: str) -> None:
    paint(Path("pictures", "red.png"), "red")
    Path("occupied").mkdir()
    Path("occupied", "thesis.doc").write_text("mine")
    Path("facts.csv").write_text("colour,price\nred,1\n")
    result = composir(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in result.stderr
    assert Path("occupied", "thesis.doc").read_text() == "mine"


def test_ctrl_c_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from composir.gallery import Gallery

    def interrupted(*_args: object, **_settings: object) -> None:
        raise KeyboardInterrupt

    paint_all(Path("pictures"))
    monkeypatch.setattr(Gallery, "index", interrupted)
    result = composir("index", "pictures")
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr


def test_info_says_what_is_there() -> None:
    paint_all(Path("pictures"))
    index("pictures", "--gallery", "g")
    shown = composir("info", "--gallery", "g").stdout
    assert "8" in shown
    assert "colours" in shown
    assert str(Path("pictures").absolute()) in shown
    facts = json.loads(composir("info", "--gallery", "g", "--json").stdout)
    assert facts["images"] == 8


def test_metadata_rows_for_no_picture_are_told() -> None:
    paths = paint_all(Path("pictures"))
    Path("facts.csv").write_text(f"file,price\n{paths[0].name},3\ngone.png,4\n")
    words = ("pictures", "--gallery", "g", "--metadata", "facts.csv")
    assert index(*words)["unmatched"] == ["gone.png"]
    shown = composir("index", *words).stdout
    assert "1 rows of the metadata are for none of the pictures: gone.png" in shown


def test_metadata_for_none_of_the_pictures_replace_nothing() -> None:
    paths = paint_all(Path("pictures"))
    Path("facts.csv").write_text(f"file,price\n{paths[0].name},3\n")
    index("pictures", "--gallery", "g", "--metadata", "facts.csv")
    Path("other.csv").write_text("file,price\nelsewhere.png,4\n")
    refused = composir("index", "pictures", "--gallery", "g", "--metadata", "other.csv")
    assert refused.exit_code == 2
    assert "none of the 1 rows of other.csv is for a picture" in refused.stderr
    assert "its column 'file' says, e.g., 'elsewhere.png'" in refused.stderr
    found = composir("search", "red", "--gallery", "g", "--where", "price = 3", "--json")
    assert len(json.loads(found.stdout)["hits"]) == 1


def test_how_metadata_were_read_is_told_and_can_be_said() -> None:
    paths = paint_all(Path("pictures"))[:2]
    rows = [f"{path.name};1.{n}50,00 €;0{n}/02/2023" for n, path in enumerate(paths, start=1)]
    Path("facts.csv").write_text("\n".join(["file;price;sold", *rows]), encoding="utf-8")
    words = ("index", "pictures", "--gallery", "g", "--metadata", "facts.csv")

    told = composir(*words).stdout

    assert "price  numbers with decimal commas, thousands set apart by points (in €)" in told
    assert "sold   text: 01/02/2023 may be day/month or month/day; say which: --column" in told
    unclear = composir("search", "red", "--gallery", "g", "--where", "year(sold) = 2023")
    assert unclear.exit_code == 2
    assert "sold is text: the metadata say sold as text (e.g. '0" in " ".join(
        unclear.stderr.split()
    )
    said = composir(*words, "--column", "sold=date:dmy", "--json")
    assert json.loads(said.stdout)["columns"]["sold"] == "dates, day/month/year"
    where = "sold = '2023-02-01' AND price > 1100"
    found = composir("search", "red", "--gallery", "g", "--where", where, "--json")
    hits = json.loads(found.stdout)["hits"]
    assert [Path(hit["path"]).name for hit in hits] == [paths[0].name]
    assert hits[0]["metadata"]["sold"] == "2023-02-01"
    assert "price (numbers), sold (dates)" in composir("info", "--gallery", "g").stdout


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("price", "NAME=TYPE"),
        ("=number", "NAME=TYPE"),
        ("price=money", "the type 'money' of column 'price' is none of text"),
        ("prize=number", "has no column 'prize' to give a type"),
        ("price=bool", "line 2: '3' is no bool"),
    ],
)
def test_what_cannot_be_a_type_is_refused(column: str, message: str) -> None:
    paths = paint_all(Path("pictures"))
    Path("facts.csv").write_text(f"file,price\n{paths[0].name},3\n")
    words = ("index", "pictures", "--gallery", "g", "--column", column)
    refused = composir(*words, "--metadata", "facts.csv")
    assert refused.exit_code == 2
    assert message in " ".join(refused.stderr.split())
    alone = composir(*words[:-1], "price=text")
    assert alone.exit_code == 2
    assert "give it with --metadata" in " ".join(alone.stderr.split())


@pytest.mark.parametrize(
    "words",
    [
        ("empty",),
        ("pictures", "--metadata", "facts.csv"),
        ("pictures", "--metadata", "nothing.csv"),
        ("pictures", "--batch-size", "0"),
    ],
)
def test_a_refused_run_leaves_no_new_folder(words: tuple[str, ...]) -> None:
    paint_all(Path("pictures"))
    Path("empty").mkdir()
    Path("facts.csv").write_text("file,price\nnobody.png,1\n")
    Path("nothing.csv").write_text("")
    Path("free").mkdir()
    before = set(Path().iterdir())
    for place in ("a/new", "free"):
        result = composir("index", *words, "--gallery", place)
        assert result.exit_code == 2, result.output
    assert set(Path().iterdir()) == before
    assert not list(Path("free").iterdir())


def test_a_refused_run_leaves_a_gallery_as_it_was() -> None:
    paint_all(Path("pictures"))
    Path("empty").mkdir()
    index("pictures", "--gallery", "g")
    assert composir("index", "empty", "--gallery", "g").exit_code == 2
    assert index("pictures", "--gallery", "g")["unchanged"] == 8


def test_a_home_that_cannot_be_written_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    paint_all(Path("pictures"))
    Path("file").touch()
    monkeypatch.setenv("COMPOSIR_HOME", str(Path("file", "home").absolute()))
    result = composir("index", "pictures")
    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert "COMPOSIR_HOME" in line
    assert "COMPOSIR_GALLERY" in line
