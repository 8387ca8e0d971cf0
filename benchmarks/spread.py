"""A late step of making a bundle: how the vectors of many unrelated pictures spread.

    composir index DATA/flickr8k-train DATA/imagenet-samples --model BUNDLE --gallery PHOTOS
    python benchmarks/spread.py BUNDLE --gallery PHOTOS

Blends with `evened` divide by it (`composir/compose/spread.py`). The pictures need no labels; those
of `mini` are photographs, neither of product titles nor drawn, so that no domain of the benchmarks
has a part in it. `composir models add` takes the packaged sample instead.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mini_recipe import describe

from composir import open_gallery
from composir.compose.spread import factor_of
from composir.model import load_model

SPREAD = "spread.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description="Write how pictures' vectors spread.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--gallery", type=Path, required=True, help="of many unrelated pictures")
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    _, vectors = open_gallery(asked.gallery, model).vectors()
    np.save(asked.bundle / SPREAD, factor_of(vectors).astype(np.float16))
    describe(asked.bundle, model.manifest, spread=SPREAD)
    print(f"{len(vectors):,} pictures")


if __name__ == "__main__":
    main()
