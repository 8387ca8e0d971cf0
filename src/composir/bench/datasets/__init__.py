"""The table of data sets, one file each; a folder on disk is read by `folder`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from composir.bench.task import Dataset
from composir.errors import DatasetError

DATASETS = {
    "cirr": "composir.bench.datasets.cirr",
    "fashioniq": "composir.bench.datasets.fashioniq",
    "circo": "composir.bench.datasets.circo",
    "genecis": "composir.bench.datasets.genecis",
    "domain-conversion": "composir.bench.datasets.domain_conversion",
    "object-composition": "composir.bench.datasets.object_composition",
}


def find_dataset(name_or_path: str) -> tuple[Dataset, Path | None]:
    """Look up a benchmark by name, or take a folder in the folder format."""
    if name_or_path in DATASETS:
        dataset: Dataset = import_module(DATASETS[name_or_path]).DATASET
        return dataset, None
    path = Path(name_or_path)
    if path.is_dir():
        from composir.bench.datasets.folder import folder_dataset

        return folder_dataset(path), path
    known = ", ".join(DATASETS)
    raise DatasetError(
        f"{name_or_path!r} is neither a known data set ({known}) nor a folder with a dataset.json"
    )
