"""The example of docs/adding-a-dataset.md, run as written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from composir.bench.task import LoadOptions
from composir.errors import DatasetError

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-dataset.md"


@pytest.fixture
def example() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) < 60
    names: dict[str, Any] = {}
    exec(compile(code, PAGE.name, "exec"), names)
    return names


def test_the_example_reads_its_triplets(example: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "triplets.csv").write_text('a.jpg,"in red, please",b.jpg\nb.jpg,in blue,c.jpg\n')
    task = example["DATASET"].load(tmp_path, LoadOptions())[0]
    assert task.gallery == ("a.jpg", "b.jpg", "c.jpg")
    assert task.queries[0].texts == ("in red, please",)
    assert task.exclude_reference


def test_the_example_names_a_bad_line(example: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "triplets.csv").write_text("a.jpg,in red,b.jpg\nhello\n")
    with pytest.raises(DatasetError, match=r"triplets.csv, line 2: expected reference, text"):
        example["DATASET"].load(tmp_path, LoadOptions())
