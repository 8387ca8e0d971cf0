"""Training images from folders, globs, tar shards and tables."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from PIL import Image

from composir.errors import TrainingError
from composir.train.gallery_features import image_files
from composir.train.source_pictures import is_dev, list_training_images, training_images
from composir.types import Failure


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 10), colour).save(path)
    return path


def shard(path: Path, files: list[Path]) -> Path:
    with tarfile.open(path, "w") as archive:
        for file in files:
            archive.add(file, f"inside/{file.name}")
    return path


def names(spec: object) -> list[str]:
    return [image.name for image in training_images(spec)]  # type: ignore[arg-type]


def test_a_folder_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "deep/c.jpg"):
        picture(tmp_path / "mine" / name)
    (tmp_path / "mine/notes.txt").write_text("no picture")

    assert names(tmp_path / "mine") == ["mine/a.png", "mine/b.png", "mine/deep/c.jpg"]


def test_a_glob_and_several_specs_without_repeats(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.jpg"):
        picture(tmp_path / name)
    spec = [str(tmp_path / "*.png"), str(tmp_path / "a.png"), str(tmp_path / "c.jpg")]

    assert names(spec) == ["a.png", "b.png", "c.jpg"]


def test_pictures_are_read_out_of_tar_shards(tmp_path: Path) -> None:
    files = [picture(tmp_path / "x.png", "red"), picture(tmp_path / "y.png", "blue")]
    (tmp_path / "shards").mkdir()
    shard(tmp_path / "shards/0.tar", files)
    images = training_images(tmp_path / "shards")

    assert [image.name for image in images] == ["0.tar/inside/x.png", "0.tar/inside/y.png"]
    assert [
        file.open().getpixel((3, 3)) for file in image_files([image.file for image in images])
    ] == [
        (255, 0, 0),
        (0, 0, 255),
    ]


def test_what_in_a_shard_is_no_picture_to_be_had_is_told(tmp_path: Path) -> None:
    file = picture(tmp_path / "x.png")
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        for name in ("x.png", "../above.png", ".hidden.png", "x.txt"):
            archive.add(file, name)
    skipped: list[Failure] = []

    found = training_images(tmp_path / "0.tar", skipped.append)
    assert [image.name for image in found] == ["0.tar/x.png"]
    assert ["'../above.png' in it" in one.reason for one in skipped] == [True]


def test_a_table_names_paths_relative_to_itself(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    picture(tmp_path / "in/a.png")
    table = pyarrow.table({"path": ["in/a.png", "in/gone.png"], "other": [1, 2]})
    parquet.write_table(table, tmp_path / "list.parquet")
    skipped: list[Failure] = []

    assert [image.name for image in training_images(tmp_path / "list.parquet", skipped.append)] == [
        "in/a.png"
    ]
    assert [(f.path.name, f.reason) for f in skipped] == [
        ("gone.png", "named in list.parquet but not there")
    ]


def test_many_lost_paths_are_told_in_one_line(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    picture(tmp_path / "a.png")
    names = ["a.png", *(f"gone-{n}.png" for n in range(200))]
    parquet.write_table(pyarrow.table({"path": names}), tmp_path / "list.parquet")
    said: list[str] = []

    assert len(list_training_images(tmp_path / "list.parquet", said.append)) == 1
    assert len(said) == 1
    assert said[0].startswith(f"skipping {tmp_path / 'gone-0.png'}, ")
    assert said[0].endswith(" and 197 more: named in list.parquet but not there")


def test_a_table_without_paths_lists_its_columns(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"where": ["a.png"]}), tmp_path / "list.parquet")
    with pytest.raises(TrainingError, match="no column of paths: it has where"):
        training_images(tmp_path / "list.parquet")


def test_what_cannot_be_found_or_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.tar.gz").write_bytes(b"")
    (tmp_path / "x.tar").write_bytes(b"no tar at all")
    for spec, said in {
        "missing": "does not exist",
        "empty": "no training images",
        "*.png": "no training images",
        "x.tar.gz": "is compressed",
        "x.tar": "no readable tar shard",
    }.items():
        with pytest.raises(TrainingError, match=said):
            training_images(tmp_path / spec)


def test_the_split_is_by_name_and_of_about_the_share_asked() -> None:
    chosen = [is_dev(f"{i}.jpg", 0.1) for i in range(2000)]

    assert 150 < sum(chosen) < 250
    assert chosen == [is_dev(f"{i}.jpg", 0.1) for i in range(2000)]
    assert not any(is_dev(f"{i}.jpg", 0.0) for i in range(100))
