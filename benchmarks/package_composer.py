"""Put trained composers into a bundle, where they are found by name.

    python benchmarks/package_composer.py BUNDLE COMPOSER_FOLDER [COMPOSER_FOLDER ...]

Each is checked against the bundle first; one of the same name is replaced. Card and manifest of the
bundle are written anew; choose_defaults.py then says which composer is the default.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from composir.compose import load_composer
from composir.compose.trained import ComposerFolder
from composir.model import load_model
from composir.train.foundation.card import describe


def main() -> None:
    parser = argparse.ArgumentParser(description="Package trained composers.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("composers", type=Path, nargs="+")
    asked = parser.parse_args()
    for folder in asked.composers:
        model = load_model(asked.bundle)
        load_composer(str(folder), model)  # refuses what was trained for another model
        place = asked.bundle / "composers" / ComposerFolder.load(folder).manifest.name
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(folder, place)
        describe(asked.bundle, model.manifest)
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        print(f"{place.name}: {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
