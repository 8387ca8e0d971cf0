"""Entries of public sets with something missing or of the wrong type are named."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from composir.bench.datasets import find_dataset
from composir.bench.task import BenchTask, LoadOptions
from composir.errors import DatasetError
from tests.unit.bench.test_public_sets import made_cirr

Rows = list[dict[str, Any]]


def load(name: str, root: Path, **options: Any) -> tuple[BenchTask, ...]:
    return find_dataset(name)[0].load(root, LoadOptions(**options))


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def made_circo(root: Path, change: dict[str, Any] | None = None, images: object = None) -> Path:
    """A CIRCO of the official size, made up; `change` goes into entry 3."""
    rows: Rows = [
        {
            "id": i,
            "reference_img_id": i,
            "relative_caption": "is red",
            "target_img_id": i + 1,
            "gt_img_ids": [i + 1, i + 2],
            "semantic_aspects": ["colour"],
        }
        for i in range(220)
    ]
    rows[3] |= change or {}
    write(root / "annotations" / "val.json", rows)
    listed = {"images": [{"id": i} for i in range(222)]} if images is None else images
    info = root / "COCO2017_unlabeled" / "annotations" / "image_info_unlabeled2017.json"
    write(info, listed)
    return root


def made_genecis(root: Path, change: dict[str, Any]) -> Path:
    """GeneCIS with attribute tasks, made up; `change` goes into entry 3 of focus_attribute."""
    coco = [{"val_image_id": n} for n in range(17)]
    whole = {"condition": "car", "reference": coco[0], "target": coco[1], "gallery": coco[2:]}
    for name in ("focus_object", "change_object"):
        write(root / f"{name}.json", [whole] * 1960)
    cut = [{"image_id": n, "instance_bbox": [1, 2, 30, 40]} for n in range(12)]
    row = {"condition": "colour", "reference": cut[0], "target": cut[1], "gallery": cut[2:]}
    write(root / "focus_attribute.json", [row] * 3 + [row | change] + [row] * 1996)
    return root


def made_fashioniq(root: Path, change: dict[str, Any], names: list[object] | None = None) -> Path:
    """FashionIQ's first category in the official size, made up; `change` goes into entry 3."""
    images: list[object] = [f"B{n:05}" for n in range(3817)]
    rows: Rows = [
        {"candidate": images[n], "target": images[n + 1], "captions": ["is red", "is long"]}
        for n in range(2017)
    ]
    rows[3] |= change
    write(root / "captions" / "cap.dress.val.json", rows)
    write(root / "image_splits" / "split.dress.val.json", names or images)
    return root


def test_a_whole_circo_is_read(tmp_path: Path) -> None:
    task = load("circo", made_circo(tmp_path))[0]
    assert len(task.gallery) == 222
    assert task.queries[3].targets == ("4", "5")
    assert task.queries[3].primary == "4"
    assert task.queries[3].aspects == ("colour",)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({}, "no 'images'"),
        ({"images": 5}, "'images' must be a list, not 5"),
        ({"images": [{"id": 1}, {"name": "x"}]}, "no 'images.1.id'"),
        ({"images": ["x"]}, "'images.0' must be an object, not \"x\""),
        ({"images": [{"id": "x"}]}, "'images.0.id' must be a whole number"),
    ],
)
def test_circos_list_of_images(tmp_path: Path, images: object, message: str) -> None:
    root = made_circo(tmp_path, images=images)
    with pytest.raises(DatasetError, match=rf"image_info_unlabeled2017.json(,|:) {message}"):
        load("circo", root)


