"""Adapters on the official annotations, and on made ones where the official are not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from composir.bench.datasets import DATASETS, find_dataset
from composir.bench.datasets.fashioniq import joined_captions
from composir.bench.evaluation import VectorSource, prepare
from composir.bench.protocol import outcomes, rank_scores
from composir.bench.task import BenchTask, LoadOptions
from composir.errors import DatasetError
from tests.fakes import ColourModel
from tests.unit.bench.shared import annotation_folder, features, query_vectors


def load(name: str, root: Path, **options: Any) -> tuple[BenchTask, ...]:
    return find_dataset(name)[0].load(root, LoadOptions(**options))


def made_cirr(root: Path, change: Callable[[list[dict[str, Any]]], None] | None = None) -> Path:
    """A CIRR of the official size, made up."""
    names = [f"dev-{i}-0-img0" for i in range(2297)]
    rows: list[dict[str, Any]] = []
    for i in range(4181):
        members = [names[(i + step) % len(names)] for step in range(6)]
        rows.append(
            {
                "pairid": i,
                "reference": members[0],
                "target_hard": members[1],
                "target_soft": {members[2]: 1.0},
                "caption": "make it red",
                "img_set": {"id": i, "members": members},
            }
        )
    if change:
        change(rows)
    for folder in ("captions", "image_splits"):
        (root / folder).mkdir(parents=True)
    (root / "captions" / "cap.rc2.val.json").write_text(json.dumps(rows))
    paths = {name: f"./dev/{name}.png" for name in names}
    (root / "image_splits" / "split.rc2.val.json").write_text(json.dumps(paths))
    return root


def test_every_data_set_declares_what_it_is() -> None:
    for name in DATASETS:
        dataset = find_dataset(name)[0]
        assert dataset.name == name
        for told in (dataset.reference, dataset.licence, dataset.protocol):
            assert len(told) > 20
        assert "http" in dataset.images_from


def test_cirr_counts_only_the_hard_target_and_takes_the_reference_out(tmp_path: Path) -> None:
    task = load("cirr", made_cirr(tmp_path))[0]
    query = task.queries[0]
    assert task.exclude_reference
    assert query.targets == ("dev-1-0-img0",)
    assert query.subset == tuple(f"dev-{i}-0-img0" for i in range(1, 6))


def test_cirr_of_another_size_is_another_version(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"4,180 entries.*4,181; is it another version"):
        load("cirr", made_cirr(tmp_path, lambda rows: rows.__delitem__(0)))


def test_cirr_of_another_version_by_name(tmp_path: Path) -> None:
    root = made_cirr(tmp_path)
    file = root / "captions" / "cap.rc2.val.json"
    file.rename(file.with_name("cap.rc1.val.json"))
    with pytest.raises(DatasetError, match=r"cap.rc1.val.json is another version than rc2"):
        load("cirr", root)


def test_cirr_entry_without_a_key_is_named(tmp_path: Path) -> None:
    def drop(rows: list[dict[str, Any]]) -> None:
        del rows[7]["target_hard"]

    with pytest.raises(DatasetError, match=r"cap.rc2.val.json, entry 7: no 'target_hard'"):
        load("cirr", made_cirr(tmp_path, drop))


def test_cirr_target_outside_of_the_gallery_is_named(tmp_path: Path) -> None:
    def mislead(rows: list[dict[str, Any]]) -> None:
        rows[3]["target_hard"] = "dev-none"

    with pytest.raises(DatasetError, match=r"entry 3: the target 'dev-none' is not in the gallery"):
        load("cirr", made_cirr(tmp_path, mislead))


def test_missing_images_are_counted_named_and_told_where_to_get(tmp_path: Path) -> None:
    task = load("cirr", made_cirr(tmp_path))[0]
    with pytest.raises(DatasetError) as caught:
        prepare(task, VectorSource(ColourModel()))
    message = str(caught.value)
    assert "2,297 of 2,297 images are missing" in message
    assert message.count(".png") == 10
    assert "github.com/Cuberick-Orion/CIRR" in message
    with pytest.raises(DatasetError, match="every query needs one of them"):
        prepare(task, VectorSource(ColourModel(), allow_missing=True))


def test_unknown_splits_variants_and_roots(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cirr has no split 'train'; it has 'val', 'test1'"):
        load("cirr", tmp_path, split="train")
    with pytest.raises(DatasetError, match="fashioniq has no variant 'mine'"):
        load("fashioniq", tmp_path, variant="mine")
    with pytest.raises(DatasetError, match="circo has no captions to put in place"):
        load("circo", tmp_path, text_proxy=True)
    with pytest.raises(DatasetError, match="no captions below"):
        load("cirr", tmp_path)


def test_fashioniq_captions_are_stripped_and_joined_in_both_orders() -> None:
    assert joined_captions([" is red. ", "has no sleeves?,"]) == (
        "is red and has no sleeves",
        "has no sleeves and is red",
    )


def test_fashioniq_galleries_of_both_variants() -> None:
    root = annotation_folder()
    whole = load("fashioniq", root)
    assert [len(task.gallery) for task in whole] == [3817, 6346, 5373]
    used = load("fashioniq", root, variant="val-one-order")
    assert all(len(a.gallery) > len(b.gallery) for a, b in zip(whole, used, strict=True))
    assert [len(task.queries[0].texts) for task in (whole[0], used[0])] == [2, 1]
    assert not whole[0].exclude_reference
    assert whole[0].queries[0].reference == "B005X4PL1G"
    assert "both caption orders" in whole[0].variant
    assert "VAL split" in used[0].variant


def test_cirr_official_splits() -> None:
    root = annotation_folder()
    val, test1 = load("cirr", root)[0], load("cirr", root, split="test1")[0]
    assert (len(val.queries), len(val.gallery)) == (4181, 2297)
    assert (len(test1.queries), len(test1.gallery)) == (4148, 2315)
    assert test1.hidden_truth
    assert all(len(query.subset) == 5 for query in val.queries)


def test_cirr_text_proxy_says_so_everywhere() -> None:
    task = load("cirr", annotation_folder(), text_proxy=True)[0]
    assert task.name == "cirr-text-proxy"
    assert "not CIRR" in task.notices[0]
    assert task.captions is not None
    assert set(task.needed) <= set(task.captions)


def test_circo_without_list_or_images_says_where_to_get_them(tmp_path: Path) -> None:
    shutil.copytree(annotation_folder() / "circo", tmp_path / "circo")
    with pytest.raises(DatasetError, match="image_info_unlabeled2017"):
        load("circo", tmp_path)


def test_circo_gallery_is_cocos_own_list(tmp_path: Path) -> None:
    shutil.copytree(annotation_folder() / "circo", tmp_path / "circo")
    rows = json.loads((tmp_path / "circo/annotations/test.json").read_text())
    info = tmp_path / "circo/COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
    info.parent.mkdir(parents=True)
    images = [{"id": row["reference_img_id"]} for row in rows]
    unique = {image["id"]: image for image in images}
    info.write_text(json.dumps({"images": list(unique.values())}))
    task = load("circo", tmp_path, split="test")[0]
    assert set(task.gallery) == {str(name) for name in unique}
    assert not task.exclude_reference
    assert task.pictures[task.gallery[0]].path.name == f"{int(task.gallery[0]):012d}.jpg"


def test_genecis_target_stands_first_and_ties_go_against_it() -> None:
    import numpy as np

    focus, change = load("genecis", annotation_folder())
    assert (focus.name, change.name) == ("genecis-focus-object", "genecis-change-object")
    assert "without focus_attribute and change_attribute" in focus.notices[0]
    assert all(query.targets == query.subset[:1] for query in focus.queries)
    twice = [query for query in change.queries if query.targets[0] in query.subset[1:]]
    assert len(twice) == 1
    assert {len(query.subset) for query in focus.queries} == {15}
    assert all(query.reference not in query.subset for query in change.queries)
    constant = rank_scores(focus, np.ones((len(focus.queries), len(focus.gallery))))
    assert outcomes(constant, focus.metrics).max() == 0.0


def test_genecis_seeded_vectors_beat_chance() -> None:
    task = load("genecis", annotation_folder())[0]
    scores = query_vectors(task) @ features(task.gallery).T
    figures = outcomes(rank_scores(task, scores), task.metrics).mean(axis=0)
    assert figures[0] > 2 / 15
    assert figures[0] < figures[1] < figures[2]


def test_genecis_attribute_tasks_are_cut_out_of_visual_genome(tmp_path: Path) -> None:
    root = annotation_folder()
    for name in ("focus_object", "change_object"):
        shutil.copy(root / "genecis" / f"{name}.json", tmp_path)

    def image(number: int) -> dict[str, Any]:
        return {"image_id": number, "instance_bbox": [10, 20, 30, 40]}

    row = {
        "condition": "color",
        "reference": image(1),
        "target": image(2),
        "gallery": [image(n) for n in range(3, 12)],
    }
    (tmp_path / "focus_attribute.json").write_text(json.dumps([row] * 2000))
    task = load("genecis", tmp_path)[2]
    picture = task.pictures[task.queries[0].targets[0]]
    assert picture.path == tmp_path / "VG_100K" / "2.jpg"
    assert picture.crop is not None
    assert picture.crop.box == (10, 20, 30, 40)
    assert picture.crop.square


def made_domains(root: Path) -> Path:
    real = "imgnet/real/n1/a.JPEG 5 \nimgnet/real/n2/b.JPEG 9 \n"
    targets = "".join(
        f"imgnet/imagenet-r/{name} {label} \n"
        for name, label in {
            "n1/cartoon_0.jpg": 5,
            "n1/cartoon_1.jpg": 5,
            "n1/toy_0.jpg": 2005,
            "n2/cartoon_0.jpg": 9,
        }.items()
    )
    (root / "imgnet_real_query.txt").write_text(real)
    (root / "imgnet_targets.txt").write_text(targets)
    return root


def test_domain_conversion_is_set_recall_over_four_domains(tmp_path: Path) -> None:
    import numpy as np

    tasks = load("domain-conversion", made_domains(tmp_path))
    assert [task.name.rpartition("-")[2] for task in tasks] == [
        "cartoon",
        "origami",
        "toy",
        "sculpture",
    ]
    cartoon, origami = tasks[0], tasks[1]
    assert cartoon.queries[0].texts == ("a cartoon of *",)
    assert cartoon.queries[0].targets == (
        "imagenet-r/n1/cartoon_0.jpg",
        "imagenet-r/n1/cartoon_1.jpg",
    )
    assert cartoon.pictures["real/n1/a.JPEG"].path == tmp_path / "real/n1/a.JPEG"
    scores = np.array([[4.0, 1.0, 3.0, 2.0], [4.0, 3.0, 2.0, 1.0]])
    assert outcomes(rank_scores(cartoon, scores), ["set_recall@1"]).ravel().tolist() == [0.5, 0.0]
    assert outcomes(rank_scores(origami, scores), ["set_recall@4"]).max() == 0.0


def test_domain_conversion_leaves_the_photographs_asked_with_in_the_gallery(tmp_path: Path) -> None:
    import numpy as np

    root = made_domains(tmp_path)
    with (root / "imgnet_targets.txt").open("a") as file:
        file.write("imgnet/real/n1/a.JPEG 6005 \n")
    cartoon = load("domain-conversion", root)[0]
    assert cartoon.queries[0].reference == cartoon.gallery[4] == "real/n1/a.JPEG"
    assert len(cartoon.queries[0].targets) == 2
    scores = np.array([[4.0, 3.0, 1.0, 2.0, 5.0], [4.0, 3.0, 1.0, 5.0, 2.0]])
    found = outcomes(rank_scores(cartoon, scores), ["set_recall@2"])
    assert found.ravel().tolist() == [0.5, 1.0]


def test_domain_conversion_of_another_size_says_so(tmp_path: Path) -> None:
    for task in load("domain-conversion", made_domains(tmp_path)):
        assert task.notices == (
            "2 queries in a gallery of 4 images, not Pic2Word's 10,000 in 16,983",
        )
    lines = [f"imgnet/real/n1/{n}.JPEG {n % 200} \n" for n in range(16_983)]
    (tmp_path / "imgnet_real_query.txt").write_text("".join(lines[:10_000]))
    (tmp_path / "imgnet_targets.txt").write_text("".join(lines))
    assert load("domain-conversion", tmp_path)[0].notices == ()


def test_object_composition_cuts_the_region_and_names_the_scene(tmp_path: Path) -> None:
    (tmp_path / "coco_eval.csv").write_text(
        "id,query_regions,query_class,classes\n"
        "000000000139.jpg,10.2;20.9;30.0;60.5 ,tv,chair;vase\n"
        "000000000285.jpg,1;2;3;4 ,bear,\n"
    )
    task = load("object-composition", tmp_path)[0]
    first, second = task.queries
    assert first.texts == ("a photo of * and tv and chair and vase",)
    assert second.texts == ("a photo of * and bear",)
    assert first.targets == ("000000000139.jpg",)
    crop = task.pictures[str(first.reference)].crop
    assert crop is not None
    assert crop.box == (10, 20, 20, 40)


def test_object_composition_says_where_its_text_is_not_the_original_codes(tmp_path: Path) -> None:
    header = "id,query_regions,query_class,classes\n"
    (tmp_path / "coco_eval.csv").write_text(f"{header}1.jpg,1;2;3;4 ,tv,vase\n")
    assert load("object-composition", tmp_path)[0].notices == ()
    (tmp_path / "coco_eval.csv").write_text(f"{header}1.jpg,1;2;3;4 ,tv,vase\n2.jpg,1;2;3;4,tv,\n")
    [notice] = load("object-composition", tmp_path)[0].notices
    assert notice.startswith("1 of 2 queries name one object alone")
