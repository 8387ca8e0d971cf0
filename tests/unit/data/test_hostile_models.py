"""Bundles and composers that somebody made to be wrong: their checksums are right, they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from composir.compose import QueryBatch, load_composer
from composir.errors import BundleError, ModelError
from composir.model import Bundle, Model
from composir.model.bundle import save_manifest
from composir.model.vocabulary import Vocabulary
from tests.hostile import array_variants, json_variants, refusals, text_variants
from tests.tiny_bundle import make_bundle, make_composer, tiny_tokenizer, word_table, write_graph

FEW: tuple[Any, ...] = ("x", {"a": []})
PICTURE = Image.new("RGB", (8, 8), (255, 0, 0))


def use(folder: Path) -> None:
    """Encode a text and a picture."""
    model = Model(Bundle.load(folder), threads=1)
    model.encode_texts(["red", "a photo of it"])
    model.encode_images([PICTURE])


def resign(folder: Path) -> None:
    """Write checksums that fit, after files were exchanged."""
    known = json.loads((folder / "bundle.json").read_text())
    fields = {k: v for k, v in known.items() if k not in {"schema_version", "files"}}
    save_manifest(folder, fields)


def use_resigned(path: Path) -> None:
    """Use a bundle one of whose files was exchanged."""
    resign(path.parent)
    use(path.parent)


def tokenise(path: Path) -> None:
    """Turn texts into word embeddings with such a bundle."""
    resign(path.parent)
    words = Vocabulary(Bundle.load(path.parent))
    for ids in words.tokenise(["red", "a photo of it"]):
        words.embed(ids)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_manifests_of_bundles(bundle: Path) -> None:
    place = bundle / "bundle.json"
    sound = json.loads(place.read_text())
    refused = refusals(place, json_variants(sound), lambda path: use(path.parent))
    assert {"nested lists", "digits", "latin", "null", "a key twice"} <= refused
    assert {"dimension 3", "word_dimension 3", "files 9", "text.graph 6", "image away"} <= refused


def test_tokenisers(bundle: Path) -> None:
    sound = json.loads(tiny_tokenizer().to_str())
    refused = refusals(bundle / "tokenizer.json", json_variants(sound, FEW), tokenise)
    assert {"nested lists", "empty", "cut", "latin", "number", "model away"} <= refused


def test_word_tables(bundle: Path) -> None:
    refused = refusals(bundle / "words.npy", array_variants(word_table()), tokenise)
    assert refused == set(array_variants(word_table()))


def test_cards_of_any_encoding(bundle: Path) -> None:
    from composir.cli.info import _print_card

    sound = Bundle.load(bundle)
    refused = refusals(
        bundle / "README.md", text_variants("# Card\n"), lambda _: _print_card(sound, as_json=False)
    )
    assert refused == {"latin", "utf16", "binary"}


def test_graphs_that_give_nan(bundle: Path) -> None:
    bad = """
<ir_version: 9, opset_import: ["" : 18]>
gallery (uint8[n,8,8,3] pixels) => (float[n,4] vector) {
    nothing = Constant <value = float {0.0}> ()
    small = Cast <to = 1> (pixels)
    zero = Mul (small, nothing)
    axes = Constant <value = int64[2] {1, 2}> ()
    flat = ReduceSum <keepdims = 0> (zero, axes)
    pads = Constant <value = int64[4] {0, 0, 0, 1}> ()
    wide = Pad (flat, pads)
    vector = Div (wide, wide)
}
"""
    write_graph(bad, bundle / "gallery_image.onnx")
    with pytest.raises(ModelError, match=r"gallery_image\.onnx gives vectors that are NaN"):
        use_resigned(bundle / "gallery_image.onnx")


def test_vectors_of_another_width(bundle: Path) -> None:
    known = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(known | {"dimension": 5}))
    with pytest.raises(ModelError, match=r"shape \(2, 4\), where the manifest says \(2, 5\)"):
        use(bundle)


def test_tokens_beyond_the_table(bundle: Path) -> None:
    np.save(bundle / "words.npy", word_table()[:5])
    with pytest.raises(BundleError, match=r"knows the token \d+, its table of words ends at 4"):
        use_resigned(bundle / "words.npy")


def test_manifests_of_composers(bundle: Path) -> None:
    model = Model(Bundle.load(bundle), threads=1)
    folder = make_composer(bundle.parent / "map", model)
    batch = QueryBatch(("red",), model.encode_images([PICTURE]))

    def compose(path: Path) -> Any:
        return load_composer(path.parent, model).compose(batch)

    place = folder / "composer.json"
    sound = json.loads(place.read_text())
    refused = refusals(place, json_variants(sound), compose)
    assert {"nested lists", "digits", "latin", "null", "tokens 3", "settings.image 5"} <= refused


@pytest.mark.parametrize("threads", [0, -1, 10**6, 10**400])
def test_threads_that_no_machine_has(bundle: Path, threads: int) -> None:
    with pytest.raises(ModelError, match="threads must be at"):
        Model(Bundle.load(bundle), threads=threads)
