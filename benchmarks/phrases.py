"""A late step of making a bundle: its vectors of the lexicon's phrases, written anew.

    python benchmarks/phrases.py BUNDLE

What `recipes/mini` writes with the towers, and `composir models add` with a checkpoint. It has to
be run again where `compose/lexicon.txt` or `compose/things.txt` have changed: phrases that a bundle
does not know are encoded at the first query. Vectors of another text side are left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mini_recipe import describe

from composir.compose.phrase_files import all_phrases, write_phrases
from composir.model import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the vectors of the lexicon's phrases.")
    parser.add_argument("bundle", type=Path)
    folder = parser.parse_args().bundle
    model = load_model(folder)
    describe(folder, model.manifest, known_texts=write_phrases(model))
    print(f"{len(all_phrases())} phrases")


if __name__ == "__main__":
    main()
