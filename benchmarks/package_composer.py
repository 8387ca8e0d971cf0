"""Put trained composers into a bundle, where they are found by name.

    python benchmarks/package_composer.py BUNDLE COMPOSER_FOLDER [COMPOSER_FOLDER ...]

Each is checked against the bundle first; one of the same name is replaced. A graph that another
composer of the bundle holds already is not stored again: the manifest names that one. Card and
manifest of the bundle are written anew; choose_defaults.py then says which composer is the default.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mini_recipe import describe
from shared_graphs import package

from composir.compose import open_trained
from composir.model import load_model
from composir.model.bundle import COMPOSERS


def main() -> None:
    parser = argparse.ArgumentParser(description="Package trained composers.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("composers", type=Path, nargs="+")
    asked = parser.parse_args()
    for folder in asked.composers:
        model = load_model(asked.bundle)
        trained = open_trained(folder, model)  # refuses what was trained for another model
        placed = package(trained.folder, asked.bundle / COMPOSERS)
        describe(asked.bundle, model.manifest)
        shared = placed.manifest.shared
        size = sum(e.bytes for name, e in placed.manifest.files.items() if name not in shared)
        told = "".join(f", {name} from {entry.in_composer}" for name, entry in shared.items())
        print(f"{placed.folder.name}: {size / 1e6:.1f} MB{told}")


if __name__ == "__main__":
    main()
