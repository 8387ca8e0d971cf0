"""Edits change what their words say, and leave the rest alone."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from composir.bench.datasets import find_dataset
from composir.bench.task import LoadOptions
from composir.errors import DatasetError, OutputError
from composir.triplets import edits
from composir.triplets.edited import EditSettings, make_edited

SIZE = 120


def product(colour: str = "red") -> Image.Image:
    """A square on white: its border gives it away."""
    picture = Image.new("RGB", (SIZE, SIZE), "white")
    ImageDraw.Draw(picture).rectangle((40, 40, 79, 79), fill=colour)
    return picture


def noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_thing_is_found_in_front_of_a_plain_border_only() -> None:
    mask = edits.prepare_scene(product()).mask

    assert mask is not None
    assert mask[60, 60] == 1.0
    assert mask[5, 5] == 0.0
    assert edits.prepare_scene(noise()).mask is None


def test_recolouring_changes_the_thing_and_not_the_background() -> None:
    scene = edits.prepare_scene(product("red"))
    for seed in range(20):
        edited = edits.recolour(scene, draw(seed))
        name = edited.name.partition("/")[2]
        pixels = np.asarray(edited.picture, dtype=float)
        assert name in edited.words
        assert np.abs(pixels[60, 60] - edits.COLOURS[name]).max() < 40, name
        assert np.array_equal(pixels[5, 5], [255, 255, 255])


@pytest.mark.parametrize("edit", [edits.recolour, edits.background])
def test_colours_have_the_right_article(edit: edits.Edit) -> None:
    """`an olive wall`, `a navy blue wall`, never `a olive wall`."""
    scene = edits.prepare_scene(product("red"))
    words = [edited.words for seed in range(150) if (edited := edit(scene, draw(seed)))]

    assert any(" an " in f" {said}" for said in words)
    assert not [said for said in words if re.search(r"\ba [aeiou]|\ban [^aeiou]", said)]


def test_several_shows_as_many_as_the_words_say() -> None:
    for seed in range(8):
        edited = edits.several(edits.prepare_scene(product()), draw(seed))
        row = np.asarray(edited.picture)[SIZE // 2, :, 1] < 128
        runs = int((np.diff(row.astype(int)) == 1).sum()) + int(row[0])
        assert runs == int(edited.name.partition("/")[2])


def test_night_is_darker_and_black_and_white_has_no_colour() -> None:
    scene = edits.prepare_scene(noise())
    before = np.asarray(scene.rgb, dtype=float)

    assert np.asarray(edits.night(scene, draw()).picture).mean() < 0.6 * before.mean()
    grey = np.asarray(edits.black_and_white(scene, draw()).picture)
    assert (grey[..., 0] == grey[..., 1]).all()


@pytest.mark.parametrize("name", [*edits.WHOLE, *edits.THING])
def test_every_edit_keeps_the_size_and_says_something(name: str) -> None:
    scene = edits.prepare_scene(product())
    edited = {**edits.WHOLE, **edits.THING}[name](scene, draw(3))

    assert edited.picture.size == scene.rgb.size
    assert edited.picture.mode == "RGB"
    assert edited.words.strip()
    assert np.abs(np.asarray(edited.picture, float) - np.asarray(scene.rgb, float)).mean() > 0.5


def test_edits_of_the_thing_are_not_made_where_it_is_unknown() -> None:
    scene = edits.prepare_scene(noise())

    assert {edits.apply_edit(scene, draw(s)).name for s in range(40)} <= set(edits.WHOLE)
    with pytest.raises(ValueError, match="border is not plain"):
        edits.recolour(scene, draw())


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        product(colour).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def test_the_result_is_a_data_set_that_bench_reads(pictures: list[Path], tmp_path: Path) -> None:
    made = make_edited(pictures, tmp_path / "out", EditSettings(count=7))
    dataset, _ = find_dataset(str(tmp_path / "out"))
    (task,) = dataset.load(tmp_path / "out", LoadOptions())

    assert made.triplets == sum(made.by_edit.values()) == 7
    rows = [
        json.loads(line) for line in (tmp_path / "out" / "queries.jsonl").read_text().splitlines()
    ]
    there, back = rows[:7], rows[7:]
    assert len(task.queries) == len(rows)
    assert len(back) == sum(row["type"].removeprefix("edit:") in edits.BACK for row in there) > 0
    ways = {row["id"]: (row["reference"], row["targets"], row["group"]) for row in there}
    for row in back:
        reference, (copy,), group = ways[row["id"].removesuffix("-back")]
        assert (row["reference"], row["targets"], row["group"]) == (copy, [reference], group)
        assert row["text"] in edits.BACK[row["type"].removeprefix("edit:")]
    assert len(task.gallery) == 3 + 7
    assert all(task.pictures[name].path.is_file() for name in task.needed)
    row = json.loads((tmp_path / "out" / "queries.jsonl").read_text().splitlines()[0])
    assert row["provenance"]["writer"] == "edit"


def test_the_same_seed_makes_the_same_and_a_second_call_goes_on(
    pictures: list[Path], tmp_path: Path
) -> None:
    make_edited(pictures, tmp_path / "a", EditSettings(count=5, seed=3))
    make_edited(pictures, tmp_path / "b", EditSettings(count=5, seed=3))
    first, second = ((tmp_path / n / "queries.jsonl").read_text() for n in "ab")
    assert first == second
    copy = tmp_path / "b" / "images" / "edit-000002.jpg"
    content = copy.read_bytes()
    copy.unlink()
    make_edited(pictures, tmp_path / "b", EditSettings(count=5, seed=3))
    assert copy.read_bytes() == content


def test_bad_input(pictures: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no pictures"):
        make_edited([], tmp_path / "out", EditSettings())
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(
        DatasetError, match=r"none of 1 pictures could be read, e\.g\. .*broken\.jpg: "
    ):
        make_edited([broken], tmp_path / "none", EditSettings(count=2))
    assert make_edited(pictures, tmp_path / "none", EditSettings(count=2)).triplets == 2
    made = make_edited([*pictures, broken], tmp_path / "some", EditSettings(count=8))
    assert made.triplets == 6
    assert {Path(file).name for file, _ in made.skipped} == {"broken.jpg"}
    with pytest.raises(DatasetError, match="other settings"):
        make_edited(pictures, tmp_path / "some", EditSettings(count=9))


def contents(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_of_something_else_is_refused_and_left_alone(
    pictures: list[Path], tmp_path: Path
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name in ("dataset.json", "gallery.jsonl", "queries.jsonl"):
        (own / name).write_text("mine")
    before = contents(own)
    with pytest.raises(OutputError, match=r"own: holds something else .*; name a new or empty"):
        make_edited(pictures, own, EditSettings(count=2))
    assert contents(own) == before
    assert not (own / "images").exists()
    with pytest.raises(OutputError, match="is a file, but a folder is needed"):
        make_edited(pictures, own / "gallery.jsonl", EditSettings(count=2))
    with pytest.raises(OutputError, match=r"gallery\.jsonl is no folder"):
        make_edited(pictures, own / "gallery.jsonl" / "below", EditSettings(count=2))


def test_a_disk_that_refuses_is_told(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DatasetError, match=r"cannot write to .*out: No space left on device"):
        make_edited(pictures, tmp_path / "out", EditSettings(count=2))
    assert not (tmp_path / "out" / "queries.jsonl").exists()


def test_copies_of_other_pictures_of_the_same_names_are_not_taken(
    pictures: list[Path], tmp_path: Path
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    for file in pictures:
        product("yellow").save(others / file.name)
    out = tmp_path / "out"
    make_edited(pictures, out, EditSettings(count=3))
    before = contents(out)
    with pytest.raises(DatasetError, match=r"out holds edits of other settings or pictures"):
        make_edited(sorted(others.iterdir()), out, EditSettings(count=3))
    assert contents(out) == before


@pytest.mark.parametrize("change", ["size", "time"])
def test_a_picture_that_has_changed_is_noticed(
    pictures: list[Path], tmp_path: Path, change: str
) -> None:
    out = tmp_path / "out"
    make_edited(pictures, out, EditSettings(count=3))
    state = pictures[1].stat()
    if change == "size":
        product("yellow").resize((50, 50)).save(pictures[1])
        os.utime(pictures[1], ns=(state.st_atime_ns, state.st_mtime_ns))
    else:
        os.utime(pictures[1], ns=(state.st_atime_ns, state.st_mtime_ns + 1_000_000))
    with pytest.raises(DatasetError, match="pictures that have changed since"):
        make_edited(pictures, out, EditSettings(count=3))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_damaged_settings_are_refused(pictures: list[Path], tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "edits.json").write_bytes(content)
    with pytest.raises(DatasetError, match="other settings"):
        make_edited(pictures, tmp_path / "out", EditSettings(count=3))


def test_a_stopped_run_leaves_whole_files_and_goes_on(
    pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make_edited(pictures, out, EditSettings(count=3))
    before = contents(out)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", _pulled_plug)
        with pytest.raises(DatasetError, match=r"cannot write to .*pulled"):
            make_edited(pictures, out, EditSettings(count=3))
    assert contents(out) == before
    make_edited(pictures, out, EditSettings(count=3))
    assert contents(out) == before


def _pulled_plug(*_args: object) -> None:
    raise OSError(5, "pulled")
