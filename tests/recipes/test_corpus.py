"""Training pictures from data set folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from corpus import SOURCES, fashion_group, read_corpus, split_of

from composir.errors import DatasetError


def write(root: Path, name: str, *rows: dict[str, Any]) -> None:
    folder = root / name
    folder.mkdir(parents=True)
    lines = [json.dumps({"id": i, "file": f"images/{i}.jpg", **row}) for i, row in enumerate(rows)]
    (folder / "gallery.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_captions_lose_the_space_before_a_full_stop(tmp_path: Path) -> None:
    write(tmp_path, "flickr8k-train", {"captions": ["A dog , running .", "Two dogs ."]})
    [picture] = read_corpus(tmp_path, ("flickr8k-train",))

    assert picture.texts == ("A dog, running", "Two dogs")
    assert picture.file == tmp_path / "flickr8k-train" / "images" / "0.jpg"


def test_fashion_texts_name_colour_and_kind(tmp_path: Path) -> None:
    row = {"title": "Puma Red Shirt", "type": "Shirts", "colour": "Red", "gender": "Men"}
    write(tmp_path, "fashion-recolour", row)
    [picture] = read_corpus(tmp_path, ("fashion-recolour",))

    assert picture.texts == (
        "Puma Red Shirt",
        "red shirts",
        "a photo of shirts in red",
        "red shirts for men",
    )


def test_colours_of_one_title_stay_in_one_split(tmp_path: Path) -> None:
    titles = [f"Maker {n} {colour} Shirt" for n in range(30) for colour in ("Red", "Navy Blue")]
    write(tmp_path, "fashion-recolour", *({"title": title} for title in titles))
    pictures = read_corpus(tmp_path, ("fashion-recolour",))

    assert all(a.split == b.split for a, b in zip(pictures[::2], pictures[1::2], strict=True))
    assert {picture.split for picture in pictures} == {"train", "dev", "test"}
    assert fashion_group({"title": titles[0]}) == fashion_group({"title": titles[1]})


def test_pictures_without_a_usable_text_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "clothing-train", {"class": "Not sure"}, {"class": "Hat", "kids": True})
    [picture] = read_corpus(tmp_path, ("clothing-train",))

    assert picture.texts == ("a photo of a child's hat", "hat")


def test_splits_are_the_same_everywhere_and_have_the_shares_asked_for() -> None:
    splits = [split_of(f"set/{n}", 0.15, 0.3) for n in range(2000)]

    assert splits == [split_of(f"set/{n}", 0.15, 0.3) for n in range(2000)]
    assert splits.count("test") / 2000 == pytest.approx(0.3, abs=0.03)
    assert splits.count("dev") / 2000 == pytest.approx(0.15, abs=0.03)


def test_unknown_missing_and_empty_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no training source named cats; known: flickr8k-train"):
        read_corpus(tmp_path, ("cats",))
    with pytest.raises(DatasetError, match=r"gallery\.jsonl is missing: unpack the data set"):
        read_corpus(tmp_path, ("pacs-domains",))
    write(tmp_path, "clothing-train", {"class": "Other"})
    with pytest.raises(DatasetError, match="no training pictures below"):
        read_corpus(tmp_path, ("clothing-train",))


def test_kin_are_one_title_in_other_colours_and_one_class_in_other_domains(tmp_path: Path) -> None:
    write(
        tmp_path,
        "fashion-recolour",
        {"title": "Puma Red Shirt", "colour": "Red"},
        {"title": "Puma Blue Shirt", "colour": "Navy_Blue"},
        {"title": "Puma Shirt", "colour": ""},
    )
    write(tmp_path, "pacs-domains", {"class": "dog", "domain": "sketch"})
    pictures = read_corpus(tmp_path, ("fashion-recolour", "pacs-domains"))

    assert [picture.kin for picture in pictures] == [
        ("puma shirt", "red"),
        ("puma shirt", "navy blue"),
        None,
        ("dog", "sketch"),
    ]


def test_pictures_of_real_edits_and_their_cut_outs_are_never_trained_on() -> None:
    names = [f"ADE_val_{number:08}" for number in range(400)]
    kept = {name for name in names if split_of(f"real-edits/{name}", 0.0, 0.35) == "test"}
    for source, key in (("scenes", "id"), ("garments", "id"), ("regions", "picture")):
        spec = SOURCES[source]
        groups = {name: spec.group({key: name}) for name in names}
        split = {
            n: split_of(f"{spec.split_by}/{g}", spec.dev, spec.test) for n, g in groups.items()
        }
        assert {name for name in names if split[name] == "test"} == kept

    assert 0 < len(kept) < len(names)


def test_pictures_with_masks_split_as_the_set_of_real_edits_does(tmp_path: Path) -> None:
    sofa = {"sofa": {"value": 1, "share": 0.4}, "wall": {"value": 2, "share": 0.5}}
    scene = {"id": "A1", "regions": sofa, "colours": {"sofa": "blue"}}
    region = {"class": "sofa", "colour": "blue", "picture": "A1"}
    write(tmp_path, "scenes", scene)
    write(tmp_path, "garments", {"id": "A1", "tags": ["skirt", "hat"], "colours": {"skirt": "red"}})
    write(tmp_path, "regions", region, region | {"colour": ""})
    scenes, garments, cut, plain = read_corpus(tmp_path, ("scenes", "garments", "regions"))

    assert scenes.texts[2] == "a picture with a blue sofa"
    assert garments.texts == (
        "someone wearing skirt and hat",
        "street fashion with red skirt and hat",
        "a person in a red skirt",
    )
    assert (cut.texts[0], plain.texts[1]) == ("a blue sofa", "sofa")
    assert {one.split for one in (scenes, garments, cut, plain)} == {
        split_of("real-edits/A1", 0.05, 0.35)
    }
