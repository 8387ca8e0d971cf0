"""Give trained composers of any kind what triplets say about which way pictures move.

    python benchmarks/add_moves.py BUNDLE COMPOSER_FOLDER [COMPOSER_FOLDER ...] --triplets FOLDER

`composir train compose` learns it with the adapters; this adds it to composers that
were trained without. Their weights are to be chosen anew then (`composir train blend`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from composir.compose import open_trained
from composir.compose.trained import ComposerManifest, save_composer
from composir.encode.encoders import encode_images, image_encoder
from composir.encode.feature_store import FeatureStore
from composir.encode.image_files import ImageFile
from composir.model import Model, load_model
from composir.train.composing.picture_moves import fit_moves
from composir.train.composing.triplet_files import TrainingTriplet, read_all

MOVES = "moves.npy"


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn which way pictures move, by phrase.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("composers", type=Path, nargs="+")
    parser.add_argument("--triplets", type=Path, action="append", required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache/features"))
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    moves = learn(model, read_all(asked.triplets, None, 0.1).triplets, asked.cache)
    for folder in asked.composers:
        made = open_trained(folder, model).folder.manifest
        np.save(folder / MOVES, moves)
        told = {name: getattr(made, name) for name in ComposerManifest.model_fields}
        fields = {name: told[name] for name in told if name not in {"schema_version", "files"}}
        save_composer(folder, fields | {"moves": MOVES}, made.shared)
        print(f"{folder}: {moves.shape[1]} phrases")


def learn(model: Model, triplets: tuple[TrainingTriplet, ...], cache: Path) -> np.ndarray:
    """Encode the pictures of triplets and fit the moves."""
    files = tuple(dict.fromkeys(f for t in triplets for f in (t.reference, t.targets[0])))
    pictures = [ImageFile(file) for file in files]
    encoded = encode_images(pictures, image_encoder(model), FeatureStore(cache))
    vectors = np.asarray(encoded.rows[0])
    row_of = {files[int(place)]: row for row, place in enumerate(encoded.kept)}
    usable = [t for t in triplets if t.reference in row_of and t.targets[0] in row_of]
    targets = vectors[[row_of[t.targets[0]] for t in usable]]
    references = vectors[[row_of[t.reference] for t in usable]]
    return fit_moves([t.text for t in usable], targets - references, model)


if __name__ == "__main__":
    main()