def test_files_that_are_not_cocos_may_lie_beside_circos_images(tmp_path: Path) -> None:
    root = made_circo(tmp_path)
    coco = root / "COCO2017_unlabeled"
    (coco / "annotations" / "image_info_unlabeled2017.json").unlink()
    (coco / "unlabeled2017").mkdir()
    stray = ["notes", "1_small"]
    if sys.platform == "linux":  # elsewhere file names are UTF-8
        stray.append(os.fsdecode(b"caf\xe9"))
    for name in (*(f"{number:012}" for number in range(222)), *stray):
        (coco / "unlabeled2017" / f"{name}.jpg").touch()
    task = load("circo", root)[0]
    assert set(task.gallery) == {str(number) for number in range(222)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relative_caption": None}, "no 'relative_caption'"),
        ({"relative_caption": ["a"]}, "'relative_caption' must be a text"),
        ({"reference_img_id": "x"}, "'reference_img_id' must be a whole number"),
        ({"gt_img_ids": 5}, "'gt_img_ids' must be a list, not 5"),
        ({"gt_img_ids": None}, "no 'gt_img_ids'"),
        ({"target_img_id": None}, "no 'target_img_id'"),
        ({"semantic_aspects": "colour"}, "'semantic_aspects' must be a list, not"),
        ({"target_img_id": [4]}, "'target_img_id' must be a text or a whole number"),
    ],
)
def test_circos_entries(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"val.json, entry 3: {message}"):
        load("circo", made_circo(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target": {"image_id": 1}},
            ": 'target' needs 'val_image_id', or 'image_id' and 'instance_bbox'",
        ),
        (
            {"reference": {"instance_bbox": [1, 2, 3, 4]}},
            ": 'reference' needs 'val_image_id', or 'image_id' and 'instance_bbox'",
        ),
        ({"target": 5}, ": 'target' must be an object, not 5"),
        ({"gallery": None}, ": no 'gallery'"),
        ({"gallery": "abc"}, ": 'gallery' must be a list"),
        (
            {"gallery": [{"image_id": 1, "instance_bbox": [1, 2, 3]}]},
            ": no 'gallery.0.instance_bbox.3'",
        ),
        (
            {"target": {"image_id": 1, "instance_bbox": [1, 2, 3, None]}},
            ": 'target.instance_bbox.3' must be a number, not null",
        ),
        ({"target": {"val_image_id": "x"}}, ": 'target.val_image_id' must be a whole number"),
        ({"condition": None}, ": no 'condition'"),
    ],
)
def test_genecis_entries(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"focus_attribute.json, entry 3{message}"):
        load("genecis", made_genecis(tmp_path, change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"captions": ["is red"]}, "no 'captions.1'"),
        ({"captions": "is red"}, "'captions' must be a list"),
        ({"captions": None}, "no 'captions'"),
        ({"captions": ["is red", None]}, "'captions.1' must be a text"),
        ({"candidate": None}, "no 'candidate'"),
        ({"target": ["x"]}, "'target' must be a text"),
    ],
)
def test_fashioniqs_entries(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"cap.dress.val.json, entry 3: {message}"):
        load("fashioniq", made_fashioniq(tmp_path, change))


def test_fashioniqs_list_of_images(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"split.dress.val.json: 'names.0' must be"):
        load("fashioniq", made_fashioniq(tmp_path, {}, [["x"]] * 3817))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_set": {}}, "no 'img_set.members'"),
        ({"img_set": 5}, "'img_set' must be an object, not 5"),
        ({"caption": None}, "no 'caption'"),
        ({"img_set": {"members": 5}}, "'img_set.members' must be a list"),
        ({"target_hard": None}, "no 'target_hard'"),
        ({"target_hard": {}}, "'target_hard' must be a text"),
    ],
)
def test_cirrs_entries(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    def alter(rows: Rows) -> None:
        rows[3] |= change

    root = made_cirr(tmp_path, alter)
    with pytest.raises(DatasetError, match=rf"cap.rc2.val.json, entry 3(:|,) {message}"):
        load("cirr", root)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nested more than 100 deep"),
        ("1" * 5000, "a whole number of more than 4,300 digits"),
        ('[\n{"a": }]', "not JSON"),
    ],
)
def test_files_that_cannot_be_read_as_json(tmp_path: Path, content: str, message: str) -> None:
    path = made_circo(tmp_path) / "annotations" / "val.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match=rf"val.json(, line 2)?: .*{message}"):
        load("circo", tmp_path)
