"""Lists and tables of Pic2Word's two sets: whatever is wrong in them is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from composir.bench.datasets import find_dataset
from composir.bench.evaluation import VectorSource, prepare
from composir.bench.task import BenchTask, LoadOptions
from composir.errors import DatasetError
from tests.fakes import ColourModel

HEADER = "id,query_regions,query_class,classes"
LINE = "1.jpg,1;2;30;40 ,tv,chair"
QUERIES, TARGETS = "imgnet_real_query.txt", "imgnet_targets.txt"


def composition(root: Path, content: str | bytes) -> BenchTask:
    raw = content if isinstance(content, bytes) else content.encode()
    (root / "coco_eval.csv").write_bytes(raw)
    return find_dataset("object-composition")[0].load(root, LoadOptions())[0]


def domains(root: Path, file: str, content: str | bytes) -> BenchTask:
    """The first domain, where `file` is replaced by `content`."""
    (root / QUERIES).write_text("imgnet/real/n1/a.JPEG 5 \n")
    (root / TARGETS).write_text("imgnet/imagenet-r/n1/cartoon_0.jpg 5 \n")
    (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    return find_dataset("domain-conversion")[0].load(root, LoadOptions())[0]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "coco_eval.csv: empty; its first line is id,query_regions,query_class,classes"),
        (["", " "], "coco_eval.csv: empty"),
        ([HEADER], "coco_eval.csv: no queries, only the line of columns"),
        (["id,boxes", "1.jpg,5"], r"line 1: columns \['id', 'boxes'\], expected"),
        ([HEADER, "1.jpg,1;2;3;4"], "line 2: expected 4 columns .*, found 2"),
        ([HEADER, "1.jpg"], "line 2: expected 4 columns .*, found 1"),
        ([HEADER, LINE, f"7.jpg,{LINE}"], "line 3: expected 4 columns .*, found 5; take out"),
        ([HEADER, '1.jpg,"1;2;3;4,tv,', LINE], "line 2: not a line of CSV"),
        ([HEADER, f"1.jpg,1;2;3;4,{'x' * 200_000},"], "line 2: not a line of CSV"),
        ([HEADER, "1.jpg,1;2;3,tv,"], "line 2: a region is four numbers, .* not '1;2;3'"),
        ([HEADER, "1.jpg,1;2;3;4;5,tv,"], "line 2: a region is four numbers"),
        ([HEADER, "1.jpg,,tv,"], "line 2: a region is four numbers, .* not ''"),
        ([HEADER, "1.jpg,1;2;inf;4,tv,"], "line 2: a region is four numbers"),
        ([HEADER, "1.jpg,1;nan;3;4,tv,"], "line 2: a region is four numbers"),
        ([HEADER, f"1.jpg,1;2;{'9' * 5000};4,tv,"], "line 2: a region .* not '1;2;9{76}'$"),
        (
            [HEADER, "1.jpg,5.1;2;5.9;4,tv,"],
            "line 2: the region '5.1;2;5.9;4' holds no whole pixel",
        ),
        ([HEADER, "1.jpg,1;9;3;4,tv,"], "line 2: the region '1;9;3;4' holds no whole pixel"),
        ([HEADER, ",1;2;3;4,tv,"], "line 2: no 'id'"),
        ([HEADER, "1.jpg,1;2;3;4,,chair"], "line 2: no 'query_class'"),
        ([HEADER, "../1.jpg,1;2;3;4,tv,"], "line 2: 'id' must be a file name, not '../1.jpg'"),
        ([HEADER, LINE, f"region:{LINE}"], "line 3: 'id' must be a file name"),
        ([HEADER, LINE, "", LINE], "line 4: the image '1.jpg' comes twice, first in .*, line 2"),
    ],
)
def test_tables_of_object_composition(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        composition(tmp_path, "".join(f"{line}\n" for line in lines))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_as_other_programs_write_them(tmp_path: Path, encoding: str, end: str) -> None:
    quoted = '"1.jpg","1;2;30;40","café table","chair;;"'
    [query] = composition(tmp_path, f"{HEADER}{end}{quoted}".encode(encoding)).queries
    assert query.texts == ("a photo of * and café table and chair",)


def test_tables_that_are_no_text(tmp_path: Path) -> None:
    for content in (f"{HEADER}\n1.jpg,1;2;3;4,café,".encode("latin-1"), HEADER.encode("utf-16")):
        with pytest.raises(DatasetError, match=r"coco_eval\.csv: not UTF-8 text"):
            composition(tmp_path, content)


def test_a_table_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "coco_eval.csv").mkdir()
    for root, message in ((tmp_path, "cannot be read"), (tmp_path / "x", "no coco_eval.csv below")):
        with pytest.raises(DatasetError, match=message):
            find_dataset("object-composition")[0].load(root, LoadOptions())


def test_pictures_of_object_composition_that_are_absent_or_do_not_hold_the_region(
    tmp_path: Path,
) -> None:
    task = composition(tmp_path, f"{HEADER}\n1.jpg,60;2;90;40,tv,\n")
    with pytest.raises(DatasetError, match=r"2 of 2 images are missing.*val2017_masked/1\.jpg"):
        prepare(task, VectorSource(ColourModel()))
    for folder in ("val2017", "val2017_masked"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (50, 50)).save(tmp_path / folder / "1.jpg")
    with pytest.raises(DatasetError, match=r"'region:1\.jpg', .*masked/1\.jpg: no pixel of its 50"):
        prepare(task, VectorSource(ColourModel()))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (QUERIES, "", "imgnet_real_query.txt: empty; each line is an image and its label"),
        (TARGETS, "\n \n", "imgnet_targets.txt: empty"),
        (
            TARGETS,
            "imgnet/a.jpg 5\nhello\n",
            "line 2: expected an image and its label, not 'hello'",
        ),
        (TARGETS, "a.jpg 5 7\n", "line 1: expected an image and its label, not 'a.jpg 5 7'"),
        (TARGETS, "a.jpg -5\n", "line 1: expected an image and its label"),
        (TARGETS, "a.jpg 5.0\n", "line 1: expected an image and its label"),
        (TARGETS, "a.jpg ²\n", "line 1: expected an image and its label, not 'a.jpg ²'"),
        (
            TARGETS,
            f"a.jpg {'9' * 5000}\n",
            "line 1: expected an image and its label, not 'a.jpg 9{74}'$",
        ),
        (
            TARGETS,
            "a.jpg 7000\n",
            "targets.txt, line 1: labels of this list are 0 to 6999, not 7000",
        ),
        (QUERIES, "a.jpg 1005\n", "query.txt, line 1: labels of this list are 0 to 999, not 1005"),
        (
            TARGETS,
            "a.jpg 5\nimgnet/a.jpg 1005\n",
            "line 2: the image 'a.jpg' comes twice, first in",
        ),
        (QUERIES, "a.jpg 5\n\na.jpg 5\n", "query.txt, line 3: the image 'a.jpg' comes twice"),
        (QUERIES, b"caf\xe9.jpg 5\n", "imgnet_real_query.txt: not UTF-8 text"),
        (TARGETS, "a.jpg 5\n".encode("utf-16"), "imgnet_targets.txt: not UTF-8 text"),
        (TARGETS, '[{"image": "a.jpg"}]', "line 1: expected an image and its label"),
    ],
)
def test_lists_of_domain_conversion(
    tmp_path: Path, file: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        domains(tmp_path, file, content)


def test_lists_as_other_programs_write_them(tmp_path: Path) -> None:
    task = domains(tmp_path, TARGETS, b"\xef\xbb\xbfimgnet/a.jpg\t5\r\nb.jpg  1005")
    assert task.gallery == ("a.jpg", "b.jpg")
    assert task.queries[0].targets == ("a.jpg",)


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (TARGETS, "imgnet_real_query.txt: this file is missing"),
        (QUERIES, "no imgnet_targets.txt below"),
    ],
)
def test_lists_that_are_missing(tmp_path: Path, there: str, message: str) -> None:
    (tmp_path / there).write_text("a.jpg 5\n")
    with pytest.raises(DatasetError, match=message):
        find_dataset("domain-conversion")[0].load(tmp_path, LoadOptions())
