"""The packaged model as it ships: small enough, whole, and its composers compose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import composir.model
from composir.compose import QueryBatch, load_composer, packaged_composers
from composir.compose.phrase_files import all_phrases
from composir.model import Model, load_model
from composir.model.text_encoder import TextEncoder
from composir.types import FloatArray

MINI = Path(composir.model.__file__).parent / "mini"
NAMES = {"compose", "isa", "isa-compose", "map", "pic2word", "text-map"}
MOST_BYTES = 60_000_000


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("mini")


def test_all_weights_together_stay_below_the_limit() -> None:
    assert sum(path.stat().st_size for path in MINI.rglob("*") if path.is_file()) < MOST_BYTES


def test_the_default_is_one_of_its_composers(model: Model) -> None:
    assert set(packaged_composers(model)) == NAMES
    assert model.default_composer in NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_packaged_composer_composes(model: Model, name: str) -> None:
    picture = Image.new("RGB", (300, 200), "red")
    composer = load_composer(name, model)
    batch = QueryBatch(("in blue",), model.encode_images([picture]), [lambda: picture])
    vectors = composer.compose(batch).vectors

    assert vectors.shape == (1, 1, model.dimension)
    assert np.linalg.norm(vectors[0, 0]) == pytest.approx(1.0, abs=1e-5)
    alone = QueryBatch(("",), batch.image_vectors, batch.images)
    assert not np.allclose(composer.compose(alone).vectors, vectors, atol=1e-3)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_packaged_composer_has_a_card(name: str) -> None:
    card = (MINI / "composers" / name / "README.md").read_text(encoding="utf-8")
    assert "seed" in card.lower()
    assert "composir train" in card
    assert "licen" in card.lower()


def test_numbers_of_its_space_are_data_of_the_bundle(model: Model) -> None:
    assert model.copy_similarity == 0.751
    assert set(model.confidence_settings) == {"words", "image", "both", "product"}
    assert model.composer_settings["direction"] == {"alpha": 4.0, "things": 3}
    assert model.composer_settings["replace"]["temperature"] == 0.01


def test_it_brings_the_phrases_that_its_queries_need(model: Model) -> None:
    """Where the lexicon has changed: `python benchmarks/phrases.py src/composir/model/mini`."""
    assert set(model.known_texts) == set(all_phrases())


@pytest.mark.parametrize("text", ["in red", "as a child would paint it"])
@pytest.mark.parametrize("name", ["replace", *sorted(NAMES)])
def test_no_phrase_is_encoded_at_the_first_query(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    encode = TextEncoder.encode

    def recording(self: TextEncoder, texts: Sequence[str]) -> FloatArray:
        asked.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", recording)
    fresh = load_model("mini")
    composer = load_composer(name, fresh)
    picture = Image.new("RGB", (300, 200), "red")
    vectors = np.eye(1, fresh.dimension, dtype=np.float32)
    composer.compose(QueryBatch((text,), vectors, [lambda: picture]))
    assert set(asked) <= {text}


@pytest.mark.parametrize("name", ["replace", "direction", "compose"])
def test_vectors_that_it_brings_are_those_that_it_encodes(model: Model, name: str) -> None:
    """But for float16: no coordinate of a query changes by more than a thousandth."""
    picture = Image.new("RGB", (300, 200), "red")
    texts = ("in blue", "as a child would paint it", "a cat instead of a dog")
    encoded = load_model("mini")
    encoded.known_texts = {}
    vectors = model.encode_images([picture]).repeat(len(texts), axis=0)
    batch = QueryBatch(texts, vectors, [lambda: picture] * len(texts))
    brought, made = (load_composer(name, one).compose(batch).vectors for one in (model, encoded))
    np.testing.assert_allclose(brought, made, atol=1e-3)
