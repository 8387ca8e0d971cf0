"""Take composers over to another edition of their model that has the same text encoder.

    python benchmarks/carry_over.py BUNDLE OUT COMPOSER_FOLDER [COMPOSER_FOLDER ...]

A composer speaks the words of the text encoder; of the gallery it knows how vectors look. Where
that alone changed, what it learned may still hold: choose its blend anew (`composir train blend`),
compare it on dev parts with what it did before, then package it (`package_composer.py`). Copies are
written to OUT; manifest and card say on which encoder's vectors it was trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from shared_graphs import copy_complete

from composir.compose.trained import ComposerFolder, TrainedFor, save_composer
from composir.model import load_model
from composir.train.card import CARD

TRAINED_ON = "gallery_encoder"


def main() -> None:
    parser = argparse.ArgumentParser(description="Take composers over to another edition.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("composers", type=Path, nargs="+")
    asked = parser.parse_args()
    model = load_model(asked.bundle)
    for folder in asked.composers:
        composer = ComposerFolder.load(folder)
        own = TrainedFor(name=model.name, fingerprint=model.fingerprint)
        carried = carry_over(composer, own, model.text_checksum, asked.out / folder.name)
        print(f"{carried.folder}: trained on vectors of {composer.manifest.model.fingerprint}")


def carry_over(composer: ComposerFolder, model: TrainedFor, text: str, out: Path) -> ComposerFolder:
    """Copy a composer for another gallery encoder.

    Args:
        composer: As trained.
        model: The edition that it is for now.
        text: Checksum of that edition's text encoder.
        out: Made; must not be there.

    Raises:
        SystemExit: If the text encoders differ.
    """
    made = composer.manifest
    if text != made.text:
        raise SystemExit(f"{composer.folder}: the text encoder is another one; train it again")
    former = made.training.get(TRAINED_ON, made.model.fingerprint)
    copy = copy_complete(composer, out)
    card = out / CARD
    known, told = f"({made.model.fingerprint}), frozen.", f"({model.fingerprint}), frozen."
    if TRAINED_ON not in made.training:
        told += f" It was trained on vectors of {former}, an edition with the same text encoder."
    card.write_text(card.read_text("utf-8").replace(known, told), "utf-8")
    fields = copy.manifest.model_dump(exclude={"files", "schema_version"})
    fields |= {"model": model, "training": made.training | {TRAINED_ON: former}}
    save_composer(out, fields)
    return ComposerFolder.load(out)


if __name__ == "__main__":
    main()
